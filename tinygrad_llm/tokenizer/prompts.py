"""Which ids a model continues for a text."""

from typing import TYPE_CHECKING

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.special import END_OF_TEXT

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer.base import Tokenizer


def prompt_ids(tokenizer: "Tokenizer", prompt: str, allow_special: bool = False) -> list[int]:
    """The ids of a prompt, after what the tokenizer's file says to put before a text.

    A model cannot continue nothing: before an empty prompt comes the end of a document, or the
    beginning of a text. Raises UserError for an empty prompt where the tokenizer has neither.
    """
    ids = tokenizer.encode(prompt, allow_special=allow_special)
    if ids or tokenizer.conventions.prefix_ids:
        return [*tokenizer.conventions.prefix_ids, *ids]
    for first in (tokenizer.bos_id, tokenizer.special_tokens.get(END_OF_TEXT), tokenizer.eos_id):
        if first is not None:
            return [first]
    raise UserError(
        "the prompt is empty, and the tokenizer has no token that begins or ends a text: give the "
        "model a text to continue (--prompt)"
    )
