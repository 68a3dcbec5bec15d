"""Check the guide, and make its PDF, its Markdown archive and its site.

    python docs/guide/build.py check                 # every snippet, and all that can be checked
    python docs/guide/build.py check 03 07 --update  # two chapters; write their outputs, figures
    python docs/guide/build.py all                   # the checks, then all three, under _build/

A mistake in the guide is one line, FILE:LINE and what is wrong, and the exit code is 2.
"""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from builder.problems import GuideError, without

try:
    import tyro
    from builder.alone import alone
    from builder.book import Book
    from builder.progress import Progress
    from builder.run import LIMIT
    from rich.console import Console
except ModuleNotFoundError as error:
    print(without(error), file=sys.stderr)
    sys.exit(2)

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Check:
    """Run the snippets of some chapters, or of all; check their links, excerpts and the rest."""

    chapters: tyro.conf.Positional[tuple[str, ...]] = ()
    """Chapters by number (3 or 03) or by name (03-the-engine); none means all."""
    update: bool = False
    """Write outputs and figures into the guide instead of failing where they differ."""
    older: bool = False
    """Compute as an older processor does: what then differs depends on the reader's processor."""
    limit: float = LIMIT
    """Seconds that one chapter's snippets may take."""
    folder: Path = FOLDER
    """The guide's folder."""


@dataclass(frozen=True)
class Make:
    """What every command that makes something takes."""

    out: Path | None = None
    """Where to put what is made; by default _build/ in the guide's folder."""
    folder: Path = FOLDER
    """The guide's folder."""


@dataclass(frozen=True)
class Pdf(Make):
    """Check the guide, then make guide.pdf."""


@dataclass(frozen=True)
class Markdown(Make):
    """Check the guide, then make guide-markdown.zip."""


@dataclass(frozen=True)
class Html(Make):
    """Check the guide, then make site/."""


@dataclass(frozen=True)
class All(Make):
    """Check the guide, then make the PDF, the archive and the site."""


Command = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Pdf, tyro.conf.subcommand("pdf")]
    | Annotated[Markdown, tyro.conf.subcommand("markdown")]
    | Annotated[Html, tyro.conf.subcommand("html")]
    | Annotated[All, tyro.conf.subcommand("all")]
)


def main() -> int:
    """Run a command; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended too
    command = tyro.cli(Command, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))  # type: ignore[call-overload]
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with alone(command.folder), Progress() as progress:
            run(command, progress)
    except GuideError as error:
        for problem in error.problems:
            errors.print(str(problem), markup=False)
        count = len(error.problems)
        errors.print(f"{count} mistake{'s' * (count != 1)} in the guide", style="bold red")
        return 2
    except ModuleNotFoundError as error:
        errors.print(without(error), markup=False)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written to
        errors.print(f"the guide was not made: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        errors.print("stopped by Ctrl-C")
        return 130
    return 0


def run(command: Check | Make, progress: Progress) -> None:
    """Check the guide, and make what the command asks for. Raises GuideError."""
    from builder.check import check

    if isinstance(command, Check):
        names, update, limit = command.chapters, command.update, command.limit
        check(command.folder, names, update, progress, limit, command.older)
        return
    makers = makers_of(command)
    book = check(command.folder, (), False, progress)
    out = command.out or command.folder / "_build"
    out.mkdir(parents=True, exist_ok=True)
    for kind, name, write in makers:
        write(book, out / name, progress)
        path = out / name if kind != "site" else out / name / "index.html"
        progress.say(f"{kind:9} {path}")


def makers_of(command: Make) -> list[tuple[str, str, Callable[[Book, Path, Progress], None]]]:
    """What a command makes: its kind, its name and what writes it.

    What writes it is imported before the checks, which take minutes: it may not be installed.
    """
    makers: list[tuple[str, str, Callable[[Book, Path, Progress], None]]] = []
    if isinstance(command, Pdf | All):
        from builder.pdf import write_pdf

        makers.append(("PDF", "guide.pdf", write_pdf))
    if isinstance(command, Markdown | All):
        from builder.archive import write_archive

        makers.append(("Markdown", "guide-markdown.zip", write_archive))
    if isinstance(command, Html | All):
        from builder.site import write_site

        makers.append(("site", "site", write_site))
    return makers


if __name__ == "__main__":
    sys.exit(main())
