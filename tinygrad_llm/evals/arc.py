"""ARC (Clark et al. 2018): science questions of schools, easy ones and a challenge set.

Data: the JSON lines of AI2's archive, as in DATA/ARC-Challenge/ARC-Challenge-Test.jsonl, whose
question has a stem and choices; or rows of the hub, with question, choices.text and choices.label.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tinygrad_llm.evals.rows import Row, read_rows
from tinygrad_llm.evals.task import Document, MultipleChoice, data_file

_CHOICE = {"text": str, "label": str, ...: object}
_ARCHIVE = {"question": {"stem": str, "choices": [_CHOICE], ...: object}, "answerKey": str}
_HUB = {"question": str, "choices": {"text": [str], "label": [str]}, "answerKey": str}


@dataclass(frozen=True)
class ARCEasy(MultipleChoice):
    """Every choice continues "Question: {q}\\nAnswer:"."""

    name = "arc_easy"
    about = "ARC, easy; DATA/ARC-Easy/ARC-Easy-Test.jsonl"
    chance = 1 / 4
    part: ClassVar[str] = "ARC-Easy"

    def documents(self, folder: Path) -> list[Document]:
        return self._read(folder, "Test")

    def examples(self, folder: Path) -> list[Document]:
        return self._read(folder, "Train")

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\nAnswer:"

    def _read(self, folder: Path, split: str) -> list[Document]:
        names = [f"{self.part}/{self.part}-{split}", f"{self.part}-{split}"]
        names += [f"{self.part}/{split.lower()}", f"{self.name}-{split.lower()}"]
        rows = read_rows(data_file(folder, *names))
        return [_document(i, row) for i, row in enumerate(rows)]


@dataclass(frozen=True)
class ARCChallenge(ARCEasy):
    """The questions that word statistics of 2018 got wrong."""

    name = "arc_challenge"
    about = "ARC, challenge; DATA/ARC-Challenge/ARC-Challenge-Test.jsonl"
    part = "ARC-Challenge"


def _document(number: int, row: Row) -> Document:
    if isinstance(row.values.get("question"), dict):
        stem = row.fits(_ARCHIVE)["question"]
        question, listed = stem["stem"], stem["choices"]
        texts, labels = ([choice[name] for choice in listed] for name in ("text", "label"))
    else:
        values = row.fits(_HUB)
        question, choices = values["question"], values["choices"]
        texts, labels = choices["text"], choices["label"]
    gold = row.choice(row.values["answerKey"], labels)
    return Document(number, question, tuple(texts), gold, fields=row.values)
