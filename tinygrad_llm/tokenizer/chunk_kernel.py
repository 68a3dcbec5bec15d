r"""Splitting by GPT-4's or GPT-2's pattern, compiled: the chunks that ``patterns.py`` describes.

Both patterns read a text from left to right and never look back, so the next chunk depends on the
text from here on alone. ``gpt4_end`` and ``gpt2_end`` return where it ends, alternative by
alternative, in the order of the pattern. What a character is comes from a table of classes, one
byte for each code point, so the compiled code has no Unicode version of its own.

``add_chunks`` looks up every chunk in a hash table and counts it. Most chunks were seen before:
splitting a text costs little more than reading it.

The table: the distinct chunks lie end to end in ``arena``, chunk i from ``starts[i]`` to
``starts[i + 1]``. ``slots`` is an open-addressing table of chunk numbers, -1 where it is empty; its
size is a power of two, and at most half of it is used.
"""

import numpy as np

from autograd.kernels._jit import inner_part, jit

OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)
"""Classes of characters. NEWLINE is \\r and \\n, SPACE all other white space."""
GPT4, GPT2 = range(2)

_APOSTROPHE, _BLANK = ord("'"), ord(" ")
_FIRST, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
_HALF = np.uint64(32)


@inner_part
def _class_at(text, at, stop, classes):
    """(class, length in bytes) of the character at ``at``; (-1, 0) at the end."""
    if at >= stop:
        return -1, 0
    first = np.int64(text[at])
    if first < 0x80:
        return np.int64(classes[first]), 1
    if first < 0xE0:
        return np.int64(classes[(first & 0x1F) << 6 | np.int64(text[at + 1]) & 0x3F]), 2
    second = np.int64(text[at + 1]) & 0x3F
    third = np.int64(text[at + 2]) & 0x3F
    if first < 0xF0:
        return np.int64(classes[(first & 0x0F) << 12 | second << 6 | third]), 3
    fourth = np.int64(text[at + 3]) & 0x3F
    return np.int64(classes[(first & 0x07) << 18 | second << 12 | third << 6 | fourth]), 4


@inner_part
def _run_end(text, at, stop, classes, wanted):
    """Where the run of characters of one class ends."""
    while True:
        kind, size = _class_at(text, at, stop, classes)
        if kind != wanted:
            return at
        at += size


@inner_part
def _contraction_end(text, at, stop, any_case):
    """Where 's, 't, 'll and the like end, or ``at``; with ``any_case`` also 'S and 'Ll."""
    if text[at] != _APOSTROPHE or at + 1 >= stop:
        return at
    fold = np.uint8(0x20) if any_case else np.uint8(0)
    one = text[at + 1] | fold
    if one == ord("s") or one == ord("d") or one == ord("m") or one == ord("t"):
        return at + 2
    if at + 2 >= stop:
        return at
    two = text[at + 2] | fold
    if one == ord("l") and two == ord("l"):
        return at + 3
    if (one == ord("v") or one == ord("r")) and two == ord("e"):
        return at + 3
    if any_case and text[at + 1] == 0xC5 and text[at + 2] == 0xBF:  # the long s, whose capital is S
        return at + 3
    return at


@inner_part
def _space_end(text, at, stop, classes):
    r"""White space: (its end, where its last character begins, the end of its last newline)."""
    last, newline = at, at
    while True:
        kind, size = _class_at(text, at, stop, classes)
        if kind != SPACE and kind != NEWLINE:
            return at, last, newline
        last = at
        at += size
        if kind == NEWLINE:
            newline = at


