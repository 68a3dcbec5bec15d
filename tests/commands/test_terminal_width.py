"""On a terminal, tables are as wide as it is; in a file or a pipe, as wide as they need to be."""

import contextlib
import io
import os
import re
import shlex
import sys

import pytest

from autograd.debug.format import table
from tinygrad_llm.commands import plot
from tinygrad_llm.commands.console import PlainConsole, TerminalConsole

LONG = "a" * 60
ROW = "     4    5.6796      5.6797  5.6793 4"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(*words, columns=80):
    """The exit code of a command on a terminal, and what it shows there without colours."""
    import fcntl
    import pty
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        os.execve(sys.executable, [sys.executable, "-m", "tinygrad_llm", *words], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while piece := os.read(terminal, 65536):
            shown += piece
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")


@pytest.mark.skipif(os.name != "posix", reason="pseudoterminals are POSIX's")
@pytest.mark.parametrize(
    "line, expected",
    [
        (
            "train --prest tiny",
            "error: Unrecognized options: --prest, tiny: did you mean --preset?",
        ),
        ("train --lr abc", "error: Error parsing --lr: expected FLOAT, found 'abc'"),
    ],
)
def test_what_the_option_parser_says_is_on_terminals_what_it_is_in_files(line, expected):
    code, shown = on_a_terminal(*shlex.split(line))
    assert (code, shown) == (2, f"{expected} (see `tinygrad-llm --help`)\n")


def test_names_and_values_fit_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("kernels", "one two three " * 9), ("a", f"{LONG}/{LONG}"), ("b\x1b", "c")]
    out, file = Terminal(), io.StringIO()
    assert TerminalConsole(out).entries(rows) == PlainConsole(file).entries(rows) == 7
    first, second, *path, last = out.getvalue().splitlines()
    assert first.startswith("kernels  one two") and len(first) <= 80
    assert re.fullmatch(r" {9}(one|two|three) .*", second)
    assert path == ["a", f"         {LONG}/{LONG}"]  # a path is never cut into two
    assert last == r"b\x1b    c"
    assert len(file.getvalue().splitlines()) == 3
    console = PlainConsole(io.StringIO())
    console.entries([("speed", "fast")], 9)
    assert console.stream.getvalue() == "speed      fast\n"


@pytest.mark.parametrize("width, lines", [(None, 3), (120, 3), (80, 6)])
def test_the_table_of_runs_is_whole_at_every_width(width, lines):
    found = plot.table({"short": ROW, LONG: ROW}, width)
    assert len(found) == lines and max(map(len, found)) <= (width or 200)
    text = "\n".join(found)
    assert text.count(ROW) == 2 and LONG in text and "validation    best at" in text


def test_a_profile_has_narrower_gaps_if_it_needs_them():
    headers = ["op", *(f">{'h' * 9}" for _ in range(7))]
    wide = table(headers, [["x" * 10, *range(7)]]).splitlines()
    narrow = table(headers, [["x" * 3, *range(7)]]).splitlines()
    assert len(wide[0]) == 10 + 7 * 10 and len(narrow[0]) == 3 + 7 * 11
