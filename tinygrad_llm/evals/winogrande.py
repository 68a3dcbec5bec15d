"""WinoGrande (Sakaguchi et al. 2020): which of two names fills the gap of a sentence?

Each name is put into the gap, and the rest of the sentence is scored after it ("partial"
evaluation): the continuation is the same, and the contexts differ. A name's own likelihood does not
count, so a frequent name has no advantage.

Data: DATA/winogrande/dev.jsonl of the original, or rows of the hub: sentence with one "_", option1,
option2, answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Loglikelihood, Request
from tinygrad_llm.evals.rows import Row, read_rows
from tinygrad_llm.evals.task import Document, MultipleChoice, data_file

_ROW = {"sentence": str, "option1": str, "option2": str, "answer": ("1", "2")}
GAP = "_"


@dataclass(frozen=True)
class WinoGrande(MultipleChoice):
    """The sentence up to the gap with a name in it is continued by the rest of the sentence."""

    name = "winogrande"
    about = "WinoGrande, whom a sentence means; DATA/winogrande/dev.jsonl"
    chance = 1 / 2
    normalized = False

    def documents(self, folder: Path) -> list[Document]:
        names = ("winogrande/dev", "winogrande/validation", "winogrande_1.1/dev")
        return _read(folder, names)

    def examples(self, folder: Path) -> list[Document]:
        names = ("winogrande/train_xl", "winogrande/train", "winogrande_1.1/train_xl")
        return _read(folder, names)

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        shown = "".join(f"{_filled(shot, shot.choices[shot.gold])}\n\n" for shot in shots)
        begin, _, end = document.question.partition(GAP)
        return [
            Loglikelihood(f"{shown}{begin}{name}", f" {end.strip()}") for name in document.choices
        ]


def _filled(document: Document, name: str) -> str:
    begin, _, end = document.question.partition(GAP)
    return f"{begin}{name} {end.strip()}"


def _read(folder: Path, names: tuple[str, ...]) -> list[Document]:
    return [_document(i, row) for i, row in enumerate(read_rows(data_file(folder, *names)))]


def _document(number: int, row: Row) -> Document:
    values = row.fits(_ROW)
    if values["sentence"].count(GAP) < 1:
        raise UserError(f"{row.place}: the sentence has no gap, expected one {GAP!r} in it")
    choices = (values["option1"], values["option2"])
    gold = int(values["answer"]) - 1
    return Document(number, values["sentence"], choices, gold, fields=values)
