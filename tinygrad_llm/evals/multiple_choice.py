"""The base of tasks whose answer is one of several texts."""

from collections.abc import Sequence
from typing import ClassVar

from tinygrad_llm.evals.requests import Answer, Context, Loglikelihood, Request, Score
from tinygrad_llm.evals.task import Document, Task, Verdict, as_chat


class MultipleChoice(Task):
    """Tasks whose answer is one of several texts: the most likely one counts.

        acc             the choice with the highest log-probability
        acc_norm        ... with the highest per character, as lm-evaluation-harness defines it
        acc_norm_token  ... with the highest per token, as llm.c defines it

    The continuations are ``delimiter`` + choice. lm-evaluation-harness counts the characters of
    the choice alone, and so does acc_norm here.
    """

    delimiter: ClassVar[str] = " "
    normalized: ClassVar[bool] = True
    """Whether acc_norm and acc_norm_token are computed; for letters they mean nothing."""

    def prompt(self, document: Document) -> str:
        """The question, up to where a choice would follow."""
        raise NotImplementedError

    def header(self, document: Document) -> str:
        """What comes before all examples."""
        return ""

    def answer_text(self, document: Document) -> str:
        """The right choice as examples show it."""
        return self.continuations(document)[document.gold]

    def continuations(self, document: Document) -> Sequence[str]:
        """The choices as they are scored."""
        return document.choices

    def context(self, document: Document, shots: Sequence[Document]) -> Context:
        """Header, examples and question as one text, or as the turns of a chat."""
        if self.needs_chat:
            turns = [(self.prompt(shot), self.answer_text(shot)) for shot in shots]
            return as_chat(turns, self.prompt(document))
        shown = "".join(
            f"{self.prompt(shot)}{self.delimiter}{self.answer_text(shot)}\n\n" for shot in shots
        )
        return f"{self.header(document)}{shown}{self.prompt(document)}"

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        context = self.context(document, shots)
        return [
            Loglikelihood(context, f"{self.delimiter}{text}")
            for text in self.continuations(document)
        ]

    def verdict(self, document: Document, answers: Sequence[Score]) -> Verdict:
        best = _first_best([a.logp for a in answers])
        metrics = {"acc": float(best == document.gold)}
        if self.normalized:
            characters = [len(text) for text in self.continuations(document)]
            per_character = [a.logp / max(1, n) for a, n in zip(answers, characters, strict=True)]
            per_token = [a.logp / max(1, a.n_tokens) for a in answers]
            metrics["acc_norm"] = float(_first_best(per_character) == document.gold)
            metrics["acc_norm_token"] = float(_first_best(per_token) == document.gold)
        return Verdict(metrics, best)

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        # far apart, so that a division by a length cannot change which is best
        return [
            Score(0.0 if i == document.gold else -1e6, greedy=i == document.gold)
            for i in range(n_requests)
        ]


def _first_best(values: Sequence[float]) -> int:
    """The index of the largest value; of equal ones, the first, as NumPy's argmax does."""
    return max(range(len(values)), key=values.__getitem__)
