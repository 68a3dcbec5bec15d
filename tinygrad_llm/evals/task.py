"""What a task is: its documents, what is asked about each, and what a right answer is.

A task is a short class, and ``tasks.py`` lists its instances. One with choices, such as ARC, says
which file it reads, how a row of it becomes a ``Document``, and how a question is written:

    @dataclass(frozen=True)
    class Capitals(MultipleChoice):
        name = "capitals"
        about = "capitals of countries; DATA/capitals.jsonl"
        chance = 1 / 4
        test = ("capitals",)

        def document(self, row):
            values = row.fits({"question": str, "choices": [str], "gold": int})
            return Document(values["question"], tuple(values["choices"]), values["gold"], values)

        def prompt(self, document):
            return f"Question: {document.question}\\nAnswer:"

The fields of such a dataclass are the options of the task.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.requests import Answer, Chat, Message, Request
from tinygrad_llm.evals.rows import Row, as_json, data_files, missing, read_rows


@dataclass(frozen=True)
class Document:
    """One item of a task.

    question: the text that the task asks about. choices: the possible answers and gold: which is
    right, for tasks with choices. fields: the row of the file, for the samples and for what else a
    task needs of it. group: a part of the task that has a score of its own, such as a subject.
    number: its place in the data of its group, from 0; ``Task.documents`` counts.
    """

    question: str
    choices: tuple[str, ...] = ()
    gold: int = -1
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    group: str = ""
    number: int = 0

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
    """Base of all tasks; the constants below describe one, and its methods do the work.

    The data of a task has two splits: "test" has the documents, and "train" the solved examples
    that may come before a question.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    """One line for ``eval --list``: what it is, and where its data is expected."""
    test: ClassVar[tuple[str, ...]] = ()
    train: ClassVar[tuple[str, ...]] = ()
    """Names of the files of each split, as ``data_files`` takes them; none if there is no such
    split."""
    hub: ClassVar[HubData | None] = None
    """Where the data comes from if no folder is named."""
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
        return self.read(self.files(folder, "test"))

    def examples(self, folder: Path) -> list[Document]:
        """Solved documents to show before a question; the first of its group are taken."""
        return self.read(self.files(folder, "train"))

    def files(self, folder: Path, split: str) -> list[Path]:
        """The files of a split, "test" or "train". Raises UserError if they are missing."""
        names = self.test if split == "test" else self.train
        found = data_files(folder, names)
        if not found and self.hub is not None:
            found = self.hub.files(folder, split)
        if names and not found:
            raise missing(folder, names)
        return found

    def default_folder(self, splits: Sequence[str]) -> Path:
        """The folder with the files of these splits where the user has not named one: it is
        downloaded. Raises UserError if that is impossible."""
        where = f"--data with the folder of its files ({self.about.partition('; ')[2]})"
        if self.hub is None:
            raise UserError(f"{self.name} needs {where}: there is no data set to download")
        try:
            return self.hub.download(splits)
        except UserError as error:
            raise UserError(f"{self.name} without --data: {error}; or use {where}") from None

    def read(self, files: Sequence[Path]) -> list[Document]:
        """The documents in these files, numbered within their groups."""
        counts: Counter[str] = Counter()
        documents = []
        for row in self.rows(files):
            document = self.document(row)
            number, fields = counts[document.group], as_json(document.fields)
            documents.append(replace(document, number=number, fields=fields))
            counts[document.group] += 1
        return documents

    def rows(self, files: Sequence[Path]) -> list[Row]:
        """The rows of these files."""
        return read_rows(files)

    def document(self, row: Row) -> Document:
        """What a row says. Raises UserError, with its place, for one of another layout."""
        raise NotImplementedError

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        """What a model is asked about a document, after the examples ``shots``."""
        raise NotImplementedError

    def verdict(self, document: Document, answers: Sequence[Any]) -> Verdict:
        """What the answers to these requests are worth."""
        raise NotImplementedError

    def draws(self, metric: str) -> float:
        """The independent answers that a document's value of a metric comes from. Where there are
        several, it is a share from 0 to 1."""
        return 1.0

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        """Answers of a model that knows everything: the task must call them perfect."""
        raise NotImplementedError

    def total(self, verdicts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The metrics of all documents from those of each: their means."""
        return {name: fmean(v[name] for v in verdicts) for name in verdicts[0]}


def as_chat(turns: Sequence[tuple[str, str]], question: str) -> Chat:
    """A conversation of solved examples, (question, answer) each, and then the question."""
    messages = [m for q, a in turns for m in (Message("user", q), Message("assistant", a))]
    return Chat((*messages, Message("user", question)))


def find_task(name: str, tasks: Mapping[str, Task]) -> Task:
    """The task of this name. Raises UserError, which lists the nearest names, if there is none."""
    if name in tasks:
        return tasks[name]
    near = get_close_matches(name, tasks, n=3, cutoff=0.4) or sorted(tasks)
    raise UserError(
        f"there is no task {name!r}; the nearest are {', '.join(near)} (`eval --list` shows all)"
    )
