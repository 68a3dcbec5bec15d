"""Models whose score is known: what a task says about them tests the task.

    oracle   knows every right answer: 100 %
    random   draws every answer: the chance level, within its band
    first    always takes the first choice: the share of documents whose first choice is right

They answer the same requests as a language model, without looking at a word of them.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Answer, Context, Generation, Request, Score, Text
from tinygrad_llm.evals.task import Item, Task

KNOWN = ("oracle", "random", "first")


class KnownModel:
    """Gives the answers ``prepared``, one for each request in order."""

    def __init__(self, name: str, prepared: Sequence[Answer]) -> None:
        self.name, self._prepared = name, prepared

    def check(self, requests: Sequence[Request]) -> None:
        """Everything fits."""

    def shown(self, contexts: Sequence[Context]) -> list[str]:
        """The contexts; of a chat, its turns."""
        return [
            c if isinstance(c, str) else "".join(f"{m.role}: {m.content}\n" for m in c.messages)
            for c in contexts
        ]

    def answers(
        self, requests: Sequence[Request], done: Collection[int] = ()
    ) -> Iterator[dict[int, Answer]]:
        """All answers, one at a time."""
        if len(requests) != len(self._prepared):
            raise UserError(
                f"the model {self.name} was made for {len(self._prepared)} requests, but there are "
                f"{len(requests)}"
            )
        for i, answer in enumerate(self._prepared):
            if i not in done:
                yield {i: answer}


def known_model(name: str, task: Task, items: Sequence[Item], seed: int = 0) -> KnownModel:
    """The model of this name, one of KNOWN, for all ``items`` of a task, in this order."""
    if name not in KNOWN:
        raise UserError(f"there is no model {name!r} of known score: there are {', '.join(KNOWN)}")
    if name == "oracle":
        of_items = [task.right_answers(item.document, len(item.requests)) for item in items]
    elif name == "random":
        rng = np.random.default_rng(seed)
        of_items = [[_drawn(request, rng) for request in item.requests] for item in items]
    else:
        of_items = [[_ranked(r, place) for place, r in enumerate(i.requests)] for i in items]
    return KnownModel(name, [answer for answers in of_items for answer in answers])


def _drawn(request: Request, rng: np.random.Generator) -> Answer:
    """Any likelihood, or any number from 0 to 999."""
    draw = rng.random()
    return Text(str(int(1000 * draw)), 1) if isinstance(request, Generation) else Score(-draw)


def _ranked(request: Request, place: int) -> Answer:
    """The likelihood of a document's first request is the highest; nothing is written."""
    return Text("", 0) if isinstance(request, Generation) else Score(-1e6 * place)
