"""Training and validation sides, decided by each document's name alone.

A document is for validation if the sha256 of its name, as a number, is divisible by 20: about one
in twenty, the same ones on every machine and in every order, and adding a document moves no other.
Whole documents are held out, because the rest of a document seen in training is much easier to
predict than a new one.
"""

import hashlib
from collections.abc import Collection
from functools import partial

from tinygrad_llm.data.corpus import Corpus, Document
from tinygrad_llm.data.spool import View
from tinygrad_llm.errors import UserError

BY_POSITION = 0.9  # where a document is cut if whole documents cannot make two sides


def is_validation(name: str, validation_modulus: int = 20) -> bool:
    """Whether the document of this name is for validation."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return int(digest, 16) % validation_modulus == 0


def split(
    corpus: Corpus, validation_modulus: int = 20
) -> tuple[Collection[Document], Collection[Document]]:
    """(training documents, validation documents); ``corpus.report`` notes how they were chosen.

    If one side would be empty (a single document, or very few), every document is cut by position
    instead: its last tenth, from the start of a line, is for validation. Raises UserError for a
    ``validation_modulus`` below 2 and for a text too short to cut. Both sides are lists if the
    documents are; otherwise they are read from the documents each time, and need no memory.
    """
    if validation_modulus < 2:
        raise UserError(
            f"validation_modulus is {validation_modulus}, expected at least 2: one document in "
            "that many is for validation"
        )
    documents = corpus.documents
    kind = list if isinstance(documents, list) else View  # what is not a list may not fit into one

    def is_training(name: str) -> bool:
        return not is_validation(name, validation_modulus)

    train = kind(View(documents, is_training))
    validation = kind(
        View(documents, partial(is_validation, validation_modulus=validation_modulus))
    )
    if train and validation:
        corpus.report.note(
            f"validation: {len(validation):,} of {len(documents):,} documents, held out "
            f"whole (chosen by a hash of the name, about 1 in {validation_modulus})"
        )
        return train, validation
    train = kind(View(documents, change=_first_part))
    validation = kind(View(documents, change=_last_part))
    if not train or not validation:
        raise UserError(
            f"the corpus {corpus.source} is too short to be split into training and validation "
            f"(documents: {len(corpus.documents)}, bytes: {corpus.bytes:,}); name a longer text"
        )
    n = len(corpus.documents)
    corpus.report.note(
        "validation: the last 10 % of the document"
        if n == 1
        else f"validation: the last 10 % of each document ({n} documents are too few to hold some "
        "out whole)"
    )
    return train, validation


def cut_by_position(text: str) -> tuple[str, str]:
    """(first 90 %, last 10 %), cut after the last line that ends within the first part.

    If no line ends there, the cut is within the line. Nothing is lost or added.
    """
    at = int(len(text) * BY_POSITION)
    at = text.rfind("\n", 0, at) + 1 or at
    return text[:at], text[at:]


def _first_part(document: Document) -> Document | None:
    head, _ = cut_by_position(document.text)
    return Document(f"{document.name} (first part)", head, document.kind) if head else None


def _last_part(document: Document) -> Document | None:
    _, tail = cut_by_position(document.text)
    return Document(f"{document.name} (last part)", tail, document.kind) if tail else None


def train_texts(corpus: Corpus, validation_modulus: int = 20) -> list[str]:
    """The texts a tokenizer may be trained on: those of the training side, never validation."""
    return [document.text for document in split(corpus, validation_modulus)[0]]
