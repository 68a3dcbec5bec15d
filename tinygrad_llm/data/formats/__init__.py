"""Files of many formats as documents. ``read.py`` has the whole way, the others one step each:

kinds.py       which format a file has       unreadable.py  why a file gives no text
compressed.py  gzip, bzip2, xz, Zstandard    archives.py    zip and tar
text.py        plain text and source code    rows.py        JSONL, JSON, CSV, TSV
pages.py       HTML, PDF, EPUB
lines.py, whole_rows.py  rows of text, of which damaged ones are left out
parquet.py               rows of Parquet

Packages that not everyone needs (pyarrow, pypdf, trafilatura, zstandard) are imported when a file
needs them.
"""
