"""PIQA (Bisk et al. 2020): which of two ways reaches a goal of everyday life?

Data: the original's DATA/valid.jsonl with DATA/valid-labels.lst in a folder piqa, or rows of the
hub, which have the label: goal, sol1, sol2, label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import Row, read_rows
from tinygrad_llm.evals.task import Document
from tinygrad_llm.files.json_file import read_bounded

_ROW = {"goal": str, "sol1": str, "sol2": str, "label": (0, 1)}
MAX_BYTES = 1 << 24


@dataclass(frozen=True)
class PIQA(MultipleChoice):
    """Both solutions continue "Question: {goal}\\nAnswer:"."""

    name = "piqa"
    about = "PIQA, everyday physics; DATA/piqa/valid.jsonl and valid-labels.lst"
    chance = 1 / 2

    test = ("piqa/valid", "piqa/validation", "valid")
    train = ("piqa/train", "train")
    hub = HubData(
        "baber/piqa",
        "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
        test=("piqa_validation",),
        train=("piqa_train",),
    )

    def files(self, folder: Path, split: str) -> list[Path]:
        """The rows' file, and that of their labels next to it if there is one."""
        found = super().files(folder, split)
        labels = found[0].with_name(f"{found[0].name.partition('.')[0]}-labels.lst")
        return [*found, labels] if labels.is_file() else found

    def rows(self, files: Sequence[Path]) -> list[Row]:
        labels = [file for file in files if file.suffix == ".lst"]
        rows = read_rows(file for file in files if file not in labels)
        return _labelled(rows, files[0], labels[0]) if labels else rows

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        choices = (values["sol1"], values["sol2"])
        return Document(values["goal"], choices, values["label"], values)

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\nAnswer:"


def _labelled(rows: list[Row], path: Path, labels: Path) -> list[Row]:
    lines = read_bounded(labels, MAX_BYTES).decode("ascii", "replace").split()
    if len(lines) != len(rows) or not {*lines} <= {"0", "1"}:
        raise UserError(
            f"{labels} has {len(lines)} labels, expected {len(rows)} lines of 0 or 1, one for "
            f"each row of {path}"
        )
    return [
        Row({**row.values, "label": int(line)}, row.place)
        for row, line in zip(rows, lines, strict=True)
    ]
