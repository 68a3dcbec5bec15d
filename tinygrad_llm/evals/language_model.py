"""A language model of ours, as the runner sees it: requests in, answers out."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.decoding import TextWriter
from tinygrad_llm.evals.encoding import Encoder, Pair
from tinygrad_llm.evals.requests import (
    Answer,
    Chat,
    Context,
    ContextTooSmall,
    Generation,
    Request,
    Rolling,
    Score,
)
from tinygrad_llm.evals.scorer import Scorer
from tinygrad_llm.generation import Decoder

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer


class LanguageModel:
    """A model and its tokenizer.

        model, tokenizer = load_pretrained("smollm2-135m-instruct")
        answering = LanguageModel(model, tokenizer, stop_ids=tokenizer.stop_ids)
        (answers,) = answering.answers([Loglikelihood("1 + 1 =", " 2")])

    stop_ids: ids with which the model ends what it writes. batch_size: contexts that are read
    together. share: whether what requests have in common is read once; it changes nothing but the
    time. fused: that of ``Decoder``.

    Nothing is ever cut: a request that is longer than the model's context is refused.
    """

    def __init__(
        self,
        model: "Model",
        tokenizer: "Tokenizer",
        stop_ids: Sequence[int] = (),
        name: str = "model",
        batch_size: int = 8,
        share: bool = True,
        fused: bool = True,
    ) -> None:
        self.name = name
        self.model, self.tokenizer = model.eval(), tokenizer
        self.encoder = Encoder(tokenizer)
        decoder = Decoder(model, fused)
        self._scorer = Scorer(decoder, batch_size, share)
        self._writer = TextWriter(decoder, tokenizer, stop_ids, batch_size, share)

    def check(self, requests: Sequence[Request]) -> None:
        """Raise ContextTooSmall for the longest request that does not fit, and UserError for a
        chat without template, and for a window that the model cannot read."""
        limit = self.model.config.block_size
        self._render(requests)
        longest, number = 0, -1
        for i, request in enumerate(requests):
            if isinstance(request, Rolling):
                self.encoder.windows(request, limit)
                continue
            if isinstance(request, Generation):
                tokens = len(self.encoder.context(request.context)) + 1  # room to write
            else:
                pair = self.encoder.pair(request)
                tokens = len(pair.context) + len(pair.continuation) - 1  # the last is not read
            if tokens > longest:
                longest, number = tokens, i
        if longest > limit:
            raise ContextTooSmall(number, longest, limit)

    def shown(self, contexts: Sequence[Context]) -> list[str]:
        """The text of each context, of a chat as its template writes it."""
        self.encoder.render(contexts)
        return [self.encoder.shown(context) for context in contexts]

    def answers(
        self, requests: Sequence[Request], done: Collection[int] = ()
    ) -> Iterator[dict[int, Answer]]:
        """Answers by the number of the request, a batch at a time; ``Answering`` has the rules."""
        self.check(requests)
        done = frozenset(done)
        yield from self._scored(requests, done)
        yield from self._written(requests, done)

    def _scored(
        self, requests: Sequence[Request], done: Collection[int]
    ) -> Iterator[dict[int, Answer]]:
        pairs: list[Pair] = []
        owner: list[int] = []
        for number, request in enumerate(requests):
            if isinstance(request, Generation):
                continue
            if isinstance(request, Rolling):
                found = self.encoder.windows(request, self.model.config.block_size)
            else:
                found = [self.encoder.pair(request)]
            pairs += found
            owner += [number] * len(found)
            if not found:  # a text of no tokens
                yield {number: Score(0.0, 0, True)}
        waiting: dict[int, dict[int, tuple[float, bool]]] = {}
        parts: dict[int, list[int]] = {}
        for i, number in enumerate(owner):
            parts.setdefault(number, []).append(i)
        finished = [i for i, number in enumerate(owner) if number in done]
        for scores in self._scorer.scores(pairs, frozenset(finished)):
            answers: dict[int, Answer] = {}
            for i, score in scores.items():
                number = owner[i]
                some = waiting.setdefault(number, {})
                some[i] = score
                if len(some) == len(parts[number]):
                    del waiting[number]
                    answers[number] = self._score([pairs[j] for j in parts[number]],
                                                  [some[j] for j in parts[number]])  # fmt: skip
            yield answers

    def _score(self, pairs: Sequence[Pair], scores: Sequence[tuple[float, bool]]) -> Score:
        tokens = [token for pair in pairs for token in pair.continuation]
        return Score(
            sum(logp for logp, _ in scores),
            len(tokens),
            all(greedy for _, greedy in scores),
            int(self.encoder.token_bytes[tokens].sum()),
        )

    def _written(
        self, requests: Sequence[Request], done: Collection[int]
    ) -> Iterator[dict[int, Answer]]:
        asked = {i: r for i, r in enumerate(requests) if isinstance(r, Generation)}
        numbers = list(asked)
        prompts = [self.encoder.context(request.context) for request in asked.values()]
        finished = frozenset(place for place, number in enumerate(numbers) if number in done)
        for texts in self._writer.texts(prompts, list(asked.values()), finished):
            yield {numbers[place]: text for place, text in texts.items()}

    def _render(self, requests: Sequence[Request]) -> None:
        contexts = [r.context for r in requests if not isinstance(r, Rolling)]
        chats = [context for context in contexts if isinstance(context, Chat)]
        if chats and self.tokenizer.conventions.chat_template is None:
            raise UserError(
                f"{self.name} has no chat template: it was not trained on conversations; use tasks "
                "that do not end with _chat, without --apply-chat-template"
            )
        self.encoder.render(chats)
