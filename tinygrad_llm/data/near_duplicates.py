"""Near duplicates: MinHash signatures and LSH banding, without comparing every pair.

Two documents are alike when the sets of their five-word shingles overlap: the Jaccard similarity
J = |A & B| / |A | B|. For one random ordering of all shingles, the smallest of A and the smallest
of B are the same shingle with probability exactly J (Broder 1997). So a signature of n minima,
under n hash functions, agrees in about J * n places. Cut it into bands of r rows: two documents
share at least one whole band with probability 1 - (1 - J^r)^(n/r), near 0 for small J and near 1
above the threshold. Only documents that share a band are compared, and those exactly.

The book compares all pairs of TF-IDF vectors, which is O(n^2) documents; this is linear in them.
Many documents with the same frame (a licence, a menu) would share the bands of the frame and all be
compared after all, so a band remembers at most BUCKET documents: text that only two of them share
is in their other bands.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable

import numpy as np

from tinygrad_llm.data.hash_table import MEMORY, HashTable, disk_full

SHINGLE_WORDS = 5
HASHES = 128
CAUGHT = 0.99  # the probability with which a pair exactly at the threshold must share a band
BUCKET = 64  # documents remembered for one value of a band
WORDS_REMEMBERED = 1 << 20
_CHUNK = 4096  # shingles hashed at once: a (4096, 128) table of uint64 is 4 MiB


class NearDuplicates:
    """The texts so far, of which a later one may be a near duplicate.

    A near duplicate is not remembered: later texts are compared only with the others, so a chain of
    small edits does not pull in everything. Deterministic in (texts, threshold, seed). On disk
    rather than in memory once it is much: eight bytes for each word of the remembered texts, and 32
    to 64 for each of their bands, of which there are 14 at the usual threshold.
    """

    def __init__(self, threshold: float = 0.8, seed: int = 0) -> None:
        self._threshold = threshold
        self._rows = band_rows(threshold)
        self._hash_functions = _hash_functions(seed)
        self._word_hashes: dict[str, int] = {}
        self._bands = HashTable()  # hash of a band -> the place of an original that has it
        self._originals = _Originals()
        self._count = 0

    def twin(self, text: str) -> int | None:
        """The index of the earlier text that this one nearly repeats, or None; it is remembered."""
        if len(self._word_hashes) > WORDS_REMEMBERED:
            self._word_hashes.clear()
        index = self._count
        self._count += 1
        shingles = np.unique(shingle_hashes(text, self._word_hashes))
        if len(shingles) == 0:  # no words at all: nothing to compare
            return None
        signature = minhash(shingles, *self._hash_functions)
        buckets = {band: self._bands.find(band) for band in self._hashes_of_bands(signature)}
        places = {
            int.from_bytes(place, "little") - 1 for bucket in buckets.values() for place in bucket
        }
        for place in sorted(places):
            if self._originals.are_alike(place, shingles, self._threshold):
                return self._originals.index(place)
        place = self._originals.add(index, shingles)
        for band, bucket in buckets.items():
            if len(bucket) < BUCKET:
                self._bands.add(band, (place + 1).to_bytes(8, "little"))  # a record is not 0
        return None

    def _hashes_of_bands(self, signature: np.ndarray) -> list[bytes]:
        """Of each band. If two bands have the same by chance, more texts are compared, no more."""
        return [
            hashlib.blake2b(
                signature[start : start + self._rows].tobytes(),
                digest_size=8,
                salt=start.to_bytes(16, "little"),
            ).digest()
            for start in range(0, HASHES - self._rows + 1, self._rows)
        ]


class _Originals:
    """The distinct shingles of texts, sorted, in a file; each text is known by its place there.

    A record is the text's index and the number of its shingles, eight bytes each, then these.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115 - closed with this object

    def add(self, index: int, shingles: np.ndarray) -> int:
        """Remember a text; returns its place. Raises UserError if the disk is full."""
        try:
            self._file.seek(0, os.SEEK_END)
            place = self._file.tell()
            self._file.write(np.array([index, len(shingles)], np.int64).tobytes())
            self._file.write(shingles.tobytes())
            self._file.flush()
        except OSError as error:
            raise disk_full(error) from None
        return place

    def index(self, place: int) -> int:
        """The index of the text at a place."""
        return int(self._read(place, np.int64, 1)[0])

    def are_alike(self, place: int, shingles: np.ndarray, threshold: float) -> bool:
        """Whether J reaches the threshold; sets whose sizes rule it out are not compared."""
        length = int(self._read(place + 8, np.int64, 1)[0])
        small, large = sorted((length, len(shingles)))
        if small < threshold * large:
            return False
        return jaccard(self._read(place + 16, np.uint64, length), shingles) >= threshold

    def _read(self, place: int, dtype: type, length: int) -> np.ndarray:
        self._file.seek(place)
        return np.frombuffer(self._file.read(8 * length), dtype)


def find_near_duplicates(
    texts: Iterable[str], threshold: float = 0.8, seed: int = 0
) -> list[int | None]:
    """For each text, the index of the earlier text that it nearly repeats, or None."""
    near = NearDuplicates(threshold, seed)
    return [near.twin(text) for text in texts]


def band_rows(threshold: float) -> int:
    """The longest band that still catches a pair at the threshold with probability CAUGHT."""
    lengths = [r for r in range(1, HASHES + 1) if 1 - (1 - threshold**r) ** (HASHES // r) >= CAUGHT]
    return max(lengths, default=1)


def shingle_hashes(
    text: str, word_hashes: dict[str, int] | None = None, words_each: int = SHINGLE_WORDS
) -> np.ndarray:
    """uint64 hashes (S,) of every run of ``words_each`` words, lower case, punctuation ignored.

    A text of fewer words is a single shingle. ``word_hashes`` remembers the hash of each distinct
    word between calls; it is BLAKE2, because Python's own hash of a str differs between processes.
    """
    if word_hashes is None:
        word_hashes = {}
    words = re.findall(r"\w+", text.lower())
    for word in set(words).difference(word_hashes):
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        word_hashes[word] = int.from_bytes(digest, "little")
    hashes = np.array([word_hashes[word] for word in words], dtype=np.uint64)  # (W,)
    length = min(words_each, len(hashes))
    if length == 0:
        return hashes
    # A polynomial in an odd number tells word orders apart; arithmetic is modulo 2^64.
    base = np.uint64(0x9E3779B97F4A7C15)
    out = np.zeros(len(hashes) - length + 1, dtype=np.uint64)  # (S,)
    for offset in range(length):
        out = out * base + hashes[offset : offset + len(out)]
    return _mix(out)


def minhash(shingles: np.ndarray, multiply: np.ndarray, add: np.ndarray) -> np.ndarray:
    """Signature (HASHES,) uint32: for each hash function its minimum over the shingles (S,)."""
    smallest = np.full(HASHES, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(shingles), _CHUNK):
        chunk = shingles[start : start + _CHUNK, None]  # (chunk, 1)
        # Multiply-shift (Dietzfelbinger 1996): the high half of a * x + b modulo 2^64.
        table = ((chunk * multiply + add) >> np.uint64(32)).astype(np.uint32)  # (chunk, HASHES)
        np.minimum(smallest, table.min(axis=0), out=smallest)
    return smallest


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Exact similarity of two arrays of distinct shingles."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def _hash_functions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    multiply, add = rng.integers(0, 2**64, size=(2, HASHES), dtype=np.uint64)
    return multiply | np.uint64(1), add


def _mix(x: np.ndarray) -> np.ndarray:
    """Spread every input bit over the word (the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
