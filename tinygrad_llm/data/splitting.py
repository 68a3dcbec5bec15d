"""Training and validation sides, decided by the document's name alone.

A document is for validation when sha256 of its name, as a number, is divisible by 20: about one in
twenty, the same ones on every machine and in every order, and adding a document moves no other.
Whole documents, because the rest of a document one trained on is much easier to predict than a
new one.
"""

import hashlib

from tinygrad_llm.data.corpus import Corpus, Document
from tinygrad_llm.errors import UserError

BY_POSITION = 0.9  # where a document is cut when whole documents cannot make two sides


def is_validation(name: str, validation_modulus: int = 20) -> bool:
    """Whether the document of this name is for validation."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return int(digest, 16) % validation_modulus == 0


def split(corpus: Corpus, validation_modulus: int = 20) -> tuple[list[Document], list[Document]]:
    """(training documents, validation documents); says in ``corpus.report`` how it was done.

    Where one side would be empty (a single document, or very few), every document is cut by
    position instead: its last tenth, from a line start on, is for validation.
    """
    if validation_modulus < 2:
        raise UserError(
            f"validation_modulus is {validation_modulus}, expected at least 2: one document in "
            "that many is for validation"
        )
    train = [d for d in corpus.documents if not is_validation(d.name, validation_modulus)]
    validation = [d for d in corpus.documents if is_validation(d.name, validation_modulus)]
    if train and validation:
        corpus.report.note(
            f"Validation is {len(validation):,} of {len(corpus.documents):,} documents, whole: "
            f"those whose sha256(name) mod {validation_modulus} is 0."
        )
        return train, validation
    train, validation = [], []
    for document in corpus.documents:
        head, tail = cut_by_position(document.text)
        if head:
            train.append(Document(f"{document.name} (first part)", head))
        if tail:
            validation.append(Document(f"{document.name} (last part)", tail))
    if not train or not validation:
        raise UserError(
            f"the corpus {corpus.source} is too short to be split into training and validation "
            f"({len(corpus.documents)} documents, {corpus.bytes:,} bytes); name a longer text"
        )
    corpus.report.note(
        f"Validation is the last tenth, by position, of "
        f"{'the document' if len(corpus.documents) == 1 else 'each document'}: splitting "
        f"{len(corpus.documents):,} by name left one side empty."
    )
    return train, validation


def cut_by_position(text: str) -> tuple[str, str]:
    """(first 90 %, last 10 %), cut after the last line that ends within the first part.

    Without a line end there, the cut is at the character itself. Nothing is lost or added.
    """
    at = int(len(text) * BY_POSITION)
    at = text.rfind("\n", 0, at) + 1 or at
    return text[:at], text[at:]


def train_texts(corpus: Corpus, validation_modulus: int = 20) -> list[str]:
    """The texts a tokenizer may be trained on: those of the training side, never validation."""
    return [document.text for document in split(corpus, validation_modulus)[0]]
