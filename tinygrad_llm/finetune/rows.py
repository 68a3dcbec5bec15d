"""Rows of training data in the forms that people have them, as prompts and answers.

    text                {"text"}
    conversation        {"messages": [{"role", "content"}, ...]}
    completion          {"prompt", "completion"}
    instruction         {"instruction", "input", "output"}                  Alpaca; no input: ""
    judged completion   {"prompt", "completion", "label"}, whose label is true or false
    preference          {"prompt", "chosen", "rejected"}
    ... of an instruction    {"instruction", "input", "chosen", "rejected"}
    ... without a prompt     {"chosen", "rejected"}, conversations whose beginning is the prompt

(The names are TRL's.) A prompt, completion, chosen or rejected is text or a list of messages. Other
columns may stand next to these; a reward function receives them.

An instruction becomes text in Alpaca's template (Taori et al. 2023), or the user's turn of a
conversation. A row that cannot be used is a ``FaultyRow``: one sentence with file and line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json, short
from tinygrad_llm.files.tables import Row, read_table

Message = Mapping[str, Any]
"""{"role": "system", "user" or "assistant", "content": text}, and what a template may use more."""

MESSAGES = [{"role": ("system", "user", "assistant"), "content": str, ...: object}]
_TEXT_OR_MESSAGES = (str, MESSAGES)

FORMS = "messages; prompt and completion; instruction and output; text"
LABELS = {"true": True, "1": True, "false": False, "0": False}
PREFERENCE_FORMS = "prompt, chosen and rejected; instruction, chosen and rejected"


class FaultyRow(UserError):
    """A row that cannot be used; ``reason`` says why in the few words that are counted."""

    def __init__(self, row: Row, reason: str, sentence: str) -> None:
        super().__init__(f"{row.place}: {sentence}")
        self.reason, self.place = reason, row.place


@dataclass
class Report:
    """What was done with the rows of a file: nothing is dropped or cut silently.

    With ``skip_faulty`` faulty rows are dropped and counted; otherwise the first one is an error.
    """

    skip_faulty: bool = False
    used: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """The places of the rows by the reason for which they were dropped."""
    cut: list[str] = field(default_factory=list)
    """The places of rows whose end was cut off."""

    def drop(self, place: str, reason: str) -> None:
        """Count a row that is not used."""
        self.dropped.setdefault(reason, []).append(place)

    def fault(self, error: FaultyRow) -> None:
        """Drop a faulty row, or raise its error."""
        if not self.skip_faulty:
            raise error
        self.drop(error.place, error.reason)

    def lines(self) -> list[str]:
        """The report as sentences: the rows used, then those dropped for each reason, then cut."""
        total = self.used + sum(map(len, self.dropped.values()))
        lines = [
            f"{self.used:,} of {counted(total, 'row')} {'is' if self.used == 1 else 'are'} used"
        ]
        for reason, places in self.dropped.items():
            lines.append(f"{len(places):,} dropped: {reason} (first: {places[0]})")
        if self.cut:
            lines.append(f"{len(self.cut):,} cut at the maximal length (first: {self.cut[0]})")
        return lines


@dataclass(frozen=True)
class Text:
    """What a row says, as text: ``answer``, which counts, follows ``prompt``, if there is one."""

    row: Row
    prompt: str | None
    answer: str


@dataclass(frozen=True)
class Chat:
    """What a row says, as a conversation: the assistant's turns in ``answer`` count."""

    row: Row
    prompt: list[Message]
    answer: list[Message]

    @property
    def messages(self) -> list[Message]:
        """The whole conversation."""
        return [*self.prompt, *self.answer]


Said = Text | Chat


