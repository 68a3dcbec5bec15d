"""Which encoding a file has, and what happens to bytes that fit none."""

import pytest
from hypothesis import given, strategies as st

from tinygrad_llm.data import decode_bytes, load_corpus
from tinygrad_llm.errors import UserError

FRENCH = "na\u00efve caf\u00e9 \u2014 \u00e0 la carte. "
RUSSIAN = "\u0421\u044a\u0435\u0448\u044c \u0436\u0435 \u0435\u0449\u0451. "
LINES = "".join(f"line {i} of a text that is long enough\n" for i in range(20))


@given(st.text())
def test_utf8(text):
    data = text.replace("\0", "").encode()
    expected = text.replace("\0", "").removeprefix("\ufeff")
    assert decode_bytes(data) == (expected, "utf-8", 0)


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, "plain"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(text, encoding):
    found = decode_bytes(text.encode(encoding))
    assert (found.text, found.replaced) == (text, 0)
    assert found.encoding.startswith(encoding.removesuffix("-sig"))


@pytest.mark.parametrize("order", ["le", "be"])
def test_both_byte_orders(order):
    for encoding in (f"utf-16-{order}", f"utf-32-{order}"):
        data = ("\ufeff" + RUSSIAN).encode(encoding)
        assert decode_bytes(data) == (RUSSIAN, encoding, 0)
        assert decode_bytes(data[:-1]) == (
            RUSSIAN[:-1] + "\ufffd",
            encoding,
            int(encoding[4:6]) // 8,
        )


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN])
@pytest.mark.parametrize("bad", [b"\xff", b"\x93", b"\xc3", b"\xe2\x80"])
@pytest.mark.parametrize("where", ["begin", "middle", "end"])
def test_a_bad_byte_leaves_the_rest_of_a_text_alone(text, bad, where):
    data = (text * 3).encode()
    at = {"begin": 0, "middle": len(text.encode()), "end": len(data)}[where]
    found = decode_bytes(data[:at] + bad + data[at:])
    assert found.encoding == "utf-8" and found.replaced == len(bad)
    assert found.text.replace("\ufffd", "") == text * 3


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, "\U0001f600\u4e2d" * 9, "it ends in a \u20ac"])
def test_a_text_cut_anywhere_is_still_utf8(text):
    """As `head -c` cuts: only a first character of which one byte is left could be another."""
    data = text.encode()
    for end in range(len(data)):
        found = decode_bytes(data[:end])
        whole = data[:end].decode("utf-8", "ignore")
        if not whole.isascii() or found.encoding == "utf-8":
            assert found.text.rstrip("\ufffd") == whole and found.encoding == "utf-8"
        else:
            assert found.encoding in ("latin-1", "cp1252") and len(found.text) == len(whole) + 1


@pytest.mark.parametrize(
    "data, text, encoding",
    [
        (b"caf\xe9", "caf\u00e9", "latin-1"),
        (b"d\xe9j\xe0 vu", "d\u00e9j\u00e0 vu", "latin-1"),
        (b"\x93quoted\x94, it\x92s \x80 5", "\u201cquoted\u201d, it\u2019s \u20ac 5", "cp1252"),
        (b"\x93d\xe9j\xe0\x94 \x81", "\x93d\xe9j\xe0\x94 \x81", "latin-1"),  # 0x81 is nothing there
    ],
)
def test_one_byte_a_character(data, text, encoding):
    assert decode_bytes(data) == (text, encoding, 0)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"")))
def test_any_bytes_give_a_text_and_an_account(data):
    try:
        text, encoding, replaced = decode_bytes(data)
    except UserError:
        assert data[:2] in (b"\xff\xfe", b"\xfe\xff")
        return
    text.encode()
    assert 0 <= replaced <= len(data) and (replaced > 0) <= ("\ufffd" in text)
    if encoding in ("cp1252", "latin-1"):
        assert text.encode(encoding) == data


def test_binary():
    with pytest.raises(UserError, match="NUL byte at offset 2"):
        decode_bytes(b"ab\0")
    with pytest.raises(UserError, match="NUL character indicates"):
        decode_bytes("\ufeffab\0".encode("utf-16-le"))


def put(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(
    "data, line",
    [
        (b"caf\xe9\n", "changed 1 document, +1 bytes: not valid UTF-8, read as latin-1 (old.txt)"),
        (b"\x93\x94\n", "changed 1 document, +4 bytes: not valid UTF-8, read as Windows-1252 (old"),
        (
            "\u20ac\u20ac".encode() + b"\xff\xff\n",
            "changed 1 document, +4 bytes: 2 invalid bytes replaced by U+FFFD",
        ),
    ],
)
def test_the_report_says_it(tmp_path, data, line):
    report = load_corpus(put(tmp_path, "old.txt", LINES.encode() + data)).report
    assert line in str(report)
    changes = sum(tally.bytes for tally in report.changed.values())
    assert report.found_bytes + changes == report.kept_bytes


def test_the_report_counts_over_files(tmp_path):
    for name in "abcde":
        put(tmp_path, f"{name}.txt", LINES.encode() + "\u20ac".encode() + b"\xff")
    put(tmp_path, "wide.txt", LINES.encode("utf-16") + b"\xff")
    report = load_corpus(tmp_path).report
    assert "changed 6 documents, +10 bytes: 7 invalid bytes" in str(report)
    assert "changed 1 document, -750 bytes: read as utf-16-le (wide.txt)" in str(report)
    assert report.as_dict()["changed"]["read as utf-16-le"]["documents"] == 1
