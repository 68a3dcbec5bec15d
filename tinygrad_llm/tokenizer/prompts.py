"""Which ids a model continues for a text."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer.base import Tokenizer


def prompt_ids(tokenizer: "Tokenizer", prompt: str, allow_special: bool = False) -> list[int]:
    """The ids of a prompt, after what the tokenizer's file says to put before a text.

    A model cannot continue nothing: before an empty prompt comes the end of a document, or the
    beginning of a text. Raises UserError where the tokenizer has neither.
    """
    ids = tokenizer.encode(prompt, allow_special=allow_special)
    if ids or tokenizer.conventions.prefix_ids:
        return [*tokenizer.conventions.prefix_ids, *ids]
    if tokenizer.bos_id is not None:
        return [tokenizer.bos_id]
    return [tokenizer.eot_id]
