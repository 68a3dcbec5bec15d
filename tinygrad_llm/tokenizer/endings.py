"""Which ids end what a model writes."""

from typing import TYPE_CHECKING

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.special import END_OF_TEXT

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer.base import Tokenizer


def ending_ids(tokenizer: "Tokenizer") -> tuple[int, ...]:
    """The ids with which a model ends its text: of a document, of an answer.

    The name of the end of an answer differs from model to model, and files do not always give it;
    but the chat template writes it after an answer.
    """
    special = tokenizer.special_tokens
    ids = {*tokenizer.stop_ids, special.get(END_OF_TEXT)}
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
