"""The command line: ``tinygrad-llm train``, ``generate``, ``tokenizer``, ``data``, ...

A thin table. tyro turns the dataclasses of config.py and commands/options.py into options and
help; the work is in commands/, imported only when it is asked for, so that ``--help`` is quick.

A mistake in the input is one line on standard error and exit code 2, whether tyro finds it or the
work does. 1: a run is trained and saved, but something after its last step failed. 130 and 143 are
a stop by Ctrl-C and SIGTERM. A traceback is a bug in this project.
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
from typing import Annotated, Any

import tinygrad_llm
from tinygrad_llm.commands import options
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import exit_code
from tinygrad_llm.machine.process import let_blas_sleep
from tinygrad_llm.terminal import one_line

PROGRAM = "tinygrad-llm"
DESCRIPTION = (
    "A large language model from scratch: tokenizer, data, training and generation on NumPy arrays "
    "and a hand-written autograd engine. Begin with `tinygrad-llm train`. (--version prints the "
    "version.)"
)
COMMANDS: dict[type, str] = {
    TrainConfig: "train",
    options.GenerateOptions: "generate",
    options.TokenizerTrain: "tokenizer:train",
    options.TokenizerEncode: "tokenizer:encode",
    options.TokenizerDecode: "tokenizer:decode",
    options.DataPrepare: "data:prepare",
    options.DataList: "data:list_corpora",
    options.GradcheckOptions: "gradcheck",
    options.InfoOptions: "info",
}
"""The module in commands/ for each kind of options, and its function where that is not ``run``."""

NARROWEST = 20  # columns of a terminal in which help is laid out

# What a disk, a path or a permission can do to a program: the person's to mend, not a bug.
_THEIRS = {
    getattr(errno, name)
    for name in (
        "ENOENT EACCES EPERM ENOSPC EDQUOT EROFS EISDIR ENOTDIR ENAMETOOLONG EIO ELOOP EMFILE EFBIG"
    ).split()
    if hasattr(errno, name)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is without the program's name."""
    argv = sys.argv[1:] if argv is None else list(argv)
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sample may hold what the terminal has not
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(argv)
        sys.stdout.flush()  # or a full disk and a closed pipe would be noticed after this function
        return code
    except SystemExit as stop:  # tyro has printed the help
        return int(stop.code or 0)
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:  # whoever read our output has closed it: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.errno is None:  # raised by the library
            return _fail(str(error))
        if error.errno not in _THEIRS:
            raise
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        return _fail(f"{error.strerror}{where}")
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory")
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        return exit_code(stop)


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"{PROGRAM} {tinygrad_llm.__version__}")
        return 0
    command = parse(argv)
    module, _, function = COMMANDS[type(command)].partition(":")
    let_blas_sleep()  # before the command imports NumPy
    work = importlib.import_module(f"tinygrad_llm.commands.{module}")
    with warnings.catch_warnings():  # a library's note to the user, in the style of ours
        warnings.showwarning = _note
        return getattr(work, function or "run")(command)


def open_closed_streams() -> None:
    """Give a process that was started without standard streams (``>&-``) empty ones.

    Else the first file that it opens would get the number of one, and be written to by mistake.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))


def _note(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"note: {one_line(str(message))}", file=sys.stderr)


def parse(argv: Sequence[str]) -> Any:
    """The options of the command that ``argv`` asks for: an object of a type in COMMANDS.

    Raises UserError for anything that tyro cannot read, and SystemExit(0) when it printed help.
    """
    import tyro

    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)  # in less, tyro would lay out its help for ever
    named = tyro.conf.subcommand
    commands = (
        Annotated[TrainConfig, named("train")]
        | Annotated[options.GenerateOptions, named("generate")]
        | Annotated[options.TokenizerCommands, named("tokenizer")]
        | Annotated[options.DataCommands, named("data")]
        | Annotated[options.GradcheckOptions, named("gradcheck")]
        | Annotated[options.InfoOptions, named("info")]
    )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed: Any = tyro.cli(
                commands,  # type: ignore[arg-type]
                prog=PROGRAM,
                description=DESCRIPTION,
                args=list(argv),
                config=(
                    tyro.conf.PositionalRequiredArgs,
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.OmitSubcommandPrefixes,
                    tyro.conf.FlagCreatePairsOff,
                ),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(complaint.getvalue())) from None
    return getattr(parsed, "command", parsed)


_PARSERS_WORDS: tuple[tuple[str, Any], ...] = (
    # tyro's, of an option that may be left out
    (
        r"no type matching \{None\}\|(\w+) could be instantiated from \['(.*?)'\].*",
        r"expected \1, found '\2'",
    ),
    # Python's, for programmers: an integer of thousands of digits
    (r"Exceeds the limit .* value has (\d+) digits.*", r"a number of \1 digits is too long"),
    (
        r"expected INT, found '([\d ]{1000,})'",
        lambda found: f"a number of {len(found[1].replace(' ', ''))} digits is too long",
    ),
)


def _one_line(box: str) -> str:
    """tyro's complaint, a box of several parts, as one sentence.

    After the title, the first part says what is wrong, and one that begins "Perhaps you meant" or
    "Available" what would be right; the rest repeats the help. Where the terminal has ASCII only,
    the box is drawn with dashes and has no sides.
    """
    box = re.sub(r"(?m)^╭─ (.*?) ─*╮$", r"\1\n───", box).replace("╰", "").replace("╯", "")
    lines = [line.strip(" │") for line in box.splitlines()]
    parts = [part.split() for part in re.split(r"\n[─-]{3,}(?:\n|$)", "\n".join(lines))]
    told = parts[1:2] + [p for p in parts[2:] if p and p[0] in ("Perhaps", "Available")]
    text = "; ".join(" ".join(words).rstrip(".") for words in told)
    text = re.sub(r"^Error parsing \w+: (?=[a-z_])", "", text)  # a UserError of the dataclass
    for theirs, ours in _PARSERS_WORDS:
        text = re.sub(theirs, ours, text)
    return f"{text} (see `{PROGRAM} --help`)"


def _fail(sentence: str) -> int:
    with contextlib.suppress(OSError):  # where even that cannot be written, the exit code tells
        print(f"error: {one_line(sentence)}", file=sys.stderr)
    return 2
