"""Whole continuations of texts or of ids, for ``model.generate``.

``generation`` knows ids alone and ``tokenizer`` no model; here they meet. (The commands, which show
a text while it is written, have ``commands/writing.py``.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import FINISHED, TextStream, generate, stop_at
from tinygrad_llm.generation.contexts import in_main_memory
from tinygrad_llm.model import Model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.endings import ending_ids
from tinygrad_llm.tokenizer.prompts import prompt_ids


def continued(
    model: Model,
    tokenizer: Tokenizer | None,
    prompt: Any,
    max_new_tokens: int,
    *,
    ending: int | Sequence[int] | None,
    padding: int | None,
    stop_strings: Sequence[str],
    n: int,
    attention_mask: np.ndarray | None,
    **options: Any,
) -> Any:
    """What ``LanguageModel.generate`` returns; ``options`` are those of ``generation.generate``."""
    texts = _texts(prompt)
    if tokenizer is None and (texts is not None or len(stop_strings)):
        what = "a prompt that is text" if texts is not None else "a stop string"
        raise UserError(
            f"{what} needs a tokenizer, and this model has none: pass tokenizer=, set "
            "model.tokenizer, or pass ids (B, T)"
        )
    if texts is not None:
        if attention_mask is not None:
            raise UserError("an attention_mask is for ids: texts are padded here, where need be")
        assert tokenizer is not None
        ids, attention_mask = _padded([prompt_ids(tokenizer, text) for text in texts])
    else:
        ids = np.asarray(in_main_memory(prompt))
    streams = []
    if tokenizer is not None:
        options["unused_ids"] = tokenizer.unused_ids(model.config.vocab_size)
        last = [int(row[-1]) for row in ids] if ids.ndim == 2 and ids.size else []
        streams = [
            TextStream(tokenizer.stream(after=token), stop_strings) for token in last
            for _ in range(n)
        ]  # fmt: skip
    if ending is None:
        ending = () if tokenizer is None else ending_ids(tokenizer)
    endings = (ending,) if isinstance(ending, int | np.integer) else tuple(ending)
    steps = list(
        generate(
            model, ids, max_new_tokens, stop_ids=endings, n=n, attention_mask=attention_mask,
            stop=stop_at(streams) if streams else None, **options,
        )
    )  # fmt: skip
    if texts is not None:
        for stream in streams:
            stream.finish()
        whole = [texts[row // n] + stream.text for row, stream in enumerate(streams)]
        return whole[0] if isinstance(prompt, str) and n == 1 else whole
    rows = np.repeat(ids, n, axis=0).astype(np.int64)  # (B n, T)
    new = np.stack(steps, axis=1) if steps else np.zeros((len(rows), 0), np.int64)
    if padding is None:
        padding = endings[0] if endings else 0
    return np.concatenate([rows, np.where(new == FINISHED, padding, new)], axis=1)


def _texts(prompt: Any) -> list[str] | None:
    """The prompts, if they are texts."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list | tuple) and prompt and all(isinstance(p, str) for p in prompt):
        return list(prompt)
    return None


def _padded(prompts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids (B, T), with zeros on the left of those that are shorter, and the mask that says so."""
    T = max(map(len, prompts))
    ids, mask = np.zeros((2, len(prompts), T), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, T - len(prompt) :] = prompt
        mask[row, T - len(prompt) :] = 1
    return ids, mask
