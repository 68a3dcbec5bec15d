"""Running the chapters' snippets and holding what they print and draw against the guide.

Each chapter runs in one fresh process (snippets.py), in the working folder _build/work/ that all
chapters share, so chapter 10 may load what chapter 9 saved. Running all chapters begins with an
empty folder; running some keeps it, so that one can be tried alone after the ones before it.
"""

import contextlib
import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.book import Book, Chapter
from builder.compare import brief, difference
from builder.markdown import Block
from builder.problems import Problem
from builder.progress import Progress, Task
from builder.style import STYLE
from builder.svg import different
from builder.update import write_bytes, write_outputs

LIMIT = 240.0
"""Seconds that one chapter may take."""
THREADS = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR", "BLIS")
"""Whose number of threads is set to one, for sums that come out the same everywhere."""
SNIPPETS = Path(__file__).with_name("snippets.py")

Result = dict[str, Any]


def run_chapters(
    book: Book,
    chapters: list[Chapter],
    fresh: bool,
    update: bool,
    progress: Progress,
    limit: float = LIMIT,
    older: bool = False,
) -> list[Problem]:
    """Run some chapters, in order, and return the mistakes.

    ``fresh`` begins with an empty working folder; ``update`` writes into the guide what it would
    fail for; ``older`` computes as an older processor does, whose sums end in other bits.
    """
    work = book.folder / "_build" / "work"
    if fresh and work.exists():
        shutil.rmtree(work)
    problems = []
    with progress.task("running the chapters", len(chapters)) as task:
        for chapter in chapters:
            task.at(f"{chapter.number} {chapter.title}")
            _prepare(book, work)
            blocks = [block for block in chapter.blocks if _is_run(block)]
            start = time.perf_counter()
            results, stopped = _results(book, chapter, blocks, work, task, limit, older)
            problems += stopped + _judge(book, chapter, blocks, results, work, update)
            seconds = time.perf_counter() - start
            progress.say(f"  {chapter.number:>2} {chapter.title}: {seconds:.1f} s")
            task.advance()
    return problems


def _is_run(block: Block) -> bool:
    """Python that is no excerpt; commands whose output is shown."""
    return block.runs or (block.language == "sh" and block.output is not None)


def _prepare(book: Book, work: Path) -> None:
    """The working folder: an empty figures/, and code/ as it is now beside what runs left there."""
    figures = work / "figures"
    if figures.exists():
        shutil.rmtree(figures)
    figures.mkdir(parents=True)
    (work / "code").mkdir(exist_ok=True)
    if (book.folder / "code").is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(book.folder / "code", work / "code", dirs_exist_ok=True, ignore=ignored)


