"""What a task asks a model, and what the model answers.

There are three questions, as in lm-evaluation-harness:

    Loglikelihood   how likely is this continuation after that context?
    Rolling         how likely is this text, from its beginning to its end?
    Generation      what comes next?

A context is text, or a ``Chat`` that the model's chat template writes out. Everything here is
immutable and compares by value.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tinygrad_llm.errors import UserError


class Message(NamedTuple):
    """A turn of a conversation. role: "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Chat:
    """A conversation that ends where the assistant's answer begins."""

    messages: tuple[Message, ...]


Context = str | Chat


@dataclass(frozen=True)
class Loglikelihood:
    """log p(continuation | context). The answer is a ``Score``."""

    context: Context
    continuation: str


@dataclass(frozen=True)
class Rolling:
    """log p(text), token by token in windows that slide over it. The answer is a ``Score``.

    window: tokens in a window, counting both those that are read and the last that is predicted;
    None means as many as the model can take. stride: tokens by which it moves on; None means the
    whole window, so that windows do not share tokens that they predict. prefix: the first token is
    scored after the id that begins a text; without it, that token is context alone.
    """

    text: str
    window: int | None = None
    stride: int | None = None
    prefix: bool = False


@dataclass(frozen=True)
class Generation:
    """What the model writes after the context. The answer is a ``Text``.

    until: strings before which the text ends. temperature: 0 takes the most likely token, which
    makes ``seed`` irrelevant; otherwise each request draws from a generator of its own, so its
    answer does not depend on the others.
    """

    context: Context
    until: tuple[str, ...] = ()
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    seed: int = 0


Request = Loglikelihood | Rolling | Generation


@dataclass(frozen=True)
class Score:
    """How likely a text is: the sum of log p (nats) over its ``n_tokens`` tokens.

    greedy: whether each of them is the most likely one at its place. n_bytes: their bytes, counted
    from the tokens themselves. A text of no tokens has logp 0.
    """

    logp: float
    n_tokens: int = 1
    greedy: bool = False
    n_bytes: int = 0


@dataclass(frozen=True)
class Text:
    """What a model has written.

    ended: whether the model or one of the ``until`` strings ended it; otherwise it was cut after
    ``max_new_tokens``, or where the model's context is full.
    """

    text: str
    n_tokens: int = 0
    ended: bool = True


Answer = Score | Text


class ContextTooSmall(UserError):
    """The request with this number has more tokens than the model can read."""

    def __init__(self, number: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"request {number} has {tokens:,} tokens, but the model reads at most {limit:,}"
        )
        self.number, self.tokens, self.limit = number, tokens, limit


class Answering(Protocol):
    """A model, as the runner sees it."""

    name: str

    def check(self, requests: Sequence[Request]) -> None:
        """Raise ContextTooSmall if one of the requests does not fit into the model's context, and
        UserError for any other reason not to answer them."""
        ...

    def shown(self, contexts: Sequence[Context]) -> list[str]:
        """The text of each context as the model reads it."""
        ...

    def answers(
        self, requests: Sequence[Request], done: Collection[int] = ()
    ) -> Iterator[dict[int, Answer]]:
        """Answers by the number of the request, some at a time and in any order.

        The requests with the numbers ``done`` need no answer. Which requests are computed together
        depends on ``requests`` alone, so the answers are the same to the last bit whatever is done.
        """
        ...
