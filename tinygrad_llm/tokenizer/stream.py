"""Text from ids that arrive one at a time, as a model generates them."""

import codecs
from collections.abc import Iterable
from typing import Protocol


class DecodesBytes(Protocol):
    """The part of a tokenizer that the decoder uses."""

    def decode_bytes(self, ids: Iterable[int], after: int | None = None) -> bytes: ...


class StreamDecoder:
    """Turns ids into text as they arrive, holding back the bytes of an unfinished character.

    errors: what to do with invalid UTF-8, as in ``bytes.decode``. after: the id that came before,
    None at the start of a text.
    """

    def __init__(
        self, tokenizer: DecodesBytes, errors: str = "replace", after: int | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._after = after
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def push(self, token_id: int) -> str:
        """The text that is complete after this id; often empty inside a character."""
        data = self._tokenizer.decode_bytes([token_id], self._after)
        self._after = token_id
        return self._decoder.decode(data)

    def finish(self) -> str:
        """The rest: U+FFFD for an unfinished character (as `errors` says). Then starts afresh."""
        self._after = None
        return self._decoder.decode(b"", final=True)
