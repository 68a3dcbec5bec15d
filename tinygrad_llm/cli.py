"""The command line: ``tinygrad-llm train``, ``generate``, ``tokenizer``, ``data``, ...

A thin table. tyro turns the dataclasses of config.py and commands/options.py into options and
help; the work is in commands/, imported only when it is needed, so that ``--help`` is quick.

Exit codes: 2 is a mistake in the input, with one line on standard error, whether tyro or a command
finds it; 1 a run that is trained and saved, but something after its last step failed; 130 and 143 a
stop by Ctrl-C and SIGTERM. A traceback is a bug in this project.
"""

import contextlib
import errno
import importlib
import io
import os
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from tinygrad_llm.commands import (
    eval_options,
    explore_options,
    finetune_kinds,
    inspect_options,
    options,
    pipeline_options,
    text_options,
)
from tinygrad_llm.commands.parsing import PROGRAM, parse_words
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import exit_code
from tinygrad_llm.machine.process import check_blas, let_blas_sleep
from tinygrad_llm.terminal import one_line
from tinygrad_llm.version import __version__

COMMANDS: dict[type, str] = {
    TrainConfig: "train",
    text_options.GenerateOptions: "generate",
    text_options.ChatOptions: "chat",
    **dict.fromkeys(finetune_kinds.KINDS.values(), "finetune"),
    finetune_kinds.ResumeOptions: "finetune:continue_run",
    options.ClassifyTextOptions: "classify",
    eval_options.EvalOptions: "eval",
    pipeline_options.PipelineOptions: "pipeline",
    inspect_options.InspectOptions: "inspect",
    explore_options.ExploreOptions: "explore",
    options.TokenizerTrain: "tokenizer:train",
    options.TokenizerEncode: "tokenizer:encode",
    options.TokenizerDecode: "tokenizer:decode",
    options.CompletionOptions: "completion",
    options.DataPrepare: "data:prepare",
    options.DataInspect: "data:inspect",
    options.DataList: "data:list_corpora",
    options.EvaluateOptions: "evaluate",
    options.PlotOptions: "plot",
    options.ExportOptions: "export",
    options.FuseOptions: "export:fuse",
    options.GradcheckOptions: "gradcheck",
    options.InfoOptions: "info",
}
"""The module in commands/ for each kind of options, and its function if that is not ``run``."""

NARROWEST = 20  # columns of a terminal in which help is laid out

