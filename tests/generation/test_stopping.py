"""Stop strings in text that arrives in pieces."""

import codecs

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import FINISHED, TextStream, generate, stop_at
from tinygrad_llm.tokenizer import Tokenizer


class Pieces:
    """A decoder whose ids are places in a list of bytes."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id):
        return self.decoder.decode(self.pieces[token_id])

    def finish(self):
        return self.decoder.decode(b"", final=True)


def read(pieces, stop_strings):
    """What each piece and the end yield, and the stream."""
    pieces = [p.encode() if isinstance(p, str) else p for p in pieces]
    stream = TextStream(Pieces(pieces), stop_strings)
    shown = [stream.push(i) for i in range(len(pieces))] + [stream.finish()]
    assert "".join(shown) == stream.text
    return shown, stream


def test_without_stop_strings_text_passes_at_once():
    shown, stream = read(["one", " two", ""], [])
    assert shown == ["one", " two", "", ""] and stream.stopped is None


def test_a_stop_string_across_tokens_is_never_shown():
    shown, stream = read(["Paris.", "\n", "\nUs", "er: and", " more"], ["\n\nUser:"])
    assert shown == ["Paris.", "", "", "", "", ""] and stream.stopped == "\n\nUser:"


def test_text_that_does_not_become_a_stop_string_is_shown_late_and_whole():
    shown, stream = read(["a\n", "\nUs", "ually"], ["\n\nUser:"])
    assert shown == ["a", "", "\n\nUsually", ""] and stream.stopped is None
    shown, _ = read(["a\n", "\nUs"], ["\n\nUser:"])
    assert shown == ["a", "", "\n\nUs"]


def test_a_stop_string_inside_a_token_cuts_the_token():
    shown, stream = read(["x, STOP, y"], ["STOP"])
    assert shown == ["x, ", ""] and stream.stopped == "STOP"


def test_the_stop_string_that_is_complete_first_counts():
    assert read(["1 ab 2 cd"], ["cd", "ab"])[1].text == "1 "
    assert read(["xab", "cde"], ["xabcd", "b"])[1].text == "xa"  # its last character comes first
    assert read(["xabc"], ["bc", "abc"])[1].text == "x"  # the longer of two with the same end


def test_a_beginning_that_repeats_itself_is_not_missed():
    assert read(["a", "a", "a", "b", "c"], ["aab"])[1].text == "a"
    assert read(["ab", "ab", "ac", "!"], ["abac"])[1].text == "ab"


def test_characters_cut_into_bytes_wait_for_their_end():
    euro = "€".encode()
    shown, _ = read([euro[:1], euro[1:2], euro[2:] + b"1"], [])
    assert shown == ["", "", "€1", ""]
    shown, stream = read([b"5 " + euro[:1], euro[1:], b"!"], ["€"])
    assert shown == ["5 ", "", "", ""] and stream.stopped == "€"
    assert read([b"5", euro[:2]], ["\n"])[0] == ["5", "", "\ufffd"]
    assert read([b"5", euro[:2]], ["5\ufffd"])[1].text == ""


@settings(deadline=None, max_examples=300)
@given(
    st.text("abé€", max_size=30),
    st.lists(st.text("abé€", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 60), max_size=20),
)
def test_tokens_do_not_matter(text, stop_strings, borders):
    ends = [text.find(s) + len(s) for s in stop_strings if s in text]
    expected = text
    if ends:
        until = text[: min(ends)]
        expected = until[: -max(len(s) for s in stop_strings if until.endswith(s))]
    data = text.encode()
    cuts = sorted({0, len(data), *(b for b in borders if b < len(data))})
    pieces = [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    shown, stream = read(pieces, stop_strings)
    assert stream.text == expected and (stream.stopped is not None) == bool(ends)
    # and no more waits than a stop string may need
    for i in range(len(pieces)):
        arrived = b"".join(pieces[: i + 1]).decode(errors="ignore")
        waiting = arrived[len("".join(shown[: i + 1])) :]
        if stream.stopped is None:
            assert waiting == "" or any(s.startswith(waiting) for s in stop_strings)


@pytest.mark.parametrize("bad", [[""], ["a", ""], "ab"])
def test_stop_strings_that_are_none_are_refused(bad):
    with pytest.raises(UserError, match="expected a list of strings"):
        TextStream(Pieces([]), bad)


def test_rows_of_generate_end_at_their_stop_strings():
    tokenizer = Tokenizer([], special_tokens=["<|endoftext|>"])  # ids are bytes
    texts = [b"one two three", b"two", b"one<", b"thirteen"]

    def model(ids):  # continues row b, whose prompt is the id b, with texts[b]
        at = ids.shape[1] - 1
        expected = [texts[b][at] if at < len(texts[b]) else 256 for b in ids[:, 0]]
        return np.where(np.arange(257) == np.array(expected)[:, None], 0.0, -np.inf)

    streams = [TextStream(tokenizer.stream(), ["e t", "ir"]) for _ in texts]
    options = {"block_size": 20, "stop_ids": [256], "stop": stop_at(streams)}
    steps = list(generate(model, [[0], [1], [2], [3]], 9, **options))
    for stream in streams:
        stream.finish()
    assert [s.text for s in streams] == ["on", "two", "one<", "th"]
    assert [s.stopped for s in streams] == ["e t", None, None, "ir"]
    assert [new.tolist().count(FINISHED) for new in steps] == [0, 0, 0, 0, 2]
