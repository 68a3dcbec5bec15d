"""A mistake in the guide, and the one exception that carries all that were found."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: where it stands, and a sentence that says what is wrong and what to do."""

    path: str
    """The file as the reader names it, such as ``docs/guide/03-the-engine.md``."""
    line: int
    """Counted from 1; 0 where the mistake is about the whole file."""
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


class GuideError(ValueError):
    """The guide cannot be built as it stands; ``problems`` says why, sorted and complete."""

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        given = [Problem("docs/guide", 0, problems)] if isinstance(problems, str) else problems
        self.problems: list[Problem] = sorted(set(given))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def read_utf8(path: Path) -> str:
    """A file's text. Raises GuideError, with the line, where it is not UTF-8."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} is not UTF-8: save the file as UTF-8"
        raise GuideError([Problem(shown(path), line, message)]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def without(error: ModuleNotFoundError) -> str:
    """What to do where a module is not installed."""
    return f"{error.name} is not installed: pip install -e '.[guide]' in the project's folder"


def shown(path: Path) -> str:
    """A path as messages name it: from the repository's root where it lies in one.

    The root is the folder above ``docs/guide``; a sample book elsewhere is named in the same way.
    """
    parts = path.parts
    for start in range(len(parts) - 1, -1, -1):
        if parts[start : start + 2] == ("docs", "guide"):
            return "/".join(parts[start:])
    for start in range(len(parts) - 1, -1, -1):
        if parts[start] == "docs":
            return "/".join(parts[start:])
    return path.as_posix()
