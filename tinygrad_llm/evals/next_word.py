"""Which word comes next in code that the model has not seen?

Data: DATA/next_word.jsonl, which ``tinygrad-llm pipeline`` makes: {"context", "target"}, where the
target is a space and a word. As in LAMBADA (Paperno et al. 2016), a word counts as right if each of
its tokens is the most likely one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_llm.evals.requests import Answer, Loglikelihood, Request, Score
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document, Task, Verdict


@dataclass(frozen=True)
class NextWord(Task):
    """acc: the share of words that are right. nats: -log p of a word."""

    name = "next_word"
    about = "the next word of code; DATA/next_word.jsonl"
    lower_is_better = frozenset({"nats"})

    test = ("next_word",)

    def document(self, row: Row) -> Document:
        values = row.fits({"context": str, "target": str})
        return Document(values["context"], fields=values)

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        return [Loglikelihood(document.question, document.target)]

    def verdict(self, document: Document, answers: Sequence[Score]) -> Verdict:
        (score,) = answers
        return Verdict({"acc": float(score.greedy), "nats": -score.logp}, score.greedy)

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        return [Score(0.0, greedy=True)]
