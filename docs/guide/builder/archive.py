"""The guide as Markdown in a zip file: chapters, figures, the code, the solutions, how to run it.

The same guide makes the same bytes (with the same zlib): names are sorted and times are fixed.
"""

import configparser
import io
import re
import zipfile
from pathlib import Path

from builder.book import Book, Chapter
from builder.markdown import read_pieces
from builder.problems import GuideError, Problem
from builder.progress import Progress
from builder.rewrite import numbered_anchors, numbered_title, rewritten, with_command
from builder.update import write_bytes

FOLDER = "guide"
"""The folder that everything in the archive lies in."""
WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of every file: the first that a zip file can hold."""
INSTALL = "pip install -r requirements.txt"
RUN = "python code/train.py"


def write_archive(book: Book, out: Path, progress: Progress) -> None:
    """Write the archive. Raises GuideError where a link in it would lead nowhere."""
    with progress.task("writing the Markdown archive", 1) as task:
        task.at(out.name)
        write_bytes(out, zipped(contents(book)))
        task.advance()


def contents(book: Book) -> dict[str, bytes]:
    """The archive's files, by their names."""
    address = project_address(book.folder)
    files: dict[str, bytes] = {}
    for part in book.parts:
        if part.name != "solutions":
            text = rewritten(
                part, lambda text, target, part=part: _link(book, part, text, target, address)
            )
            files[f"{part.name}.md"] = text.encode()
    for pattern in ("figures/*.svg", "code/*.py", "code/requirements.txt", "solutions/*.py"):
        for path in sorted(book.folder.glob(pattern)):
            files[path.relative_to(book.folder).as_posix()] = path.read_bytes()
    if "code/requirements.txt" not in files or "code/train.py" not in files:
        raise GuideError("the archive needs code/train.py and code/requirements.txt")
    files["requirements.txt"] = files["code/requirements.txt"]
    files["README.md"] = _readme(book).encode()
    problems = [problem for name in files for problem in _broken(name, files)]
    if problems:
        raise GuideError(problems)
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file with some files in one folder; the same files make the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", WHEN)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=9)
    return stream.getvalue()


def project_address(folder: Path) -> str | None:
    """The project's address on GitHub in setup.cfg (url, or Source of project_urls), or None."""
    path = folder.resolve().parent.parent / "setup.cfg"
    if not path.is_file():
        return None
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(path.read_text(encoding="utf-8"), str(path))
    metadata = parsed["metadata"] if parsed.has_section("metadata") else {}
    source = re.search(r"^\s*Source\w*\s*=\s*(\S+)", metadata.get("project_urls", ""), re.MULTILINE)
    found = source[1] if source else metadata.get("url", "")
    return found.rstrip("/") if found.startswith("https://github.com/") else None


def _link(book: Book, part: Chapter, text: str, target: str, address: str | None) -> str:
    """A link as it stands in the archive."""
    place = book.resolve(part, target)
    if place.kind == "explorer":
        return with_command(text, target)
    if place.kind == "figure" and place.figure:
        return f"[{text}]({target}) (figure {place.figure.number})"
    if place.kind == "section" and place.chapter and place.section:
        return f"[{text}]({_place(book, part, target, place.chapter, place.section.line)})"
    if place.kind == "file" and place.path:
        return _outside(book, text, place.path, place.anchor, address)
    return f"[{text}]({target})"


def _place(book: Book, part: Chapter, target: str, chapter: Chapter, line: int) -> str:
    """The target of a link to a section: the anchors have changed with the headings."""
    if chapter is book.front:
        return "README.md"
    if chapter.name == "solutions":
        return target
    first = line == chapter.sections[0].line
    anchor = "" if first and "#" not in target else "#" + numbered_anchors(chapter)[line]
    return anchor if chapter is part and anchor else f"{chapter.name}.md{anchor}"


def _outside(book: Book, text: str, path: Path, anchor: str, address: str | None) -> str:
    """A link to a file of the project: the guide's own, its address, or words and its name."""
    folder = book.folder.resolve()
    inside = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
    if re.fullmatch(r"code/\w+\.py|code/requirements\.txt|solutions/\w+\.py", inside):
        return f"[{text}]({inside})"
    name = path.relative_to(folder.parent.parent).as_posix()
    if address is not None:
        kind = "tree" if path.is_dir() else "blob"
        return f"[{text}]({address}/{kind}/main/{name}{'#' + anchor if anchor else ''})"
    return text if name in text else f"{text} (`{name}`)"


def _broken(name: str, files: dict[str, bytes]) -> list[Problem]:
    """The links of a page in the archive that lead to nothing in it."""
    if not name.endswith(".md"):
        return []
    problems = []
    pieces = read_pieces(files[name].decode())
    targets = [(each.target, each.line) for each in (*pieces.links, *pieces.images)]
    for target, line in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = path or name
        found = page in files or any(each.startswith(f"{page.rstrip('/')}/") for each in files)
        if found and anchor and page.endswith(".md"):
            headings = read_pieces(files[page].decode()).headings
            found = anchor in {heading.anchor for heading in headings}
        if not found:
            problems.append(Problem(f"guide-markdown.zip/{name}", line, f"{target} leads nowhere"))
    return problems


def _readme(book: Book) -> str:
    """The archive's first page: what it is, its two commands, its chapters."""
    title = book.front.title if book.front else "Build a Large Language Model (from Scratch)"
    chapters = [
        f"- [{numbered_title(each.sections[0])}]({each.name}.md)"
        for each in book.parts
        if each.name != "solutions"
    ]
    return f"""# {title}

A guide in {len(book.chapters)} chapters, and the language model that they build. It needs
Python 3.11 or newer. Install what the code needs, and train a model:

```sh
{INSTALL}
{RUN}
```

The chapters draw their figures with matplotlib, and the solutions of the exercises are tests:

```sh
pip install matplotlib pytest
python -m pytest solutions
```

## Chapters

{chr(10).join(chapters)}
- [Solutions](solutions)
"""
