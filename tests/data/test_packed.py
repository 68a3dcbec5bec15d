"""Compressed files and archives: read without unpacking them to disk, and within limits."""

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile

import pytest
from made_files import ROWS, TEXT, json_lines, put, tarred, zipped

from tinygrad_llm.data import load_corpus
from tinygrad_llm.data.formats import archives, compressed
from tinygrad_llm.errors import UserError


def zstandard(data):
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(data)


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard}


def read(path):
    return [(d.name, d.text) for d in load_corpus(path).documents]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_is_what_is_in_it(tmp_path, suffix):
    pack = PACKERS[suffix]
    assert read(put(tmp_path, f"a.txt{suffix}", pack(TEXT.encode()))) == [("a.txt", TEXT)]
    path = put(tmp_path, f"rows.jsonl{suffix}", pack(json_lines().encode()))
    assert [text for _, text in read(path)] == [row["text"] for row in ROWS]
    path = put(tmp_path, "no_suffix", pack(TEXT.encode()))
    assert read(path) == [("no_suffix", TEXT)]
    path = put(tmp_path, "two", pack(TEXT.encode()) + pack(b"more\n" * 100_000))
    assert read(path) == [("two", TEXT + "more\n" * 100_000)]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[:40] + b"?" * 20 + d[60:]])
def test_a_damaged_one_says_so(tmp_path, suffix, damage):
    data = PACKERS[suffix](os.urandom(300).hex().encode())
    path = put(tmp_path, f"a.txt{suffix}", damage(data))
    with pytest.raises(UserError, match=r"is a damaged .* file \(.*; replace it with a whole copy"):
        load_corpus(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_bomb_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(compressed, "SMALL", 1 << 20)
    data = PACKERS[suffix](b"a line of text\n" * 1_000_000)
    path = put(tmp_path, f"a.txt{suffix}", data)
    with pytest.raises(UserError, match="bytes in it, at least 200 times its size"):
        load_corpus(path)


FILES = {
    "b/rows.jsonl.gz": gzip.compress(json_lines().encode()),
    "../../a.txt": TEXT.encode(),
    "c.png": b"\x89PNG\0",
    "__MACOSX/._a.txt": b"\0\0",
    "d.txt": b"\0\0\0",
}


@pytest.mark.parametrize(
    "name, data",
    [
        ("all.zip", zipped(FILES)),
        ("all.tar", tarred(FILES)),
        ("all.tar.gz", tarred(FILES, "w:gz")),
        ("all.tgz", tarred(FILES, "w:gz")),
        ("all.tar.xz", tarred(FILES, "w:xz")),
        ("all", tarred(FILES, "w:bz2")),
    ],
)
def test_the_files_of_an_archive(tmp_path, name, data):
    folder = tmp_path / "inner"
    folder.mkdir()
    corpus = load_corpus(put(folder, name, data))
    label = {"all.zip": "all.zip", "all": "all"}.get(name, "all.tar")
    assert sorted(d.name for d in corpus.documents) == [
        f"{label}/../../a.txt",
        *(f"{label}/b/rows.jsonl:{i}" for i in (1, 2, 3)),
    ]
    dropped = {reason: tally.documents for reason, tally in corpus.report.dropped.items()}
    assert dropped == {"unknown extension": 2, "binary (contains NUL bytes)": 1}
    assert os.listdir(folder) == [name] and os.listdir(tmp_path) == ["inner"]


def test_links_and_devices_in_a_tar_are_no_files(tmp_path):
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("a.txt")
        info.size = len(TEXT.encode())
        archive.addfile(info, io.BytesIO(TEXT.encode()))
    assert read(put(tmp_path, "a.tar", file.getvalue())) == [("a.tar/a.txt", TEXT)]


def encrypted_zip():
    """A zip whose entry says that it is encrypted."""
    data = bytearray(zipped({"a.txt": TEXT}))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[central + 8] |= 1
    return bytes(data)


def zip_of_the_size(size):
    """A zip that says its file has this many bytes."""
    data = bytearray(zipped({"a.txt": TEXT}))
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = size.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    "name, data, sentence",
    [
        ("a.zip", encrypted_zip(), "a zip file that needs a password; unpack it first"),
        ("a.zip", zip_of_the_size(1 << 31), "says it holds 2,147,483,648, at least 200 times"),
        ("a.zip", zip_of_the_size(10), r"a damaged zip file \(Bad CRC-32"),
        ("a.zip", zipped({"a.txt": TEXT})[:-30], r"a damaged zip file \("),
        ("a.zip", zipped({}), r"a zip file without a text \(it is empty\)"),
        ("a.zip", zipped({"a.png": "x"}), "its 1 files: unknown extension"),
        ("a.zip", zipped({"b.zip": zipped({"a.txt": TEXT})}), "a zip file in a zip file; unpack"),
        ("a.tar.gz", tarred({"a.txt": TEXT.encode()}, "w:gz")[:-40], "a damaged"),
        ("a.tar", tarred({"a.txt": TEXT.encode()})[:900], r"a damaged tar file \("),
        (
            "a.gz",
            gzip.compress(gzip.compress(TEXT.encode(), mtime=0), mtime=0),
            "a gzip file in a gzip file",
        ),
        ("a.gz", gzip.compress(zipped({"a.txt": TEXT}), mtime=0), "a zip file in a gzip file"),
        ("a.gz", TEXT, "no gzip file, though its name ends in .gz"),
    ],
)
def test_bad_archives(tmp_path, name, data, sentence):
    path = put(tmp_path, name, data)
    with pytest.raises(UserError, match=sentence) as error:
        load_corpus(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_an_archive_of_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS", 2)
    files = {f"{i}.txt": TEXT.encode() for i in range(3)}
    for name, data in (("a.zip", zipped(files)), ("a.tar", tarred(files))):
        with pytest.raises(UserError, match="with more than 2 files"):
            load_corpus(put(tmp_path, name, data))


def test_a_method_of_compression_that_python_has_not(tmp_path):
    data = bytearray(zipped({"a.txt": TEXT}))
    central = data.index(b"PK\x01\x02")
    data[8:10] = data[central + 10 : central + 12] = b"\x63\x00"
    with pytest.raises(UserError, match="a damaged zip file .*compression"):
        load_corpus(put(tmp_path, "a.zip", bytes(data)))
    assert zipfile.is_zipfile(tmp_path / "a.zip")


def test_zstandard_without_its_package(tmp_path, monkeypatch):
    path = put(tmp_path, "a.txt.zst", b"\x28\xb5\x2f\xfd" + b"x" * 300)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UserError, match=r"needs zstandard; .*pip install 'tinygrad-llm\[zstd\]'"):
        load_corpus(path)
