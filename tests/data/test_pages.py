"""HTML, PDF and EPUB: their text, and one sentence for those that have none."""

import io
import sys

import pytest
from made_files import TEXT, put, zipped

from tinygrad_llm.data import ReadOptions, load_corpus
from tinygrad_llm.errors import UserError

PARAGRAPHS = "".join(
    f"<p>Paragraph {i} has enough words to be the main text, caf\u00e9 and all.</p>"
    for i in range(12)
)
PAGE = (
    "<!doctype html><html><head><meta charset='CHARSET'><title>T</title>"
    "<script>var hidden = 1</script></head><body><nav><a href='/'>Home page</a></nav>"
    f"<article><h1>On reading</h1>{PARAGRAPHS}</article><footer>Imprint</footer></body></html>"
)


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.txt", "a"])
def test_the_main_text_of_a_page(tmp_path, name):
    pytest.importorskip("trafilatura")
    corpus = load_corpus(put(tmp_path, name, PAGE.replace("CHARSET", "utf-8")))
    (document,) = corpus.documents
    assert document.name == name and document.kind == "html"
    assert "Paragraph 0 has" in document.text and "caf\u00e9 and all." in document.text
    for markup in ("<", "hidden", "Home page", "Imprint"):
        assert markup not in document.text
    assert f"html: 1 file of {(tmp_path / name).stat().st_size:,} bytes" in str(corpus.report)


@pytest.mark.parametrize("stated", ["windows-1252", "utf-8", "no-such"])
def test_a_page_in_an_old_encoding(tmp_path, stated):
    pytest.importorskip("trafilatura")
    path = put(tmp_path, "a.html", PAGE.replace("CHARSET", stated).encode("cp1252"))
    assert "caf\u00e9" in load_corpus(path).documents[0].text


@pytest.mark.parametrize("start", ["<!doctype html>", "<?xml version='1.0'?>"])
def test_source_code_that_writes_a_page_stays_code(tmp_path, start):
    path = put(tmp_path, "page.js", start + TEXT)
    assert load_corpus(path).documents[0].kind == "code"


def pdf(texts, password=None):
    """The bytes of a PDF with one page for each text."""
    pypdf = pytest.importorskip("pypdf")
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    for text in texts:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 10 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.pdf", "notes.txt"])
def test_the_pages_of_a_pdf(tmp_path, name):
    data = pdf(["First page " * 20, "Second page " * 20])
    (document,) = load_corpus(put(tmp_path, name, data)).documents
    first, second = document.text.split("\n\n")
    assert first.split() == ["First", "page"] * 20 and second.split() == ["Second", "page"] * 20
    assert document.kind == "pdf"


def test_a_pdf_that_anyone_may_read(tmp_path):
    pytest.importorskip("pypdf")
    path = put(tmp_path, "a.pdf", pdf(["A page " * 40], password=""))
    assert load_corpus(path).documents[0].text.startswith("A page A page")


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: pdf(["secret"], password="x"), "a PDF that needs a password; save a copy"),
        (lambda: pdf([""]), r"a PDF without text .*; recognise its text \(OCR\) first"),
        (lambda: pdf(["a"])[:200], r"a damaged PDF \("),
    ],
)
def test_bad_pdfs(tmp_path, make, sentence):
    path = put(tmp_path, "a.pdf", make())
    with pytest.raises(UserError, match=sentence) as error:
        load_corpus(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


BOOK = {
    "mimetype": "application/epub+zip",
    "OEBPS/book.opf": (
        "<package><manifest><item id='one' href='text/one%20.xhtml'/>"
        '<item href="two.html" id="two"/><item id="style" href="a.css"/></manifest>'
        "<spine><itemref idref='two'/><itemref linear='no' idref='one'/></spine></package>"
    ),
    "OEBPS/text/one .xhtml": f"<?xml version='1.0'?><title>No</title><p>One &amp; {TEXT}",
    "OEBPS/two.html": "<h1>Two</h1><p>in <b>bo</b>ld<br/>line</p><style>p {}</style>",
    "OEBPS/unlisted.html": "<p>an advertisement</p>",
}


def test_the_chapters_of_a_book_in_order(tmp_path):
    (document,) = load_corpus(put(tmp_path, "a.epub", zipped(BOOK))).documents
    one = " ".join(f"One & {TEXT}".split())
    assert document.text == f"Two\n\nin bold\n\nline\n\n{one}\n"
    assert document.kind == "epub"


@pytest.mark.parametrize(
    "book, sentence",
    [
        ({"mimetype": "application/epub+zip"}, "an EPUB without a list of its contents"),
        (BOOK | {"OEBPS/book.opf": "<spine/>"}, "an EPUB without text, or with protected text"),
    ],
)
def test_bad_books(tmp_path, book, sentence):
    with pytest.raises(UserError, match=sentence):
        load_corpus(put(tmp_path, "a.epub", zipped(book)))


@pytest.mark.parametrize(
    "name, content, package, extra",
    [("a.html", PAGE, "trafilatura", "html"), ("a.pdf", "%PDF-1.4" + TEXT, "pypdf", "pdf")],
)
def test_a_package_that_is_missing(tmp_path, monkeypatch, name, content, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    path = put(tmp_path, name, content)
    sentence = rf"which needs {package}; install it with: pip install 'tinygrad-llm\[{extra}\]'"
    with pytest.raises(UserError, match=sentence):
        load_corpus(path)
    put(tmp_path, "b.txt", TEXT)
    assert package in str(load_corpus(tmp_path).report)  # a folder is read without that file


@pytest.mark.parametrize(
    "name, head, sentence",
    [
        ("a.txt", b"{\\rtf1 text", "is RTF, not text"),
        ("a.xml", b"<?xml version='1.0'?><a/>", "is XML, not text; save its text"),
        ("a.md", b"\xff\xd8\xff\xe0 JFIF", "is a JPEG picture, not text"),
        ("a.txt", b"GGUF\x03", "is a GGUF model, not text"),
        ("a.doc", b"\xd0\xcf\x11\xe0", "is a document of an old Microsoft Office"),
        ("a.html", b"<html></html>", "is HTML without a main text"),
        ("a.zip", zipped({"[Content_Types].xml": ""}), "is an Office document, not text"),
    ],
)
def test_what_is_not_text_is_named(tmp_path, name, head, sentence):
    pytest.importorskip("trafilatura")
    with pytest.raises(UserError, match=sentence):
        load_corpus(put(tmp_path, name, head + b" " * 300))


def test_markup_may_be_read_as_text_if_a_user_says_so(tmp_path):
    path = put(tmp_path, "a.xml", "<?xml version='1.0'?>" + TEXT)
    (document,) = load_corpus(path, ReadOptions(input_format="text")).documents
    assert document.text.startswith("<?xml")
