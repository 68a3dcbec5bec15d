"""Output: no control code reaches the terminal, and a command that it shows can be pasted."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_llm.commands.console import PlainConsole, TerminalConsole
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.terminal import one_line, printable, shell_command, typed_text
from tinygrad_llm.training.plot import LONGEST_TITLE, plot_loss, shown_title

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\rd\x9b1me\x00f\x7fg\u202eh\tz\n"
SHOWN = r"a\x1b[2Jb\x1b]0;title\x07c\x0dd\x9b1me\x00f\x7fg\u202eh" + "\tz\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_control_codes_are_shown_and_not_obeyed():
    assert printable(HOSTILE) == SHOWN
    assert one_line("a\nb\x1b") == r"a\nb\x1b"
    text = "naïve 日本 😀 שלום a\tb\nc"
    assert printable(text) == text
    assert printable("dos\r\nfile") == "dos\nfile"
    every = "".join(map(chr, range(0x110000)))
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in printable(every) if c not in "\t\n")


@pytest.mark.parametrize("console", [PlainConsole, TerminalConsole])
def test_consoles_show_text_as_given_but_for_control_codes(console):
    for text in ("runs/:smile:/loss.png", "[bold]x[/]", "[/]", "a" * 300, "$\\alpha$ :+1:"):
        out = Terminal()
        console(out).say(text)
        console(out).write(text)
        assert out.getvalue() == f"{text}\n{text}"
    out = Terminal()
    console(out).say(HOSTILE)
    console(out).write(HOSTILE)
    assert "\x1b[2J" not in out.getvalue() and out.getvalue().count(r"\x1b[2J") == 2
    with console(out).progress("reading [red]\x1b[2J:smile:") as progress:
        progress(1, 2)
    assert "\x1b[2J\x07" not in out.getvalue() and ":smile:" in out.getvalue()


NAMES = [
    "run",
    "my run",
    "it's",
    "a$b",
    "-x",
    "a\nb",
    "\x1b[2J",
    "naïve",
    "*",
    "caf\udce9",
    "\\x41",
]


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell reads the command")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_shell_reads_back_what_was_meant(name):
    command = shell_command(
        sys.executable, "-c", "import os, sys; print(os.fsencode(sys.argv[1]))", name
    )
    assert printable(command) == command and "\n" not in command
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == repr(os.fsencode(name)), done.stderr


def test_paths_as_people_write_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a b") == tmp_path / "a b"
    assert user_path("a/~") == Path("a/~")
    for text, words in (("", "is empty"), ("a\0b", "zero byte"), ("~no-such-user/a", "no home")):
        with pytest.raises(UserError, match=words) as caught:
            user_path(text)
        assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_an_argument_in_a_locale_without_utf8_is_text_all_the_same():
    assert typed_text("plain", "x") == "plain"
    as_ascii = "naïve".encode().decode("ascii", "surrogateescape")
    assert typed_text(as_ascii, "the prompt") == "naïve"
    with pytest.raises(UserError, match=r"the prompt is not UTF-8 text: \\udcff"):
        typed_text("\udcff", "the prompt")


@pytest.mark.parametrize(
    "title",
    [
        "cost_$5_or_$6.txt",
        "Ba$$in.txt",
        "caf\udce9.txt",
        r"\frac{",
        "\x1b[2J",
        "x" * 400,
        "日本😀",
        "a\nb",
    ],
    ids=lambda title: ascii(title)[:20],
)
def test_any_name_can_be_the_title_of_the_plot(tmp_path, title, recwarn):
    plot_loss([{"step": 1, "train_loss": 2.0}], tmp_path / "loss.png", f"tiny on {title}")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [str(w.message) for w in recwarn] == []
    assert len(shown_title(title)) <= LONGEST_TITLE


def test_the_plot_does_not_depend_on_the_users_style(tmp_path):
    import matplotlib

    metrics = [{"step": k, "train_loss": 3.0 / k} for k in (1, 2, 3)]
    plot_loss(metrics, tmp_path / "a.png")
    with matplotlib.rc_context({"text.usetex": True, "figure.facecolor": "black"}):
        plot_loss(metrics, tmp_path / "b.png")
        assert matplotlib.rcParams["text.usetex"]  # the user's settings are theirs again
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