def read_rows(path: Any, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a CSV, TSV, JSONL, JSON or Parquet file (``read_table``).

    ``columns`` gives names of forms for the file's own: {"prompt": "question"} reads the column
    question as prompt. Raises UserError for a damaged file and for a column that a row lacks.
    """
    rows = read_table(path)
    return [_renamed(row, columns) for row in rows] if columns else rows


def _renamed(row: Row, columns: Mapping[str, str]) -> Row:
    taken = set(columns.values())
    values = {name: value for name, value in row.values.items() if name not in taken}
    for name, column in columns.items():
        if column not in row.values:
            names = ", ".join(map(str, row.values))
            raise UserError(f"{row.place} has no column {column!r}: its columns are {names}")
        values[name] = row.values[column]
    return Row(values, row.place)


# --- what rows say -------------------------------------------------------------------------------


def said(row: Row, as_chat: bool = False) -> Said:
    """A row for supervised fine-tuning. Raises FaultyRow for one without a form, or with faults.

    With ``as_chat`` text becomes a conversation of two turns, for a model that has a template.
    """
    if _has(row, "messages"):
        return _conversation(row, [], _messages(row, "messages"))
    if _has(row, "prompt", "completion"):
        return _answered(row, _part(row, "prompt"), _part(row, "completion"), as_chat)
    if _has(row, "instruction", "output"):
        return _answered(row, _instruction(row, as_chat), _part(row, "output"), as_chat)
    if _has(row, "text"):
        text = _text(row, "text")
        if not text.strip():
            raise FaultyRow(row, "an empty text", "the text is empty")
        return Text(row, None, text)
    _no_form(row, FORMS)


def judged(row: Row, as_chat: bool = False) -> tuple[Said, bool]:
    """What a row says, and whether that is liked. Raises FaultyRow."""
    if not _has(row, "prompt", "completion", "label"):
        _no_form(row, f"prompt, completion and label; {PREFERENCE_FORMS}")
    label = LABELS.get(str(row.values["label"]).strip().lower())
    if label is None:
        sentence = f"label is {short(row.values['label'])}, expected true or false"
        raise FaultyRow(row, "a label that is neither true nor false", sentence)
    return _answered(row, _part(row, "prompt"), _part(row, "completion"), as_chat), label


def preference(row: Row, as_chat: bool = False) -> tuple[Said, Said]:
    """What a row prefers and what it rejects, after the same prompt. Raises FaultyRow."""
    if not _has(row, "chosen", "rejected"):
        _no_form(row, PREFERENCE_FORMS)
    answers = [_part(row, name) for name in ("chosen", "rejected")]
    parts = [*answers, row.values.get("prompt")]
    as_chat = as_chat or any(isinstance(part, list) for part in parts)
    prompt: str | list[Message] = []
    if _has(row, "prompt"):
        prompt = _part(row, "prompt")
    elif _has(row, "instruction"):
        prompt = _instruction(row, as_chat)
    elif isinstance(answers[0], str):
        _no_form(row, PREFERENCE_FORMS)
    whole = [isinstance(a, list) and len(a) > 1 for a in answers]
    if all(whole):  # each is a whole conversation: what comes before the last turn is the prompt
        prompt, answers = _common_prompt(row, answers)
    if answers[0] == answers[1]:
        raise FaultyRow(row, "equal answers", "chosen and rejected are equal: nothing is preferred")
    chosen, rejected = (_answered(row, prompt, answer, as_chat) for answer in answers)
    return chosen, rejected


def question(row: Row, as_chat: bool = False) -> Said:
    """The prompt of a row, whose answer a model will write. Raises FaultyRow."""
    if _has(row, "prompt"):
        prompt = _part(row, "prompt")
    elif _has(row, "messages"):
        prompt = _messages(row, "messages")
    elif _has(row, "instruction"):
        prompt = _instruction(row, as_chat)
    else:
        _no_form(row, "prompt; messages; instruction")
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise FaultyRow(row, "an empty prompt", "the prompt is empty")
    if isinstance(prompt, str) and not as_chat:
        return Text(row, prompt, "")
    messages = _user_turn(prompt) if isinstance(prompt, str) else prompt
    _check_turns(row, messages)
    if messages[-1]["role"] != "user":
        raise FaultyRow(row, "no question", "the prompt must end with the user's turn")
    return Chat(row, messages, [])


ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}{input}\n\n### Response:\n"
)


def _instruction(row: Row, as_chat: bool) -> str:
    """The prompt of an instruction: in Alpaca's template or, for a conversation, as it is."""
    instruction = _text(row, "instruction")
    more = _text(row, "input") if _has(row, "input") else ""
    if not instruction.strip():
        raise FaultyRow(row, "an empty instruction", "the instruction is empty")
    if as_chat:
        return f"{instruction}\n\n{more}" if more else instruction
    more = f"\n\n### Input:\n{more}" if more else ""
    # not format(): an instruction may contain braces
    return ALPACA.replace("{input}", more).replace("{instruction}", instruction, 1)


def _common_prompt(row: Row, answers: list[Any]) -> tuple[list[Message], list[Any]]:
    (*prompt, _), (*other, _) = answers
    if prompt != other:
        raise FaultyRow(
            row,
            "two prompts",
            "chosen and rejected are conversations that differ before the last turn",
        )
    return prompt, [[messages[-1]] for messages in answers]


def _answered(row: Row, prompt: Any, answer: Any, as_chat: bool) -> Said:
    """Text if both are, and otherwise a conversation."""
    if isinstance(prompt, str) and isinstance(answer, str):
        if not answer.strip():
            raise FaultyRow(row, "an empty response", "the response is empty")
        if not as_chat:
            return Text(row, prompt, answer)
    prompt = _user_turn(prompt) if isinstance(prompt, str) else prompt
    if isinstance(answer, str):
        answer = [{"role": "assistant", "content": answer}]
    return _conversation(row, prompt, answer)


def _user_turn(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def _conversation(row: Row, prompt: list[Message], answer: list[Message]) -> Chat:
    messages = [*prompt, *answer]
    _check_turns(row, messages)
    if not answer or messages[-1]["role"] != "assistant":
        raise FaultyRow(row, "no response", "the last message must be from the assistant")
    for message in answer:
        if message["role"] == "assistant" and not message["content"].strip():
            raise FaultyRow(row, "an empty response", "a message of the assistant is empty")
    return Chat(row, prompt, answer)


def _check_turns(row: Row, messages: list[Message]) -> None:
    """After a system prompt, which may be missing, the user and the assistant take turns."""
    if not messages:
        raise FaultyRow(row, "no messages", "there are no messages")
    start = messages[0]["role"] == "system"
    for i, message in enumerate(messages[start:]):
        expected = ("user", "assistant")[i % 2]
        if message["role"] != expected:
            raise FaultyRow(
                row,
                "roles that do not alternate",
                f"message {i + start + 1} is from the {message['role']}, expected one from the "
                f"{expected}: after a system prompt, which may be missing, the user and the "
                "assistant take turns",
            )


# --- the values of a row -------------------------------------------------------------------------


def _has(row: Row, *names: str) -> bool:
    """Whether the row has these columns; a null is none."""
    return all(row.values.get(name) is not None for name in names)


def _no_form(row: Row, forms: str) -> NoReturn:
    null = {name: " (null)" if value is None else "" for name, value in row.values.items()}
    names = ", ".join(f"{short(name)}{note}" for name, note in null.items()) or "nothing"
    raise FaultyRow(row, "missing fields", f"the row has {names}, expected one of: {forms}")


def _text(row: Row, name: str) -> str:
    return _checked(row, name, str)


def _messages(row: Row, name: str) -> list[Message]:
    return _checked(row, name, MESSAGES)


def _part(row: Row, name: str) -> str | list[Message]:
    return _checked(row, name, _TEXT_OR_MESSAGES)


def _checked(row: Row, name: str, schema: Any) -> Any:
    try:
        check_json({name: row.values[name]}, row.place, {name: schema})
    except UserError as error:
        sentence = str(error).removeprefix(f"{row.place}: ")
        raise FaultyRow(row, "a value of the wrong type", sentence) from None
    return row.values[name]


def used_rows(rows: Iterable[Row], report: Report, form: Any, *options: Any) -> list[Any]:
    """What ``form`` (said, preference, question) makes of each row, without the faulty ones."""
    found = []
    for row in rows:
        try:
            found.append(form(row, *options))
        except FaultyRow as error:
            report.fault(error)
    return found
