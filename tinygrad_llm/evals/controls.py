"""Corrupted inputs, which must change the score of a model that can do a task.

    shuffle-choices  the choices are in another order: the score stays, unless the model prefers
                     places to answers, or has learned the test by heart
    no-question      the choices alone: what is left above chance can be guessed from them
    other-shots      the examples are those of the next group, such as another subject: what is lost
                     was learned from the examples

A small model answers A to nearly everything, and no control moves its score: that is what they show
about it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.task import Document

CONTROLS = ("shuffle-choices", "no-question", "other-shots")

ShotsOf = Callable[[Document], Sequence[Document]]


def corrupted(
    control: str, documents: Sequence[Document], shots_of: ShotsOf, seed: int
) -> tuple[list[Document], ShotsOf]:
    """The documents, and the examples before each, with one of the CONTROLS applied.

    Raises UserError for another name, and where there is nothing that it could change.
    """
    if control == "shuffle-choices" and documents[0].choices:
        rng = np.random.default_rng(seed)
        return [shuffled(document, rng) for document in documents], shots_of
    if control == "no-question":
        return [replace(document, question="") for document in documents], shots_of
    groups = list(dict.fromkeys(document.group for document in documents))
    if control == "other-shots" and len(groups) > 1:
        one_of = {document.group: document for document in documents}
        following = dict(zip(groups, (*groups[1:], groups[0]), strict=True))
        return list(documents), lambda document: shots_of(one_of[following[document.group]])
    if control not in CONTROLS:
        raise UserError(f"there is no control {control!r}: there are {', '.join(CONTROLS)}")
    lacks = "choices" if control == "shuffle-choices" else "several groups"
    raise UserError(f"the control {control} needs a task with {lacks}")


def shuffled(document: Document, rng: np.random.Generator) -> Document:
    """The same question with its choices in another order, of which the same one is right."""
    order = rng.permutation(len(document.choices)).tolist()
    choices = tuple(document.choices[i] for i in order)
    return replace(document, choices=choices, gold=order.index(document.gold))
