"""PIQA (Bisk et al. 2020): which of two ways reaches a goal of everyday life?

Data: the original's DATA/valid.jsonl with DATA/valid-labels.lst in a folder piqa, or rows of the
hub, which have the label: goal, sol1, sol2, label.
"""

from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.rows import Row, read_rows
from tinygrad_llm.evals.task import Document, MultipleChoice, data_file
from tinygrad_llm.files.json_file import read_bounded

_ROW = {"goal": str, "sol1": str, "sol2": str, "label": (0, 1)}
MAX_BYTES = 1 << 24


@dataclass(frozen=True)
class PIQA(MultipleChoice):
    """Both solutions continue "Question: {goal}\\nAnswer:"."""

    name = "piqa"
    about = "PIQA, everyday physics; DATA/piqa/valid.jsonl and valid-labels.lst"
    chance = 1 / 2

    def documents(self, folder: Path) -> list[Document]:
        return _read(folder, ("piqa/valid", "piqa/validation", "valid"), "valid-labels.lst")

    def examples(self, folder: Path) -> list[Document]:
        return _read(folder, ("piqa/train", "train"), "train-labels.lst")

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\nAnswer:"


def _read(folder: Path, names: tuple[str, ...], labels_name: str) -> list[Document]:
    path = data_file(folder, *names)
    rows = read_rows(path)
    if "label" not in rows[0].values:
        labels = path.with_name(labels_name)
        lines = read_bounded(labels, MAX_BYTES).decode("ascii", "replace").split()
        if len(lines) != len(rows) or not {*lines} <= {"0", "1"}:
            raise UserError(
                f"{labels} has {len(lines)} labels, expected {len(rows)} lines of 0 or 1, one for "
                f"each row of {path}"
            )
        for row, line in zip(rows, lines, strict=True):
            row.values["label"] = int(line)
    return [_document(i, row) for i, row in enumerate(rows)]


def _document(number: int, row: Row) -> Document:
    values = row.fits(_ROW)
    choices = (values["sol1"], values["sol2"])
    return Document(number, values["goal"], choices, values["label"], fields=values)
