"""Which tokens of a conversation a model learns from: those that it would have to write itself.

That is, for every turn of the assistant, its text and the mark that ends it. The mark that begins
the turn is not among them: a generator puts it there (``add_generation_prompt``).

    ...Hi!<|im_end|>\\n<|im_start|>assistant\\nHello.<|im_end|>\\n<|im_start|>user\\n...
          ---------- begin ----------------     ---- end ---
                                          ^^^^^^^^^^^^^^^^ counts

What stands between a question and its answer, and what ends the answer, are found by rendering a
conversation of two known turns. In any other conversation they are then looked for in its text,
where the names of special tokens are the template's own: users' text that contains them is hidden
(``tokenizer/chat_template.py``). Rendering a conversation up to each turn would find the same
places in some templates, but not in those that write earlier turns differently from the last one
(Qwen 3 leaves out what the assistant thought).

Each stretch that counts, and each that does not, is encoded by itself, as it is when a model
answers: no token crosses the border between prompt and answer.
"""

import os.path
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.rows import Chat, FaultyRow, Message, Report
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.chat_template import TemplateFailed, render_hidden

BATCH = 256  # conversations that one process renders; starting it takes longer than many of them
BATCH_CHARACTERS = 1 << 20

_QUESTION, _ANSWER = "\u00a7 question \u00a7", "\u00a7 answer \u00a7"


@dataclass(frozen=True)
class Masked:
    """Token ids (T,) and, (T,) too, the number of the assistant's turn that each belongs to.

    Turns count from 0; -1 is what a model does not write.
    """

    ids: np.ndarray
    turns: np.ndarray


@dataclass(frozen=True)
class Markers:
    """The text between a question and its answer in a template, and that which ends the answer."""

    begin: str
    end: str

    def turns(self, text: str) -> list[tuple[int, int]]:
        """Where the assistant's turns begin and end in a text, end marks included."""
        found, at = [], 0
        while (start := text.find(self.begin, at)) >= 0:
            start += len(self.begin)
            stop = text.find(self.end, start)
            if stop < 0:
                break
            at = stop + len(self.end)
            found.append((start, at))
        return found


def find_markers(tokenizer: Tokenizer) -> Markers:
    """The marks of a tokenizer's chat template.

    Raises UserError if it has none, or marks that are not special tokens: text could imitate those.
    """
    asked: list[Message] = [{"role": "user", "content": _QUESTION}]
    answered = [*asked, {"role": "assistant", "content": _ANSWER}]
    conversations = [
        {"messages": asked, "add_generation_prompt": True},
        {"messages": answered, "add_generation_prompt": False},
    ]
    names = tokenizer.special_tokens
    (prompt, whole), _ = render_hidden(tokenizer.conventions, names, conversations)
    marked = _QUESTION in prompt and _QUESTION in whole and _ANSWER in whole
    if marked:
        prompt, whole = (text[text.index(_QUESTION) + len(_QUESTION) :] for text in (prompt, whole))
        # A template may begin the answer for the model (<think>): that is not in all turns.
        begin = os.path.commonprefix([prompt, whole])
        answer = whole.index(_ANSWER)
        end, name = _first_name(whole[answer + len(_ANSWER) :], names)
        marked = name is not None and _first_name(begin, names)[1] is not None
        # A template that does not know add_generation_prompt begins the turn after the prompt.
        marked = marked and _first_name(whole[len(begin) : answer], names)[1] is None
    if not marked:
        raise UserError(
            "the tokenizer's chat template does not mark where the assistant's turns begin and "
            "end, so it is not known which tokens to learn: use a template with such marks, or "
            "rows of prompt and completion and no template (--template plain)"
        )
    return Markers(begin, end)


def _first_name(text: str, names: Iterable[str]) -> tuple[str, str | None]:
    """The text up to the end of the first special token's name in it, and that name."""
    places = [(text.index(name), -len(name), name) for name in names if name in text]
    if not places:
        return "", None
    at, _, name = min(places)
    return text[: at + len(name)], name


def mask_conversations(
    tokenizer: Tokenizer, chats: Sequence[Chat], report: Report
) -> list[Masked | None]:
    """The ids of each conversation, with the assistant's turns marked.

    None, and a fault in the report, for one that the template cannot write. Raises UserError as
    ``find_markers`` does.
    """
    if not chats:
        return []
    markers = find_markers(tokenizer)
    found: list[Masked | None] = [None] * len(chats)
    variables = [{"messages": chat.messages, "add_generation_prompt": False} for chat in chats]
    for i, text, restore in _rendered(tokenizer, chats, variables, report):
        turns = markers.turns(text)
        expected = sum(message["role"] == "assistant" for message in chats[i].messages)
        if len(turns) != expected:
            sentence = f"the chat template writes {len(turns)} of its {expected} assistant turns"
            report.fault(FaultyRow(chats[i].row, "a conversation the template changes", sentence))
        else:
            found[i] = _masked(tokenizer, text, turns, restore)
    return found


def encode_prompts(
    tokenizer: Tokenizer, chats: Sequence[Chat], report: Report
) -> list[np.ndarray | None]:
    """The ids of each conversation's prompt, up to the text that begins the assistant's turn.

    None, and a fault in the report, for one that the template cannot write.
    """
    found: list[np.ndarray | None] = [None] * len(chats)
    variables = [{"messages": chat.prompt, "add_generation_prompt": True} for chat in chats]
    for i, text, restore in _rendered(tokenizer, chats, variables, report):
        found[i] = np.array(tokenizer.encode_rendered(text, restore), np.int64)
    return found


def _masked(
    tokenizer: Tokenizer, text: str, turns: list[tuple[int, int]], restore: Callable[[str], str]
) -> Masked:
    ids: list[int] = []
    numbers: list[int] = []
    at = 0
    for number, (start, stop) in enumerate([*turns, (len(text), len(text))]):
        for piece, turn in ((text[at:start], -1), (text[start:stop], number)):
            found = tokenizer.encode_rendered(piece, restore)
            ids += found
            numbers += [turn] * len(found)
        at = stop
    return Masked(np.array(ids, np.int64), np.array(numbers, np.int64))


def _rendered(
    tokenizer: Tokenizer, chats: Sequence[Chat], variables: list[dict[str, Any]], report: Report
) -> Iterator[tuple[int, str, Callable[[str], str]]]:
    """The number of each conversation, its text, and what restores users' text in it.

    In batches; but for those that the template cannot write.
    """
    names, start = tokenizer.special_tokens, 0
    stop = _end_of_batch(chats, start)
    while start < stop:
        try:
            texts, restore = render_hidden(tokenizer.conventions, names, variables[start:stop])
        except TemplateFailed as error:
            if error.index is None:
                raise
            if error.index:  # those before it can be written
                stop = start + error.index
            else:
                fault = FaultyRow(chats[start].row, "refused by the chat template", str(error))
                report.fault(fault)
                start += 1
                stop = _end_of_batch(chats, start)
        else:
            yield from ((start + i, text, restore) for i, text in enumerate(texts))
            start, stop = stop, _end_of_batch(chats, stop)


def _end_of_batch(chats: Sequence[Chat], start: int) -> int:
    characters, stop = 0, start
    while stop < min(start + BATCH, len(chats)) and characters < BATCH_CHARACTERS:
        characters += sum(len(message["content"]) for message in chats[stop].messages)
        stop += 1
    return stop
