"""Run one chapter's snippets, in a process of its own: ``python -P snippets.py JOB``.

JOB is a JSON file that run.py wrote. For each block one line of JSON is appended to the job's
results: what it printed, what it raised, which figures it saved. The first block that fails ends
the chapter, since the ones after it build on it.

Nothing here is imported by the rest of the builder, and nothing of the builder is imported here:
the process belongs to the chapter.
"""

import functools
import json
import linecache
import os
import subprocess
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def main(job: dict[str, Any]) -> None:
    """Run a job's blocks in order."""
    name = job["name"]
    lines = code_lines(job["text"], job["blocks"])
    linecache.cache[name] = (len(job["text"]), None, lines, name)
    module = types.ModuleType("__main__")
    module.__file__ = name
    sys.modules["__main__"] = module
    if "matplotlib" in job["text"]:
        prepare_figures(job["style"])
    home = Path.cwd()
    figures = home / "figures"
    before = saved(figures)
    for block in job["blocks"]:
        start = time.perf_counter()
        with Captured() as captured:
            if block["language"] == "sh":
                result = run_commands(block, job)
            else:
                result = run_python(block, name, module)
        if result["error"] is None and where() != home:
            error = f"the snippet leaves the working folder for {where()}: go back at its end"
            result = {"error": error, "trace": "", "at": block["line"], "missing": None}
        after = saved(figures)
        result |= {
            "line": block["line"],
            "stdout": captured.stdout,
            "stderr": captured.stderr,
            "figures": [file for file in after if after[file] != before.get(file)],
            "seconds": time.perf_counter() - start,
        }
        before = after
        write(job, result)
        if result["error"] is not None and not block["raises"]:
            break
    sys.stdout.flush()
    sys.stderr.flush()
    write(job, {"finished": os.fstat(1).st_size})  # of the log, which should not grow any more


def write(job: dict[str, Any], result: Result) -> None:
    """Append a result to the job's results, wherever a snippet has gone."""
    with open(job["results"], "a", encoding="utf-8") as results:
        results.write(json.dumps(result) + "\n")


def where() -> Path | str:
    """The folder that the process is in."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return "one that it removed"


def code_lines(text: str, blocks: list[Result]) -> list[str]:
    """A chapter's lines, empty outside its Python: what tracebacks and inspect.getsource show."""
    lines = ["\n"] * (text.count("\n") + 1)
    for block in blocks:
        if block["language"] == "python":
            code = block["text"].splitlines(keepends=True)
            lines[block["line"] : block["line"] + len(code)] = code
    return lines


def run_python(block: Result, name: str, module: types.ModuleType) -> Result:
    """Run a Python block in the chapter's module; tracebacks name the lines of the Markdown."""
    try:
        code = compile("\n" * block["line"] + block["text"], name, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: it is shown
        return failure(error, name, block["line"])
    return {"error": None}


def failure(error: BaseException, name: str, first: int) -> Result:
    """An exception as data: its last line, its traceback, and the chapter's line that raised it."""
    # Our own frame comes first: leave it out.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    frames = traceback.extract_tb(trace)
    own = [frame.lineno for frame in frames if frame.filename == name and frame.lineno]
    at = own[-1] if own else first + 1
    if isinstance(error, SyntaxError) and error.filename == name and error.lineno:
        at = error.lineno
    missing = error.filename if isinstance(error, FileNotFoundError) else None
    missing = missing if isinstance(missing, str | bytes) else None
    return {
        "error": "".join(traceback.format_exception_only(error)).rstrip("\n"),
        "trace": "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n"),
        "at": at,
        "missing": None if missing is None else os.fsdecode(missing),
    }


def run_commands(block: Result, job: dict[str, Any]) -> Result:
    """Run a block of commands in the copy of code/, with this Python first on the path."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    environment = os.environ | {"PATH": os.pathsep.join(paths), "PYTHONPATH": job["python_path"]}
    done = subprocess.run(
        ["sh", "-e", "-c", block["text"]],
        cwd="code",
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    if done.returncode == 0:
        return {"error": None}
    error = f"the commands ended with exit code {done.returncode}"
    return {"error": error, "trace": "", "at": block["line"], "missing": None}


def saved(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a folder with their times and sizes."""
    found = {}
    for path in sorted(folder.glob("*")):
        status = path.stat()
        found[path.name] = (status.st_mtime_ns, status.st_size)
    return found


class Captured:
    """What is written to standard output and error meanwhile, by this process and its children."""

    def __enter__(self) -> "Captured":
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        self._files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
        for number, file in enumerate(self._files, 1):
            os.dup2(file.fileno(), number)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        texts = []
        for number, (file, kept) in enumerate(zip(self._files, self._kept, strict=True), 1):
            os.dup2(kept, number)
            os.close(kept)
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace").replace("\r\n", "\n"))
            file.close()
        self.stdout, self.stderr = texts


def prepare_figures(style: dict[str, Any]) -> None:
    """Our style, and SVG files that hold no date and no version."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    cycle = style.pop("axes.prop_cycle")
    matplotlib.rcdefaults()  # whatever the settings of who builds the guide
    matplotlib.use("Agg")
    matplotlib.rcParams.update(style)
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(**cycle)
    written = FigureCanvasSVG.print_svg

    @functools.wraps(written)  # matplotlib reads its signature
    def print_svg(self: Any, *args: Any, metadata: Any = None, **options: Any) -> Any:
        plain = {"Date": None, "Creator": None, "Format": None, "Type": None}
        return written(self, *args, metadata=plain | (metadata or {}), **options)

    FigureCanvasSVG.print_svg = print_svg


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
