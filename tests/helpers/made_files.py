"""Files of many formats, made of a few lines of text."""

import io
import json
import tarfile
import zipfile

TEXT = "".join(f"Line {i} of a text that is long enough to train on: мир.\n" for i in range(20))
ROWS = [
    {"id": f"row {i}", "text": f"{i} {TEXT}", "page": {"body": [f"a{i} " * 40, "b"]}}
    for i in range(3)
]


def put(folder, name, content):
    """Write a file; returns its path."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(rows=ROWS):
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def zipped(files):
    """The bytes of a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files, mode="w"):
    """The bytes of a tar; ``mode`` is tarfile's."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet(rows=ROWS):
    """The bytes of a Parquet file, in row groups of two rows."""
    import pyarrow
    from pyarrow import parquet as file_format

    file = io.BytesIO()
    file_format.write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=2)
    return file.getvalue()
