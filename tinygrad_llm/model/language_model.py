"""What a GPT and a Llama can do as a whole: be loaded, be saved, and write.

The models know no files, no tokenizer and no sampling: those packages are built on the models. So
the three methods look them up by name when they are called. This is the only link upwards.
"""

import importlib
import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from autograd import Tensor
from tinygrad_llm.errors import UserError
from tinygrad_llm.model.module import Module

Ids = np.ndarray | Tensor | Sequence[Sequence[int]]


def check_config(model: Module, config: Any, kind: type) -> None:
    """Raise TypeError for a ``config`` that is not of this kind."""
    if not isinstance(config, kind):
        raise TypeError(
            f"{type(model).__name__}: config is of type {type(config).__name__}, expected a "
            f"{kind.__name__}"
        )


class LanguageModel(Module):
    """A Module with a ``config`` whose ``forward`` maps ids (B, T) to logits (B, T, V)."""

    tokenizer: Any = None
    """The tokenizer that ``generate`` and ``save_pretrained`` use: that of ``from_pretrained``, or
    one that you set."""

    @classmethod
    def from_pretrained(
        cls, path_or_name: str | os.PathLike, dtype: str = "float32", weights: str = "float32"
    ) -> Self:
        """The model in a directory, a GGUF file or a run, or the one that a name means.

        The arguments are those of ``load_pretrained``, which also returns the tokenizer; here it is
        the model's attribute ``tokenizer`` (None if there are no files of one). The model is in
        evaluation mode: call ``train()`` before training it. Raises UserError for what
        ``load_pretrained`` refuses, and for a model of another class.
        """
        load_pretrained = importlib.import_module("tinygrad_llm.pretrained").load_pretrained
        model, tokenizer = load_pretrained(path_or_name, dtype, weights)
        if not isinstance(model, cls):
            kind = type(model).__name__
            raise UserError(
                f"{os.fspath(path_or_name)} is a {kind}, not a {cls.__name__}: use "
                f"{kind}.from_pretrained, or load_pretrained, which opens both"
            )
        model.tokenizer = tokenizer
        return model

    def save_pretrained(
        self, directory: str | os.PathLike, tokenizer: Any = None, dtype: str = "float32"
    ) -> None:
        """Write the model, and a tokenizer if there is one, as transformers opens them.

        ``tokenizer`` is by default the model's own. ``directory`` is made if need be. ``dtype`` is
        what the weights are stored as: "float32", "float16" or "bfloat16". Raises what
        ``tinygrad_llm.pretrained.save_pretrained`` raises.
        """
        pretrained = importlib.import_module("tinygrad_llm.pretrained")
        tokenizer = self.tokenizer if tokenizer is None else tokenizer
        pretrained.save_pretrained(self, tokenizer, directory, dtype)

    def generate(
        self,
        prompt: str | Sequence[str] | Ids,
        max_new_tokens: int = 100,
        *,
        do_sample: bool = True,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        num_return_sequences: int = 1,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        stop_strings: Sequence[str] = (),
        attention_mask: np.ndarray | None = None,
        tokenizer: Any = None,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Any:
        """The prompt and its continuation, with Hugging Face's names for the options.

        ``prompt`` is a text, for which the result is one, or several, for a list; or ids (B, T),
        for which it is an array (B n, T + new), int64. Texts need a tokenizer: the model's own, or
        ``tokenizer``. ``num_return_sequences`` n gives several continuations of each prompt, next
        to each other: a list, also for one text.

        - do_sample: True draws each token; False takes the most likely, as ``temperature=0`` does.
          (Hugging Face's default is False.)
        - temperature, top_k, top_p, min_p, repetition_penalty: as in ``generation/sampling.py``.
        - eos_token_id: the ids that end a text, by default those of the tokenizer; () for none. In
          an array, what follows one is ``pad_token_id``, by default the first of them.
        - stop_strings: a text ends before the first of these.
        - attention_mask (B, T): 0 where ids are padding, which stands on the left.
        - seed, rng: where the random numbers come from; without either, others each time.

        Dropout is off meanwhile, and so are gradients. ``tinygrad_llm.generation.generate`` gives
        one token after the other, and has more options. Raises UserError for options out of range
        and for a text without a tokenizer.
        """
        if not do_sample:
            if temperature not in (0.0, 1.0) or any(x is not None for x in (top_k, top_p, min_p)):
                raise UserError(
                    "do_sample=False takes the most likely token, so temperature, top_k, top_p and "
                    "min_p would mean nothing: leave them out, or do_sample"
                )
            temperature = 0.0
        was_training = self.training
        try:
            return importlib.import_module("tinygrad_llm.continuation").continued(
                self.eval(),
                self.tokenizer if tokenizer is None else tokenizer,
                prompt,
                max_new_tokens,
                ending=eos_token_id,
                padding=pad_token_id,
                stop_strings=stop_strings,
                n=num_return_sequences,
                attention_mask=attention_mask,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
                seed=seed,
                rng=rng,
            )
        finally:
            self.train(was_training)
