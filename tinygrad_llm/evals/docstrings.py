"""Which docstring belongs to a function, and which function to a docstring?

Data: DATA/docstrings.jsonl and DATA/signatures.jsonl, which ``tinygrad-llm pipeline`` makes from
held-out code: {"signature", "choices": four docstrings, "gold"} and {"docstring", "choices": four
signatures, "gold"}.
"""

from dataclasses import dataclass
from typing import ClassVar

from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document

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
    test = ("docstrings",)
    question: ClassVar[str] = "signature"
    """The key of what is asked about."""

    def document(self, row: Row) -> Document:
        values = row.fits({self.question: str, "choices": [str], "gold": int})
        gold = row.choice(values["gold"], range(len(values["choices"])))
        return Document(values[self.question], tuple(values["choices"]), gold, values)

    def prompt(self, document: Document) -> str:
        return f'{document.question}:\n    """'


@dataclass(frozen=True)
class DocstringsChat(Docstrings):
    """The same through the model's chat template."""

    name = "docstrings_chat"
    about = "docstrings of functions, asked for in a chat; DATA/docstrings.jsonl"
    needs_chat = True

    def prompt(self, document: Document) -> str:
        return ASK_DOCSTRING.format(document.question)


@dataclass(frozen=True)
class SignaturesChat(DocstringsChat):
    """The reverse: which signature has this docstring?"""

    name = "signatures_chat"
    about = "signatures of docstrings, asked for in a chat; DATA/signatures.jsonl"
    test = ("signatures",)
    question = "docstring"

    def prompt(self, document: Document) -> str:
        return ASK_SIGNATURE.format(document.question)
