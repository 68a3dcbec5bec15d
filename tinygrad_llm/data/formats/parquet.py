"""The rows of a Parquet file, one by one, with one of its columns.

A column may store a text once that many rows have (its dictionary), so a file of 600 bytes can hold
rows of gigabytes. The longer such texts are, the fewer rows are decoded together, and the rows'
sizes are added up and compared with the file's.
"""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from tinygrad_llm.data.formats.compressed import RATIO, SMALL
from tinygrad_llm.data.formats.unreadable import Unreadable, damaged, missing_extra

LARGEST_GROUP = 2 << 30  # bytes of a row group, when it is not compressed
_ROWS = 256  # that are decoded together
_FEW = 16  # of a column with lists or objects, whose dictionaries cannot be looked at
_TOGETHER = 64 << 20  # bytes of them, where they come from a dictionary
_BUFFER = 1 << 20


def parquet_rows(
    stream: BinaryIO, field: str | None, no_field: Callable[[str | None, list[str]], Unreadable]
) -> Iterator[dict[str, Any]]:
    """Each row with the column that ``field`` begins with; by default text, or the only one.

    Raises Unreadable for a file that is damaged or made to fill memories, without pyarrow, and
    ``no_field(field, columns)`` if there is no such column.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("a Parquet file", "pyarrow", "parquet") from None
    try:
        most = max(SMALL, RATIO * stream.seek(0, 2))
        metadata = parquet.read_metadata(stream)
        names = metadata.schema.to_arrow_schema().names
        column = field or (names[0] if len(names) == 1 else "text")
        if column not in names:
            column = column.split(".")[0]
        if column not in names:
            raise no_field(field, names)
        for group in range(metadata.num_row_groups):
            if metadata.row_group(group).total_byte_size > LARGEST_GROUP:
                raise Unreadable(
                    f"a Parquet file with a row group of more than {LARGEST_GROUP:,} bytes",
                    "write it again with smaller row groups",
                )
        simple = [leaf.path for leaf in metadata.schema if leaf.path == column]
        file, packed = (
            parquet.ParquetFile(
                stream, metadata=metadata, buffer_size=_BUFFER, read_dictionary=columns
            )
            for columns in (None, simple)
        )
        for group in range(metadata.num_row_groups):
            where = {"row_groups": [group], "columns": [column]}
            first = next(packed.iter_batches(batch_size=1, **where), None)
            for batch in file.iter_batches(batch_size=_rows_together(first), **where):
                values = batch.column(0)
                most -= values.nbytes
                if most < 0:
                    raise Unreadable(
                        f"a Parquet file with at least {RATIO} times its size in it, which no "
                        "text has",
                        "convert it to JSON lines if it is right",
                    )
                for value in values:
                    yield {column: value.as_py()}
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged("Parquet file", error) from None


def _rows_together(first: Any) -> int:
    """How many rows of a row group to decode together, from a batch with its first row, packed."""
    import pyarrow
    from pyarrow import compute

    if first is None or not isinstance(first.column(0), pyarrow.DictionaryArray):
        return _FEW
    longest = compute.max(compute.binary_length(first.column(0).dictionary)).as_py() or 0
    return max(1, min(_ROWS, _TOGETHER // max(1, longest)))
