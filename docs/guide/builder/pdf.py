"""The guide as a PDF: each chapter through pandoc into Typst, and Typst's pages around them.

    write_pdf(book, Path("guide.pdf"), progress)

The file is tagged (PDF/UA-1, checked by Typst while it writes): figures have their captions as
alternative texts, formulas their TeX. It uses the fonts inside Typst alone and holds no date, so
the same text gives the same bytes. How it looks is the business of template/guide.typ.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builder.book import Book
from builder.index import Index
from builder.margins import margin_problems
from builder.paper import typst_source
from builder.press import Press
from builder.problems import GuideError, Problem
from builder.progress import Progress
from builder.update import write_bytes


def write_pdf(book: Book, out_path: Path, progress: Progress) -> None:
    """Write the guide as a PDF. What stands in the way raises GuideError with chapter and line."""
    with tempfile.TemporaryDirectory() as name, progress.task("PDF", len(book.parts) + 2) as task:
        sources = {}
        problems: list[Problem] = []
        index = Index(book)
        with ThreadPoolExecutor() as pool:
            made = [pool.submit(typst_source, book, chapter, index) for chapter in book.parts]
            for chapter, source in zip(book.parts, made, strict=True):
                task.at(f"{chapter.number} {chapter.title}")
                try:
                    sources[chapter.name] = source.result()
                except GuideError as error:
                    problems += error.problems
                task.advance()
        if problems:
            raise GuideError(problems)
        task.at("pages")
        press = Press(book, sources, Path(name))
        content = press.pdf()
        task.advance()
        task.at("margins")
        problems = margin_problems(press)
        if problems:
            raise GuideError(problems)
        write_bytes(out_path, content)
        task.advance()
