"""From ids to text: what a model writes, piece by piece, and how fast.

``generation`` knows ids alone, and ``tokenizer`` no model; here they meet. A ``Writer`` is a model
with its tokenizer, a ``Writing`` what it writes after one prompt.
"""

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import (
    FINISHED,
    Decoder,
    DraftModel,
    KVCache,
    PromptLookup,
    Step,
    TextStream,
    generate,
    stop_at,
)
from tinygrad_llm.terminal import typed_text
from tinygrad_llm.tokenizer.endings import ending_ids

if TYPE_CHECKING:
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer

SECONDS_UNEXPLAINED = 3


class Writer:
    """A model that continues ids, and the tokenizer that makes text of them.

    draft: what guesses tokens ahead (``generation/speculative.py``), if anything does. fused: that
    of ``Decoder``.
    """

    def __init__(
        self,
        model: "Model",
        tokenizer: "Tokenizer",
        draft: DraftModel | PromptLookup | None = None,
        fused: bool = True,
    ) -> None:
        self.model = model
        self.decoder = Decoder(model, fused)
        self.tokenizer = tokenizer
        self.draft = draft
        self.ending_ids = ending_ids(tokenizer)
        self.is_new = True
        """Whether nothing has been written yet, so that kernels may have to be compiled."""

    def write(
        self,
        prompt: Sequence[int],
        options: SamplingOptions,
        rng: np.random.Generator,
        n: int = 1,
        logprobs: int | None = None,
        cache: KVCache | None = None,
    ) -> "Writing":
        """``n`` continuations of the ids ``prompt``. Raises UserError for bad options.

        cache: has one row, whose tokens are not read again where the prompt begins with them.
        """
        return Writing(self, prompt, options, rng, n, logprobs, cache)


class Writing:
    """Texts while they are written: iterating gives a piece of each at every step.

    A piece never ends inside a character, and is often empty.
    """

    def __init__(
        self,
        writer: Writer,
        prompt: Sequence[int],
        options: SamplingOptions,
        rng: np.random.Generator,
        n: int,
        logprobs: int | None,
        cache: KVCache | None,
    ) -> None:
        self._writer = writer
        self._stop_strings = [typed_text(s, "a stop string") for s in options.stop]
        self._ending_ids = {*writer.ending_ids, *stop_ids(options, writer.model)}
        self._streams = [
            TextStream(writer.tokenizer.stream(after=prompt[-1]), self._stop_strings)
            for _ in range(n)
        ]
        self._with_logprobs = logprobs is not None
        self._steps: Iterator[Any] = generate(
            writer.decoder,
            np.array([prompt], dtype=np.int64),
            options.max_new_tokens,
            rng=rng,
            n=n,
            logprobs=logprobs,
            stop_ids=tuple(self._ending_ids),
            stop=stop_at(self._streams),
            draft=writer.draft,
            cache=cache,
            unused_ids=writer.tokenizer.unused_ids(writer.model.config.vocab_size),
            **sampling_arguments(options),
        )
        self.ids: list[list[int]] = [[] for _ in range(n)]
        """The ids of each text so far, without one that ended it."""
        self.ended = [False] * n
        """Whether an id or a stop string has ended each text, as opposed to its length."""
        self.steps: list[Step] = []
        """What ``generate`` yielded, if log-probabilities were asked for."""
        self.prompt_tokens = len(prompt)
        self.reused_tokens = 0 if cache is None else cache.keep_common_prefix(0, prompt[:-1])
        """Tokens of the prompt that were in the cache."""
        self._times: list[float] = []

    @property
    def texts(self) -> list[str]:
        """What has been written so far."""
        return [stream.text for stream in self._streams]

    def __iter__(self) -> Iterator[list[str]]:
        model = self._writer.model
        was_training = model.training
        model.eval()
        try:
            yield from self._pieces()
        finally:
            model.train(was_training)

    def _pieces(self) -> Iterator[list[str]]:
        shown = [0] * len(self._streams)

        def pieces() -> list[str]:
            new = [text[begin:] for text, begin in zip(self.texts, shown, strict=True)]
            shown[:] = map(len, self.texts)
            return new

        self._times = [time.perf_counter()]
        with _explaining_a_wait() if self._writer.is_new else contextlib.nullcontext():
            first = next(self._steps)
        self._writer.is_new = False
        for step in itertools.chain([first], self._steps):
            self._times.append(time.perf_counter())
            if self._with_logprobs:
                self.steps.append(step)
            for row, new in enumerate(step.ids if self._with_logprobs else step):
                if new in self._ending_ids:
                    self.ended[row] = True
                elif new != FINISHED:
                    self.ids[row].append(int(new))
                    self.ended[row] = self._streams[row].stopped is not None
            yield pieces()
        for stream in self._streams:
            stream.finish()
        yield pieces()

    def speed(self) -> str:
        """How many tokens were read and written, and how fast."""
        if len(self._times) < 2:
            return "no token was written"
        started, first, last = self._times[0], self._times[1], self._times[-1]
        read, steps = self.prompt_tokens - self.reused_tokens, len(self._times) - 1
        rows = f" of each of {len(self.ids)} texts" if len(self.ids) > 1 else ""
        text = f"{steps} token{'s' * (steps != 1)}{rows}"
        if steps > 1:
            rate = (steps - 1) * len(self.ids) / (last - first)
            text += f" in {last - first:.2f} s ({rate:,.0f} tokens/s)"
        text += f", after {read} of the prompt in {first - started:.2f} s"
        text += f" ({read / (first - started):,.0f} tokens/s)"
        if self.reused_tokens:
            text += f", {self.reused_tokens} were in the cache"
        if self._writer.draft is not None:
            counts = self._writer.draft.counts
            text += f"; {counts.accepted} of {counts.proposed} guesses were right"
        return text


@contextlib.contextmanager
def _explaining_a_wait() -> Iterator[None]:
    """Say what happens if the first token takes long: of a long prompt, at a terminal alone."""
    from autograd.kernels._disk_cache import before_compiling

    compiles = threading.Event()

    def explain() -> None:
        if compiles.is_set():
            what = "compiling the kernels (once per machine and kind of weights)"
            print(what, file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            print("reading the prompt", file=sys.stderr, flush=True)

    timer = threading.Timer(SECONDS_UNEXPLAINED, explain)
    timer.daemon = True
    timer.start()
    try:
        with before_compiling(compiles.set):
            yield
    finally:
        timer.cancel()


def sampling_arguments(options: SamplingOptions) -> dict[str, Any]:
    """The options as arguments of ``generate``."""
    names = (
        "temperature top_k top_p min_p sampler_order repetition_penalty presence_penalty "
        "frequency_penalty logit_bias"
    )
    return {name: getattr(options, name) for name in names.split()}


def check_sampling(options: SamplingOptions) -> None:
    """Raise UserError for options that ``generate`` would refuse."""
    generate(lambda ids: ids, [[0]], 0, block_size=1, **sampling_arguments(options))


def stop_ids(options: SamplingOptions, model: "Model") -> tuple[int, ...]:
    """Those of the options. Raises UserError for an id that the model does not have."""
    size = model.config.vocab_size
    for stop_id in options.stop_ids:
        if stop_id >= size:
            raise UserError(
                f"the stop id {stop_id} is none of the model's, which are 0 to {size - 1}"
            )
    return options.stop_ids
