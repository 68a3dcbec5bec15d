"""Decontamination: documents that contain evaluation data are left out of training.

A document is contaminated if it shares a run of 13 words with an evaluation's text, lower case and
without punctuation (Brown et al. 2020, arXiv:2005.14165, appendix C). A text of fewer words names
nothing and is not looked for.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tinygrad_llm.data.formats.kinds import ROWS, suffix_of
from tinygrad_llm.data.near_duplicates import WORDS_REMEMBERED, shingle_hashes
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

WORDS = 13


class Contamination:
    """The runs of words of an evaluation's files.

    path: a file, or a folder whose files are read, except hidden ones. Of .json, .jsonl and .ndjson
    files every string counts by itself, of others the whole text. Raises UserError for a binary
    file (compressed, Parquet).
    """

    def __init__(self, path: str) -> None:
        self._word_hashes: dict[str, int] = {}
        root = user_path(path)
        files = list(_files_in(root)) if root.is_dir() else [root]
        self._names = [file.name for file in files]
        hashes = [self._hashes_of(file) for file in files]
        sizes = [len(h) for h in hashes]
        if not sum(sizes):
            raise UserError(
                f"the evaluation data {path} has no text of {WORDS} words, so there is nothing to "
                "look for; name its files, or leave out --decontaminate"
            )
        order = np.argsort(np.concatenate(hashes), kind="stable")
        self._hashes = np.concatenate(hashes)[order]  # sorted
        self._file = np.repeat(np.arange(len(files)), sizes)[order]

    def _hashes_of(self, file: Path) -> np.ndarray:
        found = [self._ngrams(text) for text in _texts(file)]
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))

    def _ngrams(self, text: str) -> np.ndarray:
        if len(self._word_hashes) > WORDS_REMEMBERED:
            self._word_hashes.clear()
        hashes = shingle_hashes(text, self._word_hashes, WORDS)
        # One shingle alone may be that of a text with fewer words.
        return hashes if len(hashes) != 1 or len(re.findall(r"\w+", text)) == WORDS else hashes[:0]

    def judge(self, text: str) -> str | None:
        """A reason to drop the text: the evaluation file with which it shares a run of words."""
        ngrams = self._ngrams(text)
        at = np.minimum(np.searchsorted(self._hashes, ngrams), len(self._hashes) - 1)
        hits = at[self._hashes[at] == ngrams]
        if len(hits) == 0:
            return None
        return f"shares {WORDS} words in a row with {self._names[int(self._file[hits].min())]}"


def _files_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path


def _texts(file: Path) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read the evaluation data {file} ({error.strerror})") from None
    if "\0" in text:
        raise UserError(
            f"the evaluation data {file} is binary (it has NUL bytes); convert it to JSON lines or "
            "text, since nothing would be found in it as it is"
        )
    kind = ROWS.get(suffix_of(file.name))
    if kind not in ("json", "jsonl"):
        yield text
        return
    try:
        for row in text.split("\n") if kind == "jsonl" else [text]:
            if row.strip():
                yield from _strings(json.loads(row))
    except (ValueError, RecursionError):
        raise UserError(f"the evaluation data {file} is not valid JSON") from None


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
