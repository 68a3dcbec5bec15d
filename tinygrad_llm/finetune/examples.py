"""Rows of training data as token ids: what supervised fine-tuning, DPO and GRPO learn from.

    load_examples   ids and labels                       supervised fine-tuning
    load_pairs      a prompt, what is chosen, what is rejected      DPO, ORPO, a reward model
    load_judged     a prompt, an answer, whether it is liked        KTO
    load_prompts    a prompt, and the other columns of its row      GRPO

A text ends with the id that ends texts, a turn of a conversation with the mark that ends it
(``masks.py``): a model that never learned when to stop does not. Prompt and answer are encoded
separately, so that no token crosses the border between them.

What is longer than ``max_length`` loses its end. A row of which then no token of the answer is left
teaches nothing: it is dropped, and counted like everything else that is (``Report``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.tables import Row
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.masks import Masked, encode_prompts, mask_conversations
from tinygrad_llm.finetune.rows import (
    Chat,
    FaultyRow,
    Report,
    Said,
    Text,
    judged,
    preference,
    question,
    read_rows,
    said,
    used_rows,
)
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.conventions import bos_and_eos


@dataclass(frozen=True)
class Example:
    """ids (T,) that a model reads and labels (T,), the id to follow each, or IGNORE."""

    ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Pair:
    """The ids of a prompt, and of two answers to it with what ends them, (T,) each."""

    prompt: np.ndarray
    chosen: np.ndarray
    rejected: np.ndarray

    def examples(self) -> tuple[Example, Example]:
        """The prompt with each answer; labels count on the answer."""
        chosen, rejected = (completed(self.prompt, a) for a in (self.chosen, self.rejected))
        return chosen, rejected


@dataclass(frozen=True)
class Judged:
    """A prompt with an answer, the ids (T,) and labels (T,), and whether the answer is liked."""

    ids: np.ndarray
    labels: np.ndarray
    liked: bool


@dataclass(frozen=True)
class Prompt:
    """The ids (T,) of a prompt, and all columns of its row, which a reward function receives."""

    ids: np.ndarray
    row: Mapping[str, Any]
    place: str


def completed(prompt: np.ndarray, answer: np.ndarray) -> Example:
    """A prompt (T,) and an answer to it as an example whose labels count on the answer."""
    ids = np.concatenate([prompt, answer])
    return shifted(ids, np.arange(len(ids)) >= len(prompt))


def shifted(ids: np.ndarray, counts: np.ndarray) -> Example:
    """An example of ids (T + 1,): each but the last predicts the next one, where that counts."""
    return Example(ids[:-1], np.where(counts[1:], ids[1:], IGNORE))


def load_examples(
    path: Any,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    completion_only: bool = True,
    as_chat: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_faulty: bool = False,
) -> tuple[list[Example], Report]:
    """The examples of a file for supervised fine-tuning, in its order, and what was left out.

    The rows may have any form of ``rows.py``. Labels count on completions and the assistant's turns
    or, without ``completion_only``, everywhere. max_length: ids that a model reads at once.
    as_chat: write prompts, completions and instructions as conversations. columns: names of forms
    -> the file's own. skip_faulty: drop faulty rows instead of raising for the first.

    Raises UserError, a sentence with file and line, for a damaged file and a faulty row; and if no
    row is left.
    """
    report = Report(skip_faulty)
    options = {"completion_only": completion_only, "as_chat": as_chat}
    examples = encode_examples(read_rows(path, columns), tokenizer, max_length, report, **options)
    return _nonempty(examples, report, path), report


def encode_examples(
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    max_length: int,
    report: Report,
    *,
    completion_only: bool = True,
    as_chat: bool = False,
) -> list[Example]:
    """The examples of rows that have been read; the report says what was left out."""
    heard = used_rows(rows, report, said, as_chat)
    found = _examples_of(heard, tokenizer, max_length, report, completion_only)
    return [example for example in found if example is not None]


def _examples_of(
    heard: Sequence[Said],
    tokenizer: Tokenizer,
    max_length: int,
    report: Report,
    completion_only: bool = True,
) -> list[Example | None]:
    """An example of what each row says; None, and a line of the report, where there is none."""
    examples: list[Example | None] = []
    for one, masked in zip(heard, _encoded(tokenizer, heard, report), strict=True):
        examples.append(None)
        if masked is None:
            continue
        ids, answered = masked.ids, masked.turns >= 0
        if completion_only:
            ids = ids[: 1 + np.flatnonzero(answered).max()]  # nothing after that counts
        if not answered[1 : max_length + 1].any():
            report.drop(one.row.place, _too_long(max_length))
            continue
        if len(ids) > max_length + 1:
            report.cut.append(one.row.place)
        ids = ids[: max_length + 1]
        counts = answered[: len(ids)] if completion_only else np.ones(len(ids), bool)
        examples[-1] = shifted(ids, counts)
    return examples


def load_judged(
    path: Any,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    as_chat: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_faulty: bool = False,
) -> tuple[list[Any], Report]:
    """The answers of a file, each with what is thought of it, in its order, and what was left out.

    A file of preferences has pairs: a liked answer and another. Arguments and errors are those of
    ``load_examples``.
    """
    rows = read_rows(path, columns)
    if rows and {"chosen", "rejected"} <= rows[0].values.keys():
        return load_pairs(
            path, tokenizer, max_length, as_chat=as_chat, columns=columns, skip_faulty=skip_faulty
        )
    report = Report(skip_faulty)
    both = used_rows(rows, report, judged, as_chat)
    found = _examples_of([one for one, _ in both], tokenizer, max_length, report)
    judgements = [
        Judged(example.ids, example.labels, liked)
        for example, (_, liked) in zip(found, both, strict=True)
        if example is not None
    ]
    return _nonempty(judgements, report, path), report


def load_pairs(
    path: Any,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    as_chat: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_faulty: bool = False,
) -> tuple[list[Pair], Report]:
    """The pairs of a file of preferences, in its order, and what was left out.

    Arguments and errors are those of ``load_examples``. A pair whose answers are equal is faulty;
    one whose answers are equal once they are cut is dropped.
    """
    report = Report(skip_faulty)
    pairs = encode_pairs(read_rows(path, columns), tokenizer, max_length, report, as_chat=as_chat)
    return _nonempty(pairs, report, path), report


def encode_pairs(
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    max_length: int,
    report: Report,
    *,
    as_chat: bool = False,
) -> list[Pair]:
    """The pairs of rows that have been read; the report says what was left out."""
    both = used_rows(rows, report, preference, as_chat)
    chosen = _encoded(tokenizer, [one for one, _ in both], report)
    left = [(*pair, liked) for pair, liked in zip(both, chosen, strict=True) if liked is not None]
    rejected = _encoded(tokenizer, [other for _, other, _ in left], report)
    pairs = []
    for (one, _, liked), disliked in zip(left, rejected, strict=True):
        if disliked is None:
            continue
        place = one.row.place
        (prompt, best), (other, worst) = _last_answer(liked), _last_answer(disliked)
        if not np.array_equal(prompt, other):
            sentence = "the chat template writes the prompt of chosen and rejected differently"
            report.fault(FaultyRow(one.row, "a conversation the template changes", sentence))
            continue
        room = max_length + 1 - len(prompt)
        if room < 1:
            report.drop(place, _too_long(max_length))
        elif np.array_equal(best[:room], worst[:room]):
            report.drop(place, f"answers that are equal in {max_length:,} tokens")
        else:
            if max(len(best), len(worst)) > room:
                report.cut.append(place)
            pairs.append(Pair(prompt, best[:room], worst[:room]))
    return pairs


def load_prompts(
    path: Any,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    as_chat: bool = False,
    columns: Mapping[str, str] | None = None,
    skip_faulty: bool = False,
    system: str | None = None,
) -> tuple[list[Prompt], Report]:
    """The prompts of a file, in its order, and what was left out.

    Arguments and errors are those of ``load_examples``. A prompt longer than ``max_length`` is
    dropped: without its end it would be another question. system: the system prompt of
    conversations that have none.
    """
    report = Report(skip_faulty)
    asked = used_rows(read_rows(path, columns), report, question, as_chat)
    if system is not None:
        asked = [_with_system(one, system) for one in asked]
    chats = iter(encode_prompts(tokenizer, [x for x in asked if isinstance(x, Chat)], report))
    prompts = []
    for one in asked:
        ids = _prompt_ids(tokenizer, one) if isinstance(one, Text) else next(chats)
        if ids is None:
            continue
        if len(ids) > max_length:
            report.drop(one.row.place, f"a prompt of more than {max_length:,} tokens")
        else:
            prompts.append(Prompt(ids, one.row.values, one.row.place))
    return _nonempty(prompts, report, path), report


def _with_system(one: Said, system: str) -> Said:
    if isinstance(one, Text):
        raise UserError("a system prompt is for conversations, but the prompts are plain text")
    if one.prompt[0]["role"] == "system":
        return one
    return Chat(one.row, [{"role": "system", "content": system}, *one.prompt], one.answer)


def end_id(tokenizer: Tokenizer) -> int:
    """The id that ends a text. Raises UserError for a tokenizer that has none."""
    _, end = bos_and_eos(tokenizer.conventions, tokenizer.special_tokens)
    if end is None:
        raise UserError(
            "the tokenizer has no token that ends a text, so a model could not learn to stop"
        )
    return end


def _encoded(tokenizer: Tokenizer, heard: Sequence[Said], report: Report) -> list[Masked | None]:
    """The ids of what each row says; None, and a fault in the report, where there are none."""
    chats = [one for one in heard if isinstance(one, Chat)]
    masked = iter(zip(chats, mask_conversations(tokenizer, chats, report), strict=True))
    return [
        _encode_text(tokenizer, one) if isinstance(one, Text) else _without_prompt(*next(masked))
        for one in heard
    ]


def _without_prompt(chat: Chat, masked: Masked | None) -> Masked | None:
    """The turns of the assistant that are part of the prompt do not count."""
    if masked is None:
        return None
    earlier = sum(message["role"] == "assistant" for message in chat.prompt)
    return Masked(masked.ids, np.where(masked.turns < earlier, -1, masked.turns))


def _encode_text(tokenizer: Tokenizer, text: Text) -> Masked:
    prompt = _prompt_ids(tokenizer, text)
    answer = np.array([*tokenizer.encode(text.answer), end_id(tokenizer)], np.int64)
    turns = np.repeat([-1, 0], [len(prompt), len(answer)])
    return Masked(np.concatenate([prompt, answer]), turns)


def _prompt_ids(tokenizer: Tokenizer, text: Text) -> np.ndarray:
    """What begins every text, and the prompt."""
    prefix = tokenizer.conventions.prefix_ids
    return np.array([*prefix, *tokenizer.encode(text.prompt or "")], np.int64)


def _last_answer(masked: Masked) -> tuple[np.ndarray, np.ndarray]:
    """The ids before the last turn that counts, and those of the turn."""
    counts = np.flatnonzero(masked.turns == masked.turns.max())
    return masked.ids[: counts[0]], masked.ids[counts]


def _too_long(max_length: int) -> str:
    return f"no token of the answer within {max_length:,} tokens"


def _nonempty(found: list[Any], report: Report, path: Any) -> list[Any]:
    report.used = len(found)
    if not found:
        raise UserError(f"{path}: no row is left: {'; '.join(report.lines()[1:])}")
    return found
