"""From ids to text: what a model writes, piece by piece, and how fast.

``generation`` knows ids alone, and ``tokenizer`` no model; here they meet. A ``Writer`` is a model
with its tokenizer, a ``Writing`` one text that it writes.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import generate
from tinygrad_llm.tokenizer.special import END_OF_TEXT

if TYPE_CHECKING:
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.model.llama import Llama
    from tinygrad_llm.tokenizer import Tokenizer


class Writer:
    """A model that continues ids, and the tokenizer that makes text of them."""

    def __init__(self, model: "GPT | Llama", tokenizer: "Tokenizer") -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.ending_ids = ending_ids(tokenizer)

    def write(
        self, ids: Sequence[int], options: SamplingOptions, rng: np.random.Generator
    ) -> "Writing":
        """The continuation of ``ids``, to be iterated over. Raises UserError for bad options."""
        steps = generate(
            self.model.next_token_logits,
            np.array([ids], dtype=np.int64),
            options.max_new_tokens,
            block_size=self.model.config.block_size,
            rng=rng,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            stop_ids=self.ending_ids,
            unused_ids=self.tokenizer.unused_ids(self.model.config.vocab_size),
        )
        return Writing(self, ids, steps)


class Writing:
    """A text while it is written: iterating over it gives pieces that never end in a character."""

    def __init__(self, writer: Writer, prompt: Sequence[int], steps: Iterator[np.ndarray]) -> None:
        self.ended = False
        """Whether the model has ended the text, as opposed to its length."""
        self.text = ""
        """All pieces so far."""
        self.ids: list[int] = []
        """The ids of the text so far."""
        self.prompt_tokens = len(prompt)
        self.reused_tokens = 0
        """Tokens of the prompt that the cache already held."""
        self._writer, self._steps = writer, steps
        self._decoder = writer.tokenizer.stream(after=prompt[-1])
        self._times: list[float] = []

    def __iter__(self) -> Iterator[str]:
        model = self._writer.model
        was_training = model.training
        model.eval()
        try:
            yield from self._pieces()
        finally:
            model.train(was_training)

    def _pieces(self) -> Iterator[str]:
        self._times = [time.perf_counter()]
        for (new,) in self._steps:
            self._times.append(time.perf_counter())
            if new in self._writer.ending_ids:
                self.ended = True
                break
            self.ids.append(int(new))
            yield self._add(self._decoder.push(int(new)))
        yield self._add(self._decoder.finish())

    def _add(self, piece: str) -> str:
        self.text += piece
        return piece

    def speed(self) -> str:
        """How many tokens were read and written, and how fast."""
        started, first, last = self._times[0], self._times[1], self._times[-1]
        read, written = self.prompt_tokens - self.reused_tokens, len(self._times) - 1
        text = f"{written} token{'s' * (written != 1)}"
        if written > 1:
            text += f" in {last - first:.2f} s ({(written - 1) / (last - first):,.0f} tokens/s)"
        text += f", after {read} of the prompt in {first - started:.2f} s"
        text += f" ({read / (first - started):,.0f} tokens/s)"
        if self.reused_tokens:
            text += f", {self.reused_tokens} were in the cache"
        return text


def ending_ids(tokenizer: "Tokenizer") -> tuple[int, ...]:
    """The ids with which a model ends its text: of a document, of an answer.

    The name of the end of an answer differs from model to model, and files do not always give it;
    but the chat template writes it after an answer.
    """
    special = tokenizer.special_tokens
    ids = {tokenizer.eos_id, special.get(END_OF_TEXT)}
    if tokenizer.conventions.chat_template is not None:
        mark = "qzx"
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
        try:
            text = tokenizer.render_chat(turns, add_generation_prompt=False)
        except UserError:  # it has demands on a conversation
            text = ""
        after = text.rpartition(mark)[2].lstrip()
        name = max((name for name in special if after.startswith(name)), key=len, default=None)
        ids.add(special.get(name or ""))
    return tuple(sorted(i for i in ids if i is not None))