# Problems with a disk, a path or a permission: the user can solve them, so they are not bugs.
_USERS_PROBLEMS = {
    getattr(errno, name)
    for name in (
        "ENOENT EACCES EPERM ENOSPC EDQUOT EROFS EISDIR ENOTDIR ENAMETOOLONG EIO ELOOP EMFILE EFBIG"
    ).split()
    if hasattr(errno, name)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` excludes the program's name."""
    argv = sys.argv[1:] if argv is None else list(argv)
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # for characters the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(argv)
        sys.stdout.flush()  # here, a full disk or a closed pipe can still be reported
        return code
    except SystemExit as stop:  # tyro has printed the help
        return int(stop.code or 0)
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reader of our output has closed it: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.errno is None:  # raised by the library
            return _fail(str(error))
        if error.errno not in _USERS_PROBLEMS:
            raise
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        return _fail(f"{error.strerror}{where}")
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory")
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        return exit_code(stop)


def _run(argv: list[str]) -> int:
    if argv[:1] == ["--version"]:
        print(f"{PROGRAM} {__version__}")
        return 0
    command = parse(argv)
    name, _, function = COMMANDS[type(command)].partition(":")
    let_blas_sleep()  # before the command imports NumPy
    check_blas()
    module = importlib.import_module(f"tinygrad_llm.commands.{name}")
    with warnings.catch_warnings():  # warnings of libraries look like our own notes
        warnings.showwarning = _note
        return getattr(module, function or "run")(command)


def open_closed_streams() -> None:
    """Give a process that was started without standard streams (``>&-``) empty ones.

    Otherwise the first file it opens would get the number of a standard stream, and be written to
    by mistake.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"note: {one_line(str(message))}", file=sys.stderr)


def parse(argv: Sequence[str]) -> Any:
    """The options of the command in ``argv``: an object of a type in COMMANDS.

    Raises UserError for anything that tyro cannot parse, and SystemExit(0) after printing help.
    """
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)  # with fewer, tyro's layout never ends
    if any(a.partition("=")[0] == "--config" for a in argv):
        argv, command = _parse_with_config(argv)
    else:
        command = _parse_words(argv)
    command = getattr(command, "command", command)  # of `tokenizer train`, `data list`, ...
    if isinstance(command, TrainConfig):
        object.__setattr__(command, "typed", _typed(argv))
    return command


def _parse_words(argv: Sequence[str]) -> Any:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return parse_words(argv)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(complaint.getvalue(), argv)) from None


def _parse_with_config(argv: Sequence[str]) -> tuple[Sequence[str], Any]:
    """The words with those of the file that --config names, and the command that they are."""
    from tinygrad_llm.commands.config_file import with_config

    argv, of_file, path = with_config(argv)
    try:
        return argv, _parse_words(argv)
    except UserError:
        if path is not None:  # if the file's options cannot be, whatever was typed, say so
            try:
                _parse_words(of_file)
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
        raise


def _typed(argv: Sequence[str]) -> frozenset[str]:
    """The names of the options in a command line, as fields are called."""
    names = (a.partition("=")[0][2:].replace("-", "_") for a in argv if a.startswith("--"))
    return frozenset(n.removeprefix("no_") if n != "no_verify" else n for n in names)


_PARSERS_WORDS: tuple[tuple[str, Any], ...] = (
    # tyro's words about an option that may be left out
    (
        r"no type matching \{None\}\|(\w+) could be instantiated from \['(.*?)'\].*",
        r"expected \1, found '\2'",
    ),
    # and about one that may not
    (r"Missing from [\w -]+: ([A-Z]+)\b.*\(required\)", r"\1 is missing"),
    (
        r"Missing value for argument '(?:command\.)+(\w+)'\. Expected 1 values",
        lambda match: f"{match[1].upper()} is missing",
    ),
    # Python's words to programmers about an integer of thousands of digits
    (r"Exceeds the limit .* value has (\d+) digits.*", r"a number of \1 digits is too long"),
    (
        r"expected INT, found '([\d ]{1000,})'",
        lambda match: f"a number of {len(match[1].replace(' ', ''))} digits is too long",
    ),
)


def _one_line(box: str, argv: Sequence[str]) -> str:
    """tyro's complaint, a box of several parts, as one sentence.

    After the title, the first part says what is wrong; a part that starts with "Perhaps you meant"
    or "Available" says what would be right; the rest repeats the help. On a terminal the box is
    coloured; on one with ASCII only, it is drawn with dashes and has no sides.
    """
    box = re.sub(r"\x1b\[[0-9;]*m", "", box)
    box = re.sub(r"(?m)^╭─ (.*?) ─*╮$", r"\1\n───", box).replace("╰", "").replace("╯", "")
    lines = [line.strip(" │") for line in box.splitlines()]
    parts = [part.split() for part in re.split(r"\n[─-]{3,}(?:\n|$)", "\n".join(lines))]
    relevant = parts[1:2] + [p for p in parts[2:] if p and p[0] == "Available"]
    text = "; ".join(" ".join(words).rstrip(".") for words in relevant)
    text += _nearest_option(" ".join(map(" ".join, parts[2:])), argv)
    text = re.sub(r"^Error parsing \w+: (?=[a-z_-])", "", text)  # a UserError of the dataclass
    text = text.removeprefix("Error parsing command.command: ")  # likewise, of `finetune KIND`
    for theirs, ours in _PARSERS_WORDS:
        text = re.sub(theirs, ours, text)
    return f"{text} (see `{PROGRAM} --help`)"


def _nearest_option(hints: str, argv: Sequence[str]) -> str:
    """The option that tyro finds nearest, if it is one of the command's own."""
    near = re.search(r"Perhaps you meant: .*?(--[a-z0-9-]+)", hints)
    if near is None or f"in {PROGRAM} {argv[0]} " not in hints:
        return ""
    return f": did you mean {near[1]}?"


def _fail(sentence: str) -> int:
    with contextlib.suppress(OSError):  # if even this cannot be written, there is the exit code
        print(f"error: {one_line(sentence)}", file=sys.stderr)
    return 2
