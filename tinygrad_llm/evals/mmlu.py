"""MMLU (Hendrycks et al. 2021): questions with four choices on 57 subjects, scored in three ways.

    mmlu             letters: the choices are listed, and the model continues "Answer:" with a
                     letter. For base models, after five solved examples
    mmlu_completion  texts: how likely is each choice as the answer? For small base models, which
                     cannot yet connect a letter with its choice (the protocol of llm.c)
    mmlu_chat        letters, asked through the model's chat template

In the first, " A" has its space and in the last "A" has none, because there a line end comes before
it. The two are different tokens, and the wrong one moves the score by up to 11 points.

Data is the CSV of the original (https://github.com/hendrycks/test): DATA/mmlu or DATA with
dev/SUBJECT_dev.csv and test/SUBJECT_test.csv, whose rows are question, A, B, C, D, letter. Python's
csv reads it, since a table library may take a choice "None" for a missing value.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.requests import Score
from tinygrad_llm.evals.rows import Row, read_rows
from tinygrad_llm.evals.task import Document, Verdict
from tinygrad_llm.files.json_file import Whole, read_bounded
from tinygrad_llm.files.tables import decoded

LETTERS = ("A", "B", "C", "D")
MAX_BYTES = 1 << 26
_ROW = {"question": str, "choices": [str], "answer": Whole(0, 3), "subject": str}


def _places(split: str) -> tuple[str, ...]:
    return tuple(f"{folder}{split}/*_{split}.csv" for folder in ("mmlu/", "data/", ""))


def _subject(path: Path) -> list[Row]:
    """The rows of a subject's file."""
    subject = path.stem.rpartition("_")[0]
    reader = csv.reader(
        io.StringIO(decoded(read_bounded(path, MAX_BYTES), str(path)), newline=""), strict=True
    )
    rows: list[Row] = []
    while True:
        place = f"line {reader.line_num + 1} of {path}"
        try:
            row = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            raise UserError(f"line {reader.line_num} of {path} is damaged ({error})") from None
        if not row:
            continue
        if len(row) != 6 or row[5].strip() not in LETTERS:
            raise UserError(
                f"{place} has {len(row)} columns and ends with {row[-1][:20]!r}, "
                "expected question, A, B, C, D and one of the letters A to D"
            )
        question, *choices, letter = row
        answer = LETTERS.index(letter.strip())
        values = {"question": question, "choices": choices, "answer": answer, "subject": subject}
        rows.append(Row(values, place))


def listed(document: Document) -> str:
    """The question, and its choices a line each, after their letters."""
    lines = (f"{a}. {text}" for a, text in zip(LETTERS, document.choices, strict=True))
    return "\n".join([document.question, *lines])


def subject_name(document: Document) -> str:
    """A subject in words."""
    return document.group.replace("_", " ")


@dataclass(frozen=True)
class MMLUCompletion(MultipleChoice):
    """Texts: "Question: {q}\\n\\nAnswer:" is continued by each choice."""

    name = "mmlu_completion"
    about = "MMLU, the choices as continuations; DATA/mmlu/test/SUBJECT_test.csv"
    chance = 1 / 4
    test = _places("test")
    train = _places("dev")
    hub = HubData(
        "cais/mmlu",
        "c30699e8356da336a370243923dbaf21066bb9fe",
        test=("all/test",),
        train=("all/dev",),
    )

    def rows(self, files: Sequence[Path]) -> list[Row]:
        return [
            row
            for file in files
            for row in (_subject(file) if file.suffix == ".csv" else read_rows([file]))
        ]

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        question, choices = values["question"].strip(), tuple(values["choices"])
        if len(choices) != len(LETTERS):
            raise UserError(f"{row.place} has {len(choices)} choices, expected {len(LETTERS)}")
        return Document(question, choices, values["answer"], values, values["subject"])

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\n\nAnswer:"


@dataclass(frozen=True)
class MMLU(MMLUCompletion):
    """Letters: the most likely of " A", " B", " C" and " D" after "Answer:"."""

    name = "mmlu"
    about = "MMLU, letters after five examples; DATA/mmlu/{dev,test}/SUBJECT_*.csv"
    n_shots = 5
    chat_form = "mmlu_chat"
    normalized = False

    def header(self, document: Document) -> str:
        return (
            "The following are multiple choice questions (with answers) about "
            f"{subject_name(document)}.\n\n"
        )

    def prompt(self, document: Document) -> str:
        return f"{listed(document)}\nAnswer:"

    def continuations(self, document: Document) -> Sequence[str]:
        return LETTERS

    def verdict(self, document: Document, answers: Sequence[Score]) -> Verdict:
        for letter, answer in zip(LETTERS, answers, strict=True):
            if answer.n_tokens != 1:
                raise UserError(
                    f"{self.delimiter + letter!r} is {answer.n_tokens} tokens for this model, but "
                    f"{self.name} compares single tokens: use mmlu_completion"
                )
        return super().verdict(document, answers)


@dataclass(frozen=True)
class MMLUChat(MMLU):
    """Letters without a space, at the first place of the assistant's answer."""

    name = "mmlu_chat"
    about = "MMLU, letters through the chat template; DATA/mmlu/{dev,test}/SUBJECT_*.csv"
    n_shots = 0
    needs_chat = True
    chat_form = "mmlu_chat"
    delimiter = ""

    def prompt(self, document: Document) -> str:
        return (
            f"The following is a multiple choice question about {subject_name(document)}. Reply "
            f"with the letter of the correct answer only.\n\n{listed(document)}"
        )
