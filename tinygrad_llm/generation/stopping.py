"""Text from generated ids, which ends before the first stop string.

A stop string may lie across several tokens, and a token may hold its end and more. So it is looked
for in the text, and text that may still become a stop string waits. With the stop string
"\\n\\nUser:", two line ends are shown only when the next token shows that "User:" does not follow.
Where the text ends does not depend on how it is divided into tokens.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tinygrad_llm.errors import UserError


class DecodesIds(Protocol):
    """What a stream needs: a decoder that holds back unfinished characters, as
    ``tokenizer.stream()`` makes one."""

    def push(self, token_id: int, /) -> str: ...

    def finish(self) -> str: ...


class TextStream:
    """The text of one row, as its ids arrive, up to a stop string.

    decoder: turns ids into text, ``tokenizer.stream()``. stop_strings: the text ends before the
    first of them, the one whose last character comes first (of several with the same last
    character, before the longest). ``text`` is the text so far that is certain, and ``stopped`` the
    stop string that was reached, or None. Raises UserError for an empty stop string.
    """

    def __init__(self, decoder: DecodesIds, stop_strings: Sequence[str] = ()) -> None:
        if isinstance(stop_strings, str) or not all(stop_strings):
            raise UserError(
                f"the stop strings are {stop_strings!r}, expected a list of strings that are not "
                "empty"
            )
        self._decoder, self._stop_strings = decoder, tuple(stop_strings)
        self._waiting = ""
        self.text = ""
        self.stopped: str | None = None

    def push(self, token_id: int) -> str:
        """What is certain to belong to the text after this id, often empty. Nothing follows a stop
        string."""
        return self._add(self._decoder.push(token_id), is_last=False)

    def finish(self) -> str:
        """The rest, after the last id: nothing can become a stop string any more."""
        return self._add(self._decoder.finish(), is_last=True)

    def _add(self, piece: str, is_last: bool) -> str:
        if self.stopped is not None:
            return ""
        text = self._waiting + piece
        if (first := first_stop_string(text, self._stop_strings)) is not None:
            begin, self.stopped = first
        else:
            begin = len(text) if is_last else len(text) - may_continue(text, self._stop_strings)
        certain, self._waiting = text[:begin], text[begin:]
        self.text += certain
        return certain


def first_stop_string(text: str, stop_strings: Sequence[str]) -> tuple[int, str] | None:
    """Where the first stop string begins, and which it is; the one whose end comes first."""
    begins = [(text.find(s), s) for s in stop_strings]
    occurrences = [(begin + len(s), begin, s) for begin, s in begins if begin >= 0]
    if not occurrences:
        return None
    _, begin, stop_string = min(occurrences)
    return begin, stop_string


def may_continue(text: str, stop_strings: Sequence[str]) -> int:
    """How many of the last characters of ``text`` may be the beginning of a stop string."""
    return max(
        (n for s in stop_strings for n in range(1, len(s)) if text.endswith(s[:n])), default=0
    )


def stop_at(streams: Sequence[TextStream]) -> Callable[[int, int], bool]:
    """The ``stop`` of ``generate``: hands each row's ids to its stream, and ends the row at a stop
    string.

        streams = [TextStream(tokenizer.stream(), ["User:"]) for _ in range(4)]
        for _ in generate(model, ids, 100, n=4, stop=stop_at(streams)):
            pass
        for stream in streams:
            stream.finish()
            print(stream.text)
    """

    def stop(row: int, token_id: int) -> bool:
        streams[row].push(token_id)
        return streams[row].stopped is not None

    return stop
