"""The base of tasks whose answer is in what a model writes, such as a number after its solution."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_llm.evals.requests import Answer, Generation, Request, Text
from tinygrad_llm.evals.task import Document, Task, Verdict, as_chat


@dataclass(frozen=True)
class WrittenAnswer(Task):
    """A model reads solved examples and a question, and writes a solution of its own.

    until: strings before which it ends. max_new_tokens: after which it is cut.
    """

    until: tuple[str, ...] = ()
    max_new_tokens: int = 256

    def prompt(self, document: Document) -> str:
        """The question as text, up to where a solution would follow; in a chat, the user's turn."""
        raise NotImplementedError

    def solution(self, document: Document) -> str:
        """The right solution as examples show it."""
        raise NotImplementedError

    def reading(self, document: Document, text: str) -> Verdict:
        """The answer that is taken from a text, and whether it is right."""
        raise NotImplementedError

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        turns = [(self.prompt(shot), self.solution(shot)) for shot in shots]
        if self.needs_chat:
            context = as_chat(turns, self.prompt(document))
            return [Generation(context, self.until, self.max_new_tokens)]
        shown = "".join(f"{question} {solution}\n\n" for question, solution in turns)
        return [Generation(f"{shown}{self.prompt(document)}", self.until, self.max_new_tokens)]

    def verdict(self, document: Document, answers: Sequence[Text]) -> Verdict:
        (answer,) = answers
        return self.reading(document, answer.text)

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        return [Text(self.solution(document))]
