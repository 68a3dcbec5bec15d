"""Which docstring belongs to a function, and which function to a docstring?

Data: DATA/docstrings.jsonl and DATA/signatures.jsonl, which ``tinygrad-llm pipeline`` makes from
held-out code: {"signature", "choices": four docstrings, "gold"} and {"docstring", "choices": four
signatures, "gold"}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.evals.requests import Chat
from tinygrad_llm.evals.rows import read_rows
from tinygrad_llm.evals.task import Document, MultipleChoice, as_chat, data_file

ASK_DOCSTRING = "Write the docstring of this function:\n{}"
ASK_SIGNATURE = "Write the signature of a function with this docstring:\n{}"
"""What a user asks; the models of the pipeline are fine-tuned on these words."""


@dataclass(frozen=True)
class Docstrings(MultipleChoice):
    """Every docstring continues the code; the usual figure is acc_norm."""

    name = "docstrings"
    about = "docstrings of functions, as code; DATA/docstrings.jsonl"
    chance = 1 / 4
    main = "acc_norm"
    delimiter = ""
    chat_form = "docstrings_chat"

    def documents(self, folder: Path) -> list[Document]:
        return _read(folder, "docstrings", "signature")

    def prompt(self, document: Document) -> str:
        return f'{document.question}:\n    """'


@dataclass(frozen=True)
class DocstringsChat(Docstrings):
    """The same through the model's chat template."""

    name = "docstrings_chat"
    about = "docstrings of functions, asked for in a chat; DATA/docstrings.jsonl"
    needs_chat = True

    def context(self, document: Document, shots: Sequence[Document]) -> Chat:
        return as_chat([], ASK_DOCSTRING.format(document.question))


@dataclass(frozen=True)
class SignaturesChat(DocstringsChat):
    """The reverse: which signature has this docstring?"""

    name = "signatures_chat"
    about = "signatures of docstrings, asked for in a chat; DATA/signatures.jsonl"

    def documents(self, folder: Path) -> list[Document]:
        return _read(folder, "signatures", "docstring")

    def context(self, document: Document, shots: Sequence[Document]) -> Chat:
        return as_chat([], ASK_SIGNATURE.format(document.question))


def _read(folder: Path, name: str, question: str) -> list[Document]:
    documents = []
    for i, row in enumerate(read_rows(data_file(folder, name))):
        values = row.fits({question: str, "choices": [str], "gold": int})
        gold = row.choice(values["gold"], range(len(values["choices"])))
        choices = tuple(values["choices"])
        documents.append(Document(i, values[question], choices, gold, fields=values))
    return documents
