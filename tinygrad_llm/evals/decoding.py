"""What a model writes after many prompts: some at a time, and their common beginning read once."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from autograd import no_grad
from tinygrad_llm.evals.plan import Batch, Reading, batches
from tinygrad_llm.evals.requests import Generation, Text
from tinygrad_llm.evals.scorer import MAX_CACHE_BYTES, PrefixCache, bytes_per_token
from tinygrad_llm.generation import FINISHED, Decoder, KVCache, TextStream, generate, stop_at
from tinygrad_llm.tokenizer import Tokenizer


class TextWriter:
    """Answers ``Generation`` requests, whose prompts are ids.

    stop_ids: ids with which the model ends its text. batch_size: prompts that are continued
    together. share: whether common beginnings are read once.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        stop_ids: Sequence[int] = (),
        batch_size: int = 8,
        share: bool = True,
    ) -> None:
        self._decoder, self._tokenizer = decoder, tokenizer
        self._stop_ids = tuple(stop_ids)
        self._batch_size, self._share = batch_size, share
        self._prefix = PrefixCache(decoder)
        self._unused_ids = tokenizer.unused_ids(decoder.model.config.vocab_size)

    def texts(
        self,
        prompts: Sequence[list[int]],
        requests: Sequence[Generation],
        done: Collection[int] = (),
    ) -> Iterator[dict[int, Text]]:
        """Texts by the number of the prompt; a batch that is all ``done`` is left out."""
        config = self._decoder.model.config
        most = MAX_CACHE_BYTES // bytes_per_token(self._decoder.model)
        for alike in _with_equal_options(requests):
            readings = []
            for number in alike:
                prompt = prompts[number]
                length = min(config.block_size, len(prompt) + requests[number].max_new_tokens)
                readings.append(Reading(prompt, 1, length, len(prompt)))
            for batch in batches(readings, self._batch_size, most, self._share):
                numbers = [alike[i] for i in batch.numbers]
                if not all(number in done for number in numbers):
                    some = [prompts[n] for n in numbers]
                    texts = self._write(batch, some, [requests[n] for n in numbers])
                    yield dict(zip(numbers, texts, strict=True))

    def _write(
        self, batch: Batch, prompts: Sequence[list[int]], requests: Sequence[Generation]
    ) -> list[Text]:
        streams = [
            TextStream(self._tokenizer.stream(after=prompt[-1]), request.until)
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        options = requests[0]
        longest = max(map(len, prompts))
        ids, mask = np.zeros((2, len(prompts), longest), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        steps = generate(
            self._decoder,
            ids,
            # a text ends where the context is full
            min(options.max_new_tokens, self._decoder.model.config.block_size - longest),
            rng=_OwnGenerators([request.seed for request in requests]),  # type: ignore[arg-type]
            temperature=options.temperature,
            top_p=options.top_p,
            stop_ids=self._stop_ids,
            unused_ids=self._unused_ids,
            stop=stop_at(streams),
            attention_mask=mask,
            cache=self._read(batch, prompts),
        )
        counts, ended = [0] * len(prompts), [False] * len(prompts)
        for new in steps:
            for row, token in enumerate(new.tolist()):
                if token in self._stop_ids:
                    ended[row] = True
                elif token != FINISHED:
                    counts[row] += 1
        texts = []
        for row, stream in enumerate(streams):
            stream.finish()
            texts.append(Text(stream.text, counts[row], ended[row] or stream.stopped is not None))
        return texts

    @no_grad()
    def _read(self, batch: Batch, prompts: Sequence[list[int]]) -> KVCache:
        """A cache with the prompts as far as all have tokens; ``generate`` reads the rest."""
        start, stop = batch.shared, min(map(len, prompts)) - 1
        if start:
            cache = self._prefix.rows(prompts[0][:start], len(prompts), batch.longest)
        else:
            cache = self._decoder.cache(len(prompts), batch.longest)
        if stop > start:
            self._decoder.model.hidden(np.array([p[start:stop] for p in prompts]), cache)
        return cache


def _with_equal_options(requests: Sequence[Generation]) -> list[list[int]]:
    """The numbers of requests that can be in one batch."""
    alike: dict[Any, list[int]] = {}
    for number, r in enumerate(requests):
        alike.setdefault((r.max_new_tokens, r.temperature, r.top_p), []).append(number)
    return list(alike.values())


class _OwnGenerators:
    """Draws for the rows of a batch, each from a generator of its own."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._rngs = [np.random.default_rng(seed) for seed in seeds]

    def random(self, n: int) -> np.ndarray:
        """One number for each of the ``n`` rows."""
        return np.array([rng.random() for rng in self._rngs[:n]])
