"""Random damage, as by bad disks, editors and attackers: to bytes, and to values in JSON."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

STRANGE = [
    None, True, False, 0, -1, 1, 2**31, 2**64, 10**30, 0.5, -0.0, "", "a", "\0", "\ud7ff", "é" * 50,
    [], [[]], {}, {"type": "ByteLevel"}, "(a+)+$", "[", "x" * 5000, [1, 2, 3], "a" * 10**5,
]  # fmt: skip
STRANGE_BYTES = [b"9" * 5000, b"\xff", b"\0", b"[" * 99, b"-", b'"']


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One small change: a flipped bit, or bytes that are lost, doubled, moved or inserted."""
    at, length = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 8, 64, 1000])
    piece = data[at : at + length]
    kind = rng.randrange(7)
    if kind == 0 and piece:
        return data[:at] + bytes([piece[0] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[:at] + piece + data[at:]
    if kind == 4:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if kind == 5:
        return data[:at] + rng.choice(STRANGE_BYTES) + data[at:]
    other = rng.randrange(len(data) + 1)
    return data[:other] + piece + data[other:]


def mutate_json(content: Any, rng: random.Random) -> Any:
    """A copy with one change: another value, a lost or renamed key, or two values swapped."""
    content = json.loads(json.dumps(content))
    places = list(_places(content))
    parent, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[str(rng.choice(["", "x", key + " ", key.upper()]))] = parent.pop(key)
    elif kind == 2:
        other, name = rng.choice(places)
        parent[key], other[name] = other[name], parent[key]
        if _is_in(parent, parent[key]) or _is_in(other, other[name]):
            parent[key] = other[name] = 0  # one inside the other: no longer JSON
    elif kind == 3 and isinstance(parent[key], int) and not isinstance(parent[key], bool):
        parent[key] += rng.choice([-1, 1, 100, 10**6])
    else:
        parent[key] = rng.choice(STRANGE)
    return content


def _is_in(needle: Any, content: Any) -> bool:
    return content is needle or any(_is_in(needle, p[k]) for p, k in _direct(content))


def _direct(content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, dict):
        yield from ((content, key) for key in content)
    elif isinstance(content, list):
        yield from ((content, i) for i in range(len(content)))


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (object or list, key) inside; only the first few of long ones (a vocabulary)."""
    for parent, key in list(_direct(content))[:12]:
        yield parent, key
        yield from _places(parent[key])


def mutants(
    data: bytes, count: int, seed: int, mutate: Callable[..., bytes] = mutate_bytes
) -> Iterator[bytes]:
    """``count`` mutants of a file, the same in every run; some are changed again."""
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        mutant = mutate(data, rng)
        while rng.random() < 0.3 and mutant:
            mutant = mutate(mutant, rng)
        yield mutant


def json_mutants(content: Any, count: int, seed: int) -> Iterator[bytes]:
    """``count`` mutants of a JSON file that are JSON."""
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        mutant = mutate_json(content, rng)
        yield json.dumps(mutant, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
