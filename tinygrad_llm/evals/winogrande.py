"""WinoGrande (Sakaguchi et al. 2020): which of two names fills the gap of a sentence?

Each name is put into the gap, and the rest of the sentence is scored after it ("partial"
evaluation): the continuation is the same, and the contexts differ. A name's own likelihood does not
count, so a frequent name has no advantage.

Data: DATA/winogrande/dev.jsonl of the original, or rows of the hub: sentence with one "_", option1,
option2, answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.requests import Loglikelihood, Request
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document

_ROW = {"sentence": str, "option1": str, "option2": str, "answer": ("1", "2")}
GAP = "_"


@dataclass(frozen=True)
class WinoGrande(MultipleChoice):
    """The sentence up to the gap with a name in it is continued by the rest of the sentence."""

    name = "winogrande"
    about = "WinoGrande, whom a sentence means; DATA/winogrande/dev.jsonl"
    chance = 1 / 2
    normalized = False
    test = ("winogrande/dev", "winogrande/validation", "winogrande_1.1/dev")
    train = ("winogrande/train_xl", "winogrande/train", "winogrande_1.1/train_xl")
    hub = HubData(
        "allenai/winogrande",
        "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
        test=("winogrande_xl/validation",),
        train=("winogrande_xl/train",),
    )

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        if GAP not in values["sentence"]:
            raise UserError(f"{row.place}: the sentence has no gap, expected one {GAP!r} in it")
        choices = (values["option1"], values["option2"])
        return Document(values["sentence"], choices, int(values["answer"]) - 1, values)

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        shown = "".join(f"{_filled(shot, shot.choices[shot.gold])}\n\n" for shot in shots)
        begin, _, end = document.question.partition(GAP)
        return [
            Loglikelihood(f"{shown}{begin}{name}", f" {end.strip()}") for name in document.choices
        ]


def _filled(document: Document, name: str) -> str:
    begin, _, end = document.question.partition(GAP)
    return f"{begin}{name} {end.strip()}"