def _results(
    book: Book,
    chapter: Chapter,
    blocks: list[Block],
    work: Path,
    task: Task,
    limit: float,
    older: bool,
) -> tuple[list[Result], list[Problem]]:
    """Run a chapter's blocks: a result for each that ran, and why the process ended early."""
    if not blocks:
        return [], []
    scratch = work.parent / "snippets"
    scratch.mkdir(exist_ok=True)
    results, log = scratch / f"{chapter.name}.jsonl", scratch / f"{chapter.name}.log"
    results.write_bytes(b"")
    job = {
        "name": chapter.shown,
        "text": chapter.text,
        "style": STYLE,
        "results": str(results.resolve()),
        "python_path": os.environ.get("PYTHONPATH", ""),
        "blocks": [
            {
                "language": block.language,
                "text": block.text,
                "line": block.line,
                "raises": "raises" in block.words,
            }
            for block in blocks
        ],
    }
    file = scratch / f"{chapter.name}.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-P", str(SNIPPETS), str(file.resolve())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(book) | (_older() if older else {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        with _ended(process):
            done = _wait(process, results, blocks, chapter, task, limit)
    found = _read(results)
    finished = found.pop()["finished"] if found and "finished" in found[-1] else None
    last = blocks[len(found)].line if len(found) < len(blocks) else 0
    if not done:
        message = (
            f"the chapter took longer than {limit:g} s and was stopped in this snippet: make it "
            "smaller"
        )
        return found, [chapter.problem(last, message)]
    if process.returncode != 0:
        tail = _part_of(log, 0)
        message = f"the chapter's process ended with exit code {process.returncode} in this snippet"
        return found, [chapter.problem(last, f"{message}\n{tail}".rstrip())]
    if finished is None:
        message = "the snippet ended the chapter's process, so what follows it was not run"
        return found, [chapter.problem(last, message)]
    late = _part_of(log, finished)
    if late:
        message = "after this snippet, the chapter's last, its process still wrote\n" + late
        return found, [chapter.problem(blocks[len(found) - 1].line, message)]
    return found, []


def _part_of(log: Path, start: int) -> str:
    """What a log holds from a byte on, as a message shows it."""
    return brief(log.read_bytes()[start:].decode("utf-8", "replace").strip())


def _environment(book: Book) -> dict[str, str]:
    """What a chapter's process finds in its environment."""
    paths = [str((book.folder / "code").resolve()), os.environ.get("PYTHONPATH", "")]
    fixed = {
        "COLUMNS": "88",
        "MPLBACKEND": "Agg",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUTF8": "1",
    }
    return os.environ | fixed | {f"{name}_NUM_THREADS": "1" for name in THREADS}


@functools.cache
def _older() -> dict[str, str]:
    """What makes NumPy and OpenBLAS compute without this processor's newest instructions."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    newest = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    cores = {"x86_64": "Haswell", "AMD64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}
    core = cores.get(platform.machine())
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(newest)} | (
        {"OPENBLAS_CORETYPE": core} if core else {}
    )


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process and its children, whatever happens here, Ctrl-C too."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _wait(
    process: subprocess.Popen[bytes],
    results: Path,
    blocks: list[Block],
    chapter: Chapter,
    task: Task,
    limit: float,
) -> bool:
    """Wait for a process to end; False where it takes longer than it may."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            process.wait(0.05)
            return True
        except subprocess.TimeoutExpired:
            done = len(_read(results))
        if done < len(blocks):
            place = f"line {blocks[done].line}, snippet {done + 1} of {len(blocks)}"
            task.detail(f"{chapter.number} {chapter.title}, {place}")
    return False


def _read(results: Path) -> list[Result]:
    """The results that are there; a line that is still being written is not."""
    rows = results.read_text(encoding="utf-8").split("\n")
    return [json.loads(row) for row in rows[:-1]]


def _judge(
    book: Book,
    chapter: Chapter,
    blocks: list[Block],
    results: list[Result],
    work: Path,
    update: bool,
) -> list[Problem]:
    """Hold results against the chapter, or write them into it."""
    problems: list[Problem] = []
    outputs: list[tuple[Block, str]] = []
    saved: dict[str, Block] = {}
    for block, result in zip(blocks, results, strict=False):
        problems += _failures(book, chapter, block, result)
        printed = result["stdout"]
        if "raises" in block.words and result["error"] is not None:
            printed = (printed if not printed or printed.endswith("\n") else printed + "\n") + (
                result["error"] + "\n"
            )
        elif result["error"] is not None:
            break
        elif "raises" in block.words:
            continue
        saved |= dict.fromkeys(result["figures"], block)
        wrong = _output_problem(chapter, block, printed)
        measured = block.output is not None and "measured" in block.output.words
        if update and (wrong or measured) and printed != (block.output and block.output.text):
            outputs.append((block, printed))
        elif wrong:
            problems.append(wrong)
    whole = len(results) == len(blocks)
    problems += _judge_figures(book, chapter, saved, work, update, whole and not problems)
    if outputs:
        write_outputs(chapter.path, outputs)
    return problems


def _failures(book: Book, chapter: Chapter, block: Block, result: Result) -> list[Problem]:
    """What went wrong in a block, apart from its output."""
    problems = []
    error, raises = result["error"], "raises" in block.words
    if error is None and raises:
        problems.append(chapter.problem(block.line, "the snippet should raise, and did not"))
    if error is not None and not raises:
        if block.language == "sh":
            message = f"{error}\n{brief(result['stdout'].rstrip())}"
        elif not result["trace"]:
            message = error
        else:
            message = f"the snippet raised {brief(error)}\n{brief(result['trace'])}"
        first = _first_needed(book, chapter, result["missing"])
        if first is not None:
            message += f"\nChapter {first.number} makes that file: run it first, " + (
                f"python docs/guide/build.py check {int(first.number):02}"
            )
        problems.append(chapter.problem(result["at"], message))
    elif result["stderr"].strip():
        message = "the snippet wrote to standard error, which the guide does not show:\n"
        problems.append(chapter.problem(block.line, message + brief(result["stderr"].rstrip())))
    return problems


def _first_needed(book: Book, chapter: Chapter, missing: str | None) -> Chapter | None:
    """The earlier chapter whose snippets name a missing file, or the folder it lies in."""
    if missing is None:
        return None
    names = [part for part in reversed(Path(missing).parts) if part not in ("/", ".", "..")]
    for name in names:
        for earlier in book.chapters[: book.chapters.index(chapter)]:
            if any(name in block.text for block in earlier.blocks if _is_run(block)):
                return earlier
    return None


def _output_problem(chapter: Chapter, block: Block, printed: str) -> Problem | None:
    """How a block's output differs from what the chapter shows."""
    if block.output is None:
        if not printed.strip():
            return None
        message = (
            "the snippet prints, so an output block has to follow it directly; it printed\n"
            + brief(printed.rstrip())
        )
        return chapter.problem(block.line, message)
    wrong = difference(block.output.text, printed, block.output.words)
    if wrong is None and printed.strip():
        return None
    if not printed.strip():
        return chapter.problem(block.output.line, "the snippet prints nothing: remove its output")
    message = f"the snippet of line {block.line}: {wrong}\nit printed\n{brief(printed.rstrip())}"
    return chapter.problem(block.output.line, message)


def _judge_figures(
    book: Book, chapter: Chapter, saved: dict[str, Block], work: Path, update: bool, whole: bool
) -> list[Problem]:
    """Hold the figures that a chapter saved against the ones it shows and the committed ones."""
    problems = []
    shown = {f"{figure.name}.svg": figure for figure in chapter.figures}
    for file, block in saved.items():
        committed, made = book.folder / "figures" / file, work / "figures" / file
        if not file.endswith(".svg"):
            message = f"the snippet saves figures/{file}: a figure is an SVG file"
            problems.append(chapter.problem(block.line, message))
            continue
        if file not in shown:
            message = f"the snippet saves figures/{file}, which this chapter does not show"
            problems.append(chapter.problem(block.line, message))
        measured = "measured" in block.words
        wrong = "it is not there" if not committed.is_file() else None
        if wrong is None and not measured:
            wrong = different(committed, made)
        if update and (wrong or measured):
            write_bytes(committed, made.read_bytes())
        elif wrong:
            message = (
                f"figures/{file} is not the committed one: {wrong}; see whether that is meant, "
                "and write it with --update"
            )
            problems.append(chapter.problem(block.line, message))
    if whole:
        for file, figure in shown.items():
            if file not in saved:
                message = f"no snippet of this chapter saves figures/{file}, which it shows"
                problems.append(chapter.problem(figure.line, message))
    return problems
