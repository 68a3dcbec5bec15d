"""HellaSwag (Zellers et al. 2019): which of four endings continues a description?

Data: DATA/hellaswag_val.jsonl of the original, or rows of the hub: activity_label, ctx_a, ctx_b,
endings and label. The text is cleaned as lm-evaluation-harness does it: the marks that WikiHow's
pages have left, such as "[title]", are removed.
"""

import re
from dataclasses import dataclass

from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document

_ROW = {
    "activity_label": str, "ctx_a": str, "ctx_b": str, "endings": [str], "label": (int, str)
}  # fmt: skip


@dataclass(frozen=True)
class HellaSwag(MultipleChoice):
    """Every ending continues "{activity}: {context}"; the usual figure is acc_norm."""

    name = "hellaswag"
    about = "HellaSwag, endings of descriptions; DATA/hellaswag_val.jsonl"
    chance = 1 / 4
    main = "acc_norm"
    test = ("hellaswag_val", "hellaswag/validation")
    train = ("hellaswag_train", "hellaswag/train")
    hub = HubData(
        "Rowan/hellaswag",
        "218ec52e09a7e7462a5400043bb9a69a41d06b76",
        test=("data/validation",),
        train=("data/train",),
    )

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        context = f"{values['ctx_a']} {values['ctx_b'].capitalize()}"
        question = clean(f"{values['activity_label']}: {context}")
        endings = tuple(map(clean, values["endings"]))
        gold = row.choice(str(values["label"]), [str(i) for i in range(len(endings))])
        return Document(question, endings, gold, values)

    def prompt(self, document: Document) -> str:
        return document.question


def clean(text: str) -> str:
    """A text without the marks of WikiHow."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")
