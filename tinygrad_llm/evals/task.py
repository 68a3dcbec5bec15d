"""What a task is: its documents, what is asked about each, and what a right answer is.

A task is a short class, and ``tasks.py`` lists its instances. One with choices, such as ARC, says
how a row of its file becomes a ``Document``, and how a question is written:

    @dataclass(frozen=True)
    class Capitals(MultipleChoice):
        name = "capitals"
        about = "capitals of countries; DATA/capitals.jsonl"
        chance = 1 / 4

        def documents(self, folder):
            rows = read_rows(data_file(folder, "capitals"))
            values = [row.fits({"question": str, "choices": [str], "gold": int}) for row in rows]
            return [
                Document(i, v["question"], tuple(v["choices"]), v["gold"], fields=v)
                for i, v in enumerate(values)
            ]

        def prompt(self, document):
            return f"Question: {document.question}\\nAnswer:"

The fields of such a dataclass are the options of the task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import (
    Answer,
    Chat,
    Context,
    Loglikelihood,
    Message,
    Request,
    Score,
)

ENDINGS = (".jsonl", ".json", ".parquet", ".csv", ".gz")
"""Of files with data."""


@dataclass(frozen=True)
class Document:
    """One item of a task.

    number: its place in the data of its group, from 0. question: the text that the task asks about.
    choices: the possible answers and gold: which is right, for tasks with choices. group: a part of
    the task that has a score of its own, such as a subject. fields: the row of the file, for the
    samples and for what else a task needs of it.
    """

    number: int
    question: str
    choices: tuple[str, ...] = ()
    gold: int = -1
    group: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def target(self) -> Any:
        """What is right: the number of a choice, or what ``fields`` has as "target"."""
        return self.gold if self.choices else self.fields.get("target", "")


class Item(NamedTuple):
    """A document, and what a model is asked about it."""

    document: Document
    requests: list[Request]


class Verdict(NamedTuple):
    """metrics: name -> value for one document. chosen: what the answers were taken to say."""

    metrics: dict[str, float]
    chosen: Any = None


class Task:
    """Base of all tasks; the constants below describe one, and its methods do the work."""

    name: ClassVar[str]
    about: ClassVar[str]
    """One line for ``eval --list``: what it is, and where its data is expected."""
    version: ClassVar[int] = 1
    """Of the protocol: results of different versions cannot be compared."""
    chance: ClassVar[float] = 0.0
    """The score of a guess."""
    n_shots: ClassVar[int] = 0
    """Examples before each question, unless asked for otherwise."""
    main: ClassVar[str] = "acc"
    """The metric that tables show first."""
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    means: ClassVar[bool] = True
    """Whether metrics of all documents are the means of those of each."""
    needs_chat: ClassVar[bool] = False
    """Whether the model must have a chat template."""
    chat_form: ClassVar[str | None] = None
    """The name of the task that asks the same through a chat template."""

    def documents(self, folder: Path) -> list[Document]:
        """All documents in ``folder``, in order. Raises UserError for data that is missing or has
        another layout."""
        raise NotImplementedError

    def examples(self, folder: Path) -> list[Document]:
        """Solved documents to show before a question; the first of its group are taken."""
        return []

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        """What a model is asked about a document, after the examples ``shots``."""
        raise NotImplementedError

    def verdict(self, document: Document, answers: Sequence[Any]) -> Verdict:
        """What the answers to these requests are worth."""
        raise NotImplementedError

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        """Answers of a model that knows everything: the task must call them perfect."""
        raise NotImplementedError

    def total(self, verdicts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The metrics of all documents from those of each: their means."""
        return {name: fmean(v[name] for v in verdicts) for name in verdicts[0]}


class MultipleChoice(Task):
    """Tasks whose answer is one of several texts: the most likely one counts.

        acc             the choice with the highest log-probability
        acc_norm        ... with the highest per character, as lm-evaluation-harness defines it
        acc_norm_token  ... with the highest per token, as llm.c defines it

    The continuations are ``delimiter`` + choice. lm-evaluation-harness counts the characters of
    the choice alone, and so does acc_norm here.
    """

    delimiter: ClassVar[str] = " "
    normalized: ClassVar[bool] = True
    """Whether acc_norm and acc_norm_token are computed; for letters they mean nothing."""

    def prompt(self, document: Document) -> str:
        """The question, up to where a choice would follow."""
        raise NotImplementedError

    def header(self, document: Document) -> str:
        """What comes before all examples."""
        return ""

    def answer_text(self, document: Document) -> str:
        """The right choice as examples show it."""
        return self.continuations(document)[document.gold]

    def continuations(self, document: Document) -> Sequence[str]:
        """The choices as they are scored."""
        return document.choices

    def context(self, document: Document, shots: Sequence[Document]) -> Context:
        """Header, examples and question as one text."""
        shown = "".join(
            f"{self.prompt(shot)}{self.delimiter}{self.answer_text(shot)}\n\n" for shot in shots
        )
        return f"{self.header(document)}{shown}{self.prompt(document)}"

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        context = self.context(document, shots)
        return [
            Loglikelihood(context, f"{self.delimiter}{text}")
            for text in self.continuations(document)
        ]

    def verdict(self, document: Document, answers: Sequence[Score]) -> Verdict:
        best = _first_best([a.logp for a in answers])
        metrics = {"acc": float(best == document.gold)}
        if self.normalized:
            characters = [len(text) for text in self.continuations(document)]
            per_character = [a.logp / max(1, n) for a, n in zip(answers, characters, strict=True)]
            per_token = [a.logp / max(1, a.n_tokens) for a in answers]
            metrics["acc_norm"] = float(_first_best(per_character) == document.gold)
            metrics["acc_norm_token"] = float(_first_best(per_token) == document.gold)
        return Verdict(metrics, best)

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        # far apart, so that a division by a length cannot change which is best
        return [
            Score(0.0 if i == document.gold else -1e6, greedy=i == document.gold)
            for i in range(n_requests)
        ]


def _first_best(values: Sequence[float]) -> int:
    """The index of the largest value; of equal ones, the first, as NumPy's argmax does."""
    return max(range(len(values)), key=values.__getitem__)


def as_chat(turns: Sequence[tuple[str, str]], question: str) -> Chat:
    """A conversation of solved examples, (question, answer) each, and then the question."""
    messages = [m for q, a in turns for m in (Message("user", q), Message("assistant", a))]
    return Chat((*messages, Message("user", question)))


def data_file(folder: Path, *names: str) -> Path:
    """The first of these files in ``folder``; a name without an ending stands for each of ENDINGS.

    Raises UserError, which says what was expected, if there is none.
    """
    for name in names:
        known = name.endswith(ENDINGS)
        for path in (folder / f"{name}{ending}" for ending in ("",) * known or ENDINGS):
            if path.is_file():
                return path
    listed = " or ".join(n if n.endswith(ENDINGS) else f"{n}{ENDINGS[0]}" for n in names[:2])
    raise UserError(f"{folder} has no {listed}: --data must name the folder of the task's files")


def find_task(name: str, tasks: Mapping[str, Task]) -> Task:
    """The task of this name. Raises UserError, which lists the nearest names, if there is none."""
    if name in tasks:
        return tasks[name]
    near = get_close_matches(name, tasks, n=3, cutoff=0.4) or sorted(tasks)
    raise UserError(
        f"there is no task {name!r}; the nearest are {', '.join(near)} (`eval --list` shows all)"
    )
