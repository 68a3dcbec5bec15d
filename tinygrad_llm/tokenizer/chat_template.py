"""Chat templates: a conversation as the one text that a model was trained on.

Each model has its own marks around the turns, and its files contain a Jinja template that writes
them. It is rendered in a process of its own (``render_template.py`` says why), with limits on time,
memory and output.

What a user writes must not end a turn or begin one, even if it contains "<|im_end|>". So before
rendering, the first character of every special token's name inside the messages is replaced by a
stand-in, a private character of Unicode that occurs nowhere else. The names that the template
itself writes become special tokens, and then the stand-ins become text again.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.vocabulary import Conventions

SECONDS = (
    10  # of CPU; a template takes milliseconds, and the process that renders it 0.1 s to start
)
WAIT = 6 * SECONDS  # on a machine that does other work, too
MAX_CHARACTERS = 1 << 24
MAX_BYTES = 1 << 30

MAX_REASON = 300  # characters of the template's own message

_PRIVATE = range(0x100000, 0x10FFFE)  # the last plane of Unicode's private characters


class TemplateFailed(UserError):
    """A chat template cannot write a conversation: that with the number ``index``, if it is one."""

    def __init__(self, sentence: str, index: int | None = None) -> None:
        super().__init__(sentence)
        self.index = index


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The text that a chat template writes.

    variables: what the template may use: messages, add_generation_prompt, bos_token, ... Raises
    UserError for variables that are not JSON, and for a template that fails, that tries to leave
    its sandbox, or that takes too long or too much memory.
    """
    return render_all(template, [variables])[0]


def render_all(template: str, conversations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts for the variables of several conversations, within the limits of one.

    Raises as ``render`` does; a TemplateFailed names the conversation that could not be written.
    """
    limits = {"bytes": MAX_BYTES, "seconds": SECONDS, "characters": MAX_CHARACTERS}
    try:
        given = [dict(variables) for variables in conversations]
        task = json.dumps({"template": template, "conversations": given, "limits": limits})
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"the messages cannot be passed to the chat template: they are no JSON ({error})"
        ) from None
    program = Path(__file__).with_name("render_template.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(program)],
            input=task.encode(),
            capture_output=True,
            timeout=WAIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"the chat template took more than {WAIT} s: it was stopped") from None
    except OSError as error:
        raise UserError(f"the chat template cannot be rendered ({error})") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        answer = {"error": f"its process ended with {done.returncode} ({last})"}
    if "error" in answer:
        reason = re.sub(r"\s+", " ", answer["error"])[:MAX_REASON]
        printable = "".join(c if c.isprintable() else "\ufffd" for c in reason)
        raise TemplateFailed(f"the chat template failed: {printable}", answer.get("index"))
    return answer["texts"]


def render_conversation(conventions: Conventions, variables: Mapping[str, Any]) -> str:
    """The text of a conversation; ``render`` says what is raised, and so is a missing template.

    variables: messages, add_generation_prompt and whatever else is passed to the template.
    """
    return _render(conventions, [variables])[0]


def render_hidden(
    conventions: Conventions, names: Iterable[str], conversations: Sequence[Mapping[str, Any]]
) -> tuple[list[str], Callable[[str], str]]:
    """Texts whose special tokens are the template's own, and what restores the users' text in them.

    names: of the special tokens. conversations: for each, the variables of the template. A name in
    a text, or in a part of one, is a special token; all the rest passes through the function before
    it is encoded. Raises as ``render_all`` does, and for a missing template.
    """
    used = json.dumps(conversations, default=str, ensure_ascii=False)
    hidden = StandIns(names, (used, conventions.chat_template or ""))
    given = [
        {key: hidden.hide(value) for key, value in variables.items()} for variables in conversations
    ]
    return _render(conventions, given), hidden.restore


def _render(conventions: Conventions, conversations: Sequence[Mapping[str, Any]]) -> list[str]:
    if conventions.chat_template is None:
        raise UserError(
            "this tokenizer has no chat template: its model was not trained on conversations"
        )
    common = {"tools": None, "documents": None, **conventions.template_variables}
    return render_all(conventions.chat_template, [{**common, **given} for given in conversations])


class StandIns:
    """Hides special tokens' names in text that is not the template's own.

    names: of the special tokens. used: every text that will meet in the rendering.
    """

    def __init__(self, names: Iterable[str], used: Iterable[str]) -> None:
        names = sorted(names)
        taken = set("".join(used))
        free = (chr(code) for code in _PRIVATE if chr(code) not in taken)
        self._of = {first: next(free) for first in sorted({name[0] for name in names})}
        self._original = {ord(stand_in): first for first, stand_in in self._of.items()}
        # A lookahead finds names that overlap, too.
        self._begins = re.compile("|".join(f"(?={re.escape(name)})." for name in names), re.DOTALL)

    def hide(self, value: Any) -> Any:
        """A copy of a text, list or dictionary in which no name of a special token is left."""
        if isinstance(value, str):
            return self._begins.sub(lambda found: self._of[found[0]], value) if self._of else value
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(inner) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self.hide(inner) for inner in value]
        return value

    def restore(self, text: str) -> str:
        """The text with the characters that were hidden."""
        return text.translate(self._original)
