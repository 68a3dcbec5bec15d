"""Which writing systems a text is in: the share of its letters in each script of Unicode.

A character's script is read off a table of ranges: the blocks of the scripts that are in everyday
use (Unicode, Blocks.txt), and among the Latin ones the letters alone. Digits, punctuation and emoji
that all scripts share are not counted; a letter of a script without a row is "other".
"""

import string
from functools import cache

import numpy as np

_RANGES = {
    "Latin": "0041-005A 0061-007A 00AA 00BA 00C0-00D6 00D8-00F6 00F8-02B8 02E0-02E4 1D00-1D25 "
    "1D2C-1D5C 1E00-1EFF 2C60-2C7F A722-A787 A78B-A7FF AB30-AB64 FB00-FB06 FF21-FF3A FF41-FF5A",
    "Greek": "0370-03FF 1F00-1FFF",
    "Cyrillic": "0400-052F 1C80-1C8F 2DE0-2DFF A640-A69F",
    "Armenian": "0531-058A",
    "Hebrew": "0590-05FF FB1D-FB4F",
    "Arabic": "0600-06FF 0750-077F 0870-08FF FB50-FDFF FE70-FEFE",
    "Devanagari": "0900-0963 0966-097F A8E0-A8FF",
    "Bengali": "0980-09FF",
    "Gurmukhi": "0A00-0A7F",
    "Gujarati": "0A80-0AFF",
    "Oriya": "0B00-0B7F",
    "Tamil": "0B80-0BFF",
    "Telugu": "0C00-0C7F",
    "Kannada": "0C80-0CFF",
    "Malayalam": "0D00-0D7F",
    "Sinhala": "0D80-0DFF",
    "Thai": "0E00-0E7F",
    "Lao": "0E80-0EFF",
    "Tibetan": "0F00-0FFF",
    "Burmese": "1000-109F A9E0-A9FF AA60-AA7F",
    "Georgian": "10A0-10FF 1C90-1CBF 2D00-2D2F",
    "Ethiopic": "1200-139F 2D80-2DDF",
    "Khmer": "1780-17FF 19E0-19FF",
    "Mongolian": "1800-18AF",
    "Hiragana": "3041-309F",
    "Katakana": "30A1-30FF 31F0-31FF FF66-FF9F",
    "Hangul": "1100-11FF 3130-318F A960-A97F AC00-D7FF",
    "Han": "2E80-2FDF 3005-3007 3021-3029 3400-4DBF 4E00-9FFF F900-FAFF 20000-3FFFF",
}
OTHER = "other"
NAMES = (*_RANGES, OTHER)
_NONE = len(NAMES)
_BEYOND_LETTERS = 0x40000  # no letter has a code point as high as this
_ASCII_LETTERS = string.ascii_letters.encode()
_SHOWN = 6
_CHUNK = 1 << 16  # bytes of UTF-32 looked up at once: they stay in the processor's cache


def count_scripts(text: str) -> dict[str, int]:
    """How many letters of a text are in each script; scripts without any are left out."""
    if text.isascii():
        letters = len(text) - len(text.encode().translate(None, _ASCII_LETTERS))
        return {"Latin": letters} if letters else {}
    data = text.encode("utf-32-le", "surrogatepass")
    counts = np.zeros(len(NAMES) + 1, dtype=np.int64)
    for start in range(0, len(data), _CHUNK):
        characters = np.frombuffer(data[start : start + _CHUNK], dtype="<u4")
        counts += np.bincount(_table()[characters], minlength=len(counts))
    return {name: int(n) for name, n in zip(NAMES, counts, strict=False) if n}


def shares(counts: dict[str, int]) -> str:
    """Shares for a person: "Cyrillic 93.1 %, Latin 6.9 %", the largest first."""
    total = sum(counts.values())
    largest_first = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{name} {percent(n, total)}" for name, n in largest_first[:_SHOWN]]
    return ", ".join(shown + ["..."] * (len(largest_first) > _SHOWN))


def percent(part: int, whole: int) -> str:
    """A share in per cent; one that is small, but not zero, is not rounded to zero."""
    share = 100 * part / max(1, whole)
    return f"{share:.1f} %" if part == 0 or share >= 0.05 else "under 0.1 %"


@cache
def _table() -> np.ndarray:
    """For each code point the index of its script in NAMES; uint8 (0x110000,)."""
    table = np.full(0x110000, _NONE, dtype=np.uint8)
    letters = [i for i in range(_BEYOND_LETTERS) if chr(i).isalpha()]
    table[letters] = NAMES.index(OTHER)
    for index, ranges in enumerate(_RANGES.values()):
        for one in ranges.split():
            first, _, last = one.partition("-")
            table[int(first, 16) : int(last or first, 16) + 1] = index
    return table
