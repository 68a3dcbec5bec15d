"""Changes of the logits before sampling: a bias for chosen ids, and penalties for repetition.

With c_i, how often id i was generated, and s_i, whether it occurs in the prompt or was generated:

    l_i += bias_i                                               logit bias
    if s_i:  l_i = l_i / r  if l_i > 0, otherwise  l_i * r      repetition penalty r
    l_i -= f c_i                                                frequency penalty f
    if c_i > 0:  l_i -= a                                       presence penalty a

The repetition penalty (Keskar et al. 2019) counts an id once, however often it occurs, in the
prompt too, as in transformers. The other two see the generated tokens only, as in OpenAI's
interface and vLLM. The order is that of vLLM and llama.cpp.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinygrad_llm.errors import UserError


@dataclass(frozen=True)
class PenaltyOptions:
    """The options of ``generate`` that change logits, checked once.

    ``unused_ids``, which stand for no token, get a bias of -inf.
    """

    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    unused_ids: Sequence[int] | np.ndarray = ()

    def __post_init__(self) -> None:
        if not 1e-6 <= self.repetition_penalty <= 1e6:
            raise UserError(
                f"the repetition penalty is {self.repetition_penalty}, but must be from 0.000001 "
                "to 1,000,000 (1 changes nothing, above 1 discourages repetition)"
            )
        for name in ("presence_penalty", "frequency_penalty"):
            if not math.isfinite(value := getattr(self, name)):
                raise UserError(f"{name} is {value}, but must be finite (0 changes nothing)")
        for token, bias in self.logit_bias.items():
            if not (isinstance(token, int | np.integer) and token >= 0):
                raise UserError(f"the logit bias names {token!r}, expected a token id")
            if not bias < math.inf:
                raise UserError(
                    f"the logit bias of id {token} is {bias}, but must be a finite number, or -inf "
                    "to exclude the id"
                )


class Penalties:
    """The changes for one sequence, whose generated ids are counted by ``add``."""

    def __init__(self, prompt: Iterable[int], options: PenaltyOptions) -> None:
        self._prompt, self._options = list(prompt), options
        unused = np.asarray(options.unused_ids, dtype=np.int64)
        self._bias_ids = np.concatenate((np.array([*options.logit_bias], np.int64), unused))
        self._bias = np.concatenate(([*options.logit_bias.values()], np.full(len(unused), -np.inf)))
        self._counts_matter = bool(options.presence_penalty or options.frequency_penalty)
        self._repeats_matter = options.repetition_penalty != 1
        self._counts = np.zeros(0, dtype=np.int32)  # (V,), once V is known
        self._in_prompt = np.zeros(0, dtype=bool)  # (V,), once V is known

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """The changed ``logits`` (V,): a copy, unless nothing changes. Raises UserError for a bias
        of an id that the model does not have."""
        if not (self._bias_ids.size or self._counts_matter or self._repeats_matter):
            return logits
        self._begin(len(logits))
        logits, options = logits.copy(), self._options
        if self._bias_ids.size:
            logits[self._bias_ids] += self._bias.astype(logits.dtype)
        if self._repeats_matter:
            seen = np.flatnonzero(self._in_prompt | (self._counts > 0))
            values, r = logits[seen], options.repetition_penalty
            logits[seen] = np.where(values > 0, values / r, values * r)
        if self._counts_matter:
            generated = np.flatnonzero(self._counts > 0)
            counts = self._counts[generated].astype(logits.dtype)
            logits[generated] -= options.frequency_penalty * counts + options.presence_penalty
        return logits

    def add(self, token: int, times: int = 1) -> None:
        """Count a generated id; ``times=-1`` takes it back."""
        if self._counts.size:
            self._counts[token] += times

    def _begin(self, vocab_size: int) -> None:
        if self._counts.size:
            return
        if self._bias_ids.size and self._bias_ids.max() >= vocab_size:
            raise UserError(
                f"the logit bias names id {self._bias_ids.max()}, but the model's ids are 0 to "
                f"{vocab_size - 1}"
            )
        self._counts = np.zeros(vocab_size, dtype=np.int32)
        self._in_prompt = np.zeros(vocab_size, dtype=bool)
        self._in_prompt[self._prompt] = True
