"""Where a chat's questions come from and its answers go: a terminal, or a pipe.

Answers are all that is written to standard output. Prompts, notices and errors go to standard
error, and only a terminal gets prompts. Both kinds of screen have the same methods:

    ask()           the next question; None at the end
    write(text)     a piece of an answer
    end()           the answer is over
    notice(text)    something about the chat
    error(text)     something that went wrong
"""

import codecs
import sys
from collections.abc import Sequence

from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import Stopped
from tinygrad_llm.terminal import one_line, printable, typed_text

MAX_LINE = 1 << 24  # bytes of a question


def make_screen(commands: Sequence[str]) -> "Pipe":
    """The screen that suits standard input; ``commands`` are completed by the tab key."""
    return Terminal(commands) if sys.stdin.isatty() else Pipe()


class Pipe:
    """One question a line from standard input; empty lines are skipped."""

    interactive = False

    def __init__(self) -> None:
        self._line = 0
        self._between = ""  # what comes before the next answer
        self._held = ""

    def ask(self) -> str | None:
        while data := sys.stdin.buffer.readline(MAX_LINE + 1):
            self._line += 1
            if self._line == 1:
                data = data.removeprefix(codecs.BOM_UTF8)
            if len(data) > MAX_LINE:
                raise UserError(
                    f"line {self._line} of standard input has more than {MAX_LINE:,} bytes"
                )
            try:
                text = data.decode()
            except UnicodeDecodeError as error:
                raise UserError(
                    f"line {self._line} of standard input is not text: byte {error.start} is not "
                    "UTF-8"
                ) from None
            if text.strip():
                return text.rstrip("\r\n")
        return None

    def write(self, text: str) -> None:
        text = self._between + self._held + text
        self._between = self._held = ""
        if text.endswith("\r"):  # the first half of a Windows line end
            text, self._held = text[:-1], "\r"
        self._print(printable(text))

    def end(self) -> None:
        # An empty line tells answers of several paragraphs apart.
        self._print(self._between + printable(self._held) + "\n")
        self._between, self._held = "\n", ""

    def notice(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)

    def error(self, text: str) -> None:
        print(f"error: {one_line(text)}", file=sys.stderr, flush=True)

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class Terminal(Pipe):
    """A person who types: a prompt, line editing, colours for what is not an answer.

    A line that ends with a backslash goes on in the next one.
    """

    interactive = True

    def __init__(self, commands: Sequence[str]) -> None:
        from rich.console import Console

        super().__init__()
        self._rich = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._edits = sys.stdout.isatty()
        self._marks = self._edits and _line_editing(commands)
        self._interrupted = False

    def ask(self) -> str | None:
        """The next question. Ctrl-C gives up the line; a second one, like Ctrl-D, is the end."""
        while True:
            self._print_error("\n")
            try:
                line = self._ask_all()
            except EOFError:
                self._print_error("\n")
                return None
            except Stopped:
                raise
            except KeyboardInterrupt:
                self._print_error("\n")
                if self._interrupted:
                    return None
                self._interrupted = True
                self.notice("Ctrl-C again, or Ctrl-D, ends the chat")
                continue
            except UserError as error:
                self.error(str(error))
                continue
            self._interrupted = False
            if line.strip():
                self._print_error("\n")
                return line

    def end(self) -> None:
        super().end()
        self._between = ""

    def notice(self, text: str) -> None:
        self._rich.print(printable(text), style="dim", soft_wrap=True)

    def error(self, text: str) -> None:
        self._rich.print(one_line(text), style="red", soft_wrap=True)

    def _ask_all(self) -> str:
        lines = [self._ask_line("> ")]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self._ask_line(". "))
        return "\n".join(lines)

    def _ask_line(self, prompt: str) -> str:
        """One line; raises EOFError at the end, and UserError for bytes that are not text."""
        try:
            if self._edits:
                return typed_text(input(self._coloured(prompt)), "the line")
            self._print_error(prompt)
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise UserError("the line is not UTF-8 text") from None
        if not line:
            raise EOFError
        return typed_text(line.rstrip("\r\n"), "the line")

    def _coloured(self, prompt: str) -> str:
        """The prompt in colour; readline's marks keep the codes out of the width of the line."""
        if not self._marks or self._rich.no_color or not self._rich.is_terminal:
            return prompt
        return f"\x01\x1b[1;36m\x02{prompt}\x01\x1b[0m\x02"

    def _print_error(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _line_editing(commands: Sequence[str]) -> bool:
    """Turn on line editing and the tab key; returns whether prompts may mark control codes."""
    try:
        import readline
    except ImportError:  # Windows has its own
        return False
    names = [f"/{name}" for name in commands]

    def complete(text: str, state: int) -> str | None:
        matches = [name for name in names if text and name.startswith(text)]
        return matches[state] if state < len(matches) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    return not libedit