@inner_part
def gpt4_end(text, at, stop, classes):
    """Where the chunk that begins at ``at`` ends, by GPT-4's pattern."""
    end = _contraction_end(text, at, stop, True)
    if end > at:
        return end
    kind, size = _class_at(text, at, stop, classes)
    following = at + size
    if kind == LETTER:  # [^\r\n\p{L}\p{N}]?\p{L}+
        return _run_end(text, following, stop, classes, LETTER)
    if kind == NUMBER:  # \p{N}{1,3}
        for _ in range(2):
            kind, size = _class_at(text, following, stop, classes)
            if kind != NUMBER:
                break
            following += size
        return following
    next_kind, _ = _class_at(text, following, stop, classes)
    if kind != NEWLINE and next_kind == LETTER:
        return _run_end(text, following, stop, classes, LETTER)
    if kind == OTHER or (text[at] == _BLANK and next_kind == OTHER):  # ?[^\s\p{L}\p{N}]+[\r\n]*
        end = _run_end(text, following, stop, classes, OTHER)
        return _run_end(text, end, stop, classes, NEWLINE)
    end, last, newline = _space_end(text, at, stop, classes)
    if end == stop:  # \s+(?![\s\S])
        return end
    if newline > at:  # \s*[\r\n]
        return newline
    return last if last > at else end  # \s+(?!\S), \s


@inner_part
def gpt2_end(text, at, stop, classes):
    """Where the chunk that begins at ``at`` ends, by GPT-2's pattern."""
    end = _contraction_end(text, at, stop, False)
    if end > at:
        return end
    kind, size = _class_at(text, at, stop, classes)
    following = at + size
    if text[at] == _BLANK:  # ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
        next_kind, _ = _class_at(text, following, stop, classes)
        if next_kind == LETTER or next_kind == NUMBER or next_kind == OTHER:
            return _run_end(text, following, stop, classes, next_kind)
    if kind == LETTER or kind == NUMBER or kind == OTHER:
        return _run_end(text, following, stop, classes, kind)
    end, last, _ = _space_end(text, at, stop, classes)
    if end == stop or last == at:  # \s+(?!\S) at the end, \s+
        return end
    return last


@inner_part
def _same(text, at, arena, start, length):
    for i in range(length):
        if text[at + i] != arena[start + i]:
            return False
    return True


@jit
def add_chunks(pattern, text, at, stop, classes, slots, starts, hashes, counts, arena, used, out):
    """Add the chunks of ``text[at:stop]`` until the table is full or ``out`` is.

    used: the number of distinct chunks. out: receives the number of each chunk, in order; if it is
    empty, nothing is written. Returns (position reached, used, chunks written to out).
    """
    mask = len(slots) - 1
    written = 0
    while at < stop:
        if pattern == GPT4:
            end = gpt4_end(text, at, stop, classes)
        else:
            end = gpt2_end(text, at, stop, classes)
        length = end - at
        value = _FIRST
        for i in range(at, end):
            value = (value ^ np.uint64(text[i])) * _PRIME
        value ^= value >> _HALF
        slot = np.int64(value) & mask
        while True:
            chunk = np.int64(slots[slot])
            if chunk < 0:
                break
            if (
                hashes[chunk] == value
                and starts[chunk + 1] - starts[chunk] == length
                and _same(text, at, arena, starts[chunk], length)
            ):
                break
            slot = (slot + 1) & mask
        if chunk < 0:
            start = starts[used]
            if 2 * (used + 1) > len(slots) or start + length > len(arena):
                return at, used, written
            chunk = used
            arena[start : start + length] = text[at:end]
            starts[chunk + 1] = start + length
            hashes[chunk] = value
            counts[chunk] = 0
            slots[slot] = chunk
            used += 1
        counts[chunk] += 1
        if len(out) > 0:
            out[written] = chunk
            written += 1
        at = end
    return at, used, written


@jit
def fill_slots(slots, hashes, used):
    """Enter the chunks into an empty table of slots."""
    mask = len(slots) - 1
    for chunk in range(used):
        slot = np.int64(hashes[chunk]) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = chunk


@jit
def gather(chunks, first, ids, out):
    """Write the ids of each chunk to ``out``: chunk c has ids[first[c] : first[c + 1]]."""
    written = 0
    for chunk in chunks:
        for i in range(first[chunk], first[chunk + 1]):
            out[written] = ids[i]
            written += 1
    return written
