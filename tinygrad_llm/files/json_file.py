"""The one reader of JSON: bounded before it is read, and checked against a schema.

A file may come from a stranger, from another version or from a bad disk. json.loads alone accepts
what no program should continue with: a key twice (the last one wins), NaN and 1e999, numbers of any
length, brackets nested until the interpreter gives up. Here each of them is a UserError: one
sentence with the file, the key, what was found and what was expected.

    content = read_json(path, {"last": Text(r"step-\\d+"), "steps": Whole(0), "note?": str})

A schema looks like what it describes:

    int  float  str  bool  dict  list    a value of that type (float accepts whole numbers too)
    object                               anything
    Whole(0, 10)  Number(0)  Text("a+")  a value within limits, or text that matches entirely
    "gpt2"  1  True  None                this value alone
    (int, None)                          one of these
    [float]                              a list of such values
    {"name": str, "size?": int}          an object with these keys; the one with "?" may be missing
    {"name": str, ...: object}           ... and any others, of the kind given for ``...``
"""

import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.regular import open_regular

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_REASON = 400  # characters of the sentence that says why a file is refused
MAX_DIGITS = 100  # of one number; the state of a random generator has 39

# What lies between brackets; a string is passed over whole, with the brackets in it.
_NOT_BRACKETS = re.compile(rb'(?s)(?:[^][{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)++')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int = -(2**63)
    high: int = 2**63 - 1


@dataclass(frozen=True)
class Number:
    """A number, whole or not, from ``low`` to ``high``."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Text:
    """A string that ``pattern`` matches entirely; ``like`` is an example for the sentence."""

    pattern: str
    like: str = ""


def read_json(
    path: str | os.PathLike,
    schema: Any,
    *,
    max_bytes: int = MAX_BYTES,
    file_names: bool = False,
    advice: str = "",
) -> Any:
    """The content of a JSON file that fits ``schema``.

    No more than ``max_bytes`` is ever read. ``advice`` ends the sentence if the file exists but is
    wrong: what to do about it. ``file_names`` is explained in ``parse_json``. Raises UserError for
    anything other than a regular file of such JSON.
    """
    data = read_bounded(Path(path), max_bytes)
    return parse_json(data, str(path), schema, file_names=file_names, advice=advice)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file of at most ``max_bytes``; raises UserError for any other."""
    try:
        with open_regular(path) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    if len(data) > max_bytes:
        raise UserError(
            f"{path} has more than {max_bytes:,} bytes, too many for such a file: it is something "
            "else"
        )
    return data


def parse_json(
    data: bytes, name: str, schema: Any, *, file_names: bool = False, advice: str = ""
) -> Any:
    """The JSON in ``data``, if it fits ``schema``; ``name`` is its name in error messages.

    Strings with half a surrogate pair are refused, since they cannot be written or printed again.
    ``file_names`` allows them: Python represents a file name that is not UTF-8 in this way. Raises
    UserError.
    """
    end = f"; {advice}" if advice else ""
    try:
        if data.startswith(b"\xef\xbb\xbf"):
            raise _Refused("it starts with a byte order mark")
        _check_depth(data)
        content = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_number,
            parse_constant=_constant,
        )
        if not file_names and _SURROGATE.search(data):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
        raise UserError(f"{name} is not whole JSON ({reason}): it is damaged{end}") from None
    except UnicodeEncodeError:
        raise UserError(f"{name} is refused: a string in it has half a character{end}") from None
    except _Refused as error:
        raise UserError(f"{name} is refused: {error}{end}") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if b"\n" in data else ""
        reason = f"{error.msg} at {line}column {error.colno}"
        raise UserError(
            f"{name} is not whole JSON ({reason}): it is damaged or was cut short{end}"
        ) from None
    check_json(content, name, schema, advice=advice)
    return content


def check_json(content: Any, name: str, schema: Any, *, advice: str = "") -> None:
    """Raise UserError unless ``content`` (parsed JSON) fits ``schema``."""
    problem = _problem(content, schema)
    if problem is not None:
        where, sentence = problem
        where = where.removeprefix(".")
        end = f"; {advice}" if advice else ""
        raise UserError(f"{name}: {where} {sentence}{end}" if where else f"{name} {sentence}{end}")


# --- reading -------------------------------------------------------------------------------------


class _Refused(Exception):
    """JSON that is whole, but that none of our files would contain."""


def _check_depth(data: bytes) -> None:
    depth = 0
    for bracket in _NOT_BRACKETS.sub(b"", data):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _Refused(f"it is nested more than {MAX_DEPTH} deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"the key {short(twice)} appears twice in one object")
    return content


def _whole(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _number(digits: str) -> float:
    _check_digits(digits)
    value = float(digits)
    if not math.isfinite(value):
        raise _Refused(f"the number {digits} is too large")
    return value


def _check_digits(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise _Refused(
            f"a number in it has {len(digits):,} characters, at most {MAX_DIGITS} allowed"
        )


def _constant(word: str) -> None:
    raise _Refused(f"it contains {word}, which is not a JSON number")


# --- checking ------------------------------------------------------------------------------------

_TYPES = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false",
    dict: "a JSON object", list: "a list", object: "anything",
}  # fmt: skip
Problem = tuple[str, str]  # where, as .key[3], and what is wrong there


def _problem(value: Any, kind: Any) -> Problem | None:
    if isinstance(kind, tuple):
        problems = [_problem(value, one) for one in kind]
        if None in problems:
            return None
        inner = [p for p in problems if p and p[0]]  # a list or object of the right type
        return inner[0] if inner else _unlike(value, kind)
    if isinstance(kind, dict) and isinstance(value, dict):
        return _object_problem(value, kind)
    if isinstance(kind, list) and isinstance(value, list):
        for i, element in enumerate(value):
            if (problem := _problem(element, kind[0])) is not None:
                return f"[{i}]{problem[0]}", problem[1]
        return None
    return None if _fits(value, kind) else _unlike(value, kind)


def _object_problem(value: dict[str, Any], kinds: dict[Any, Any]) -> Problem | None:
    known = {key.removesuffix("?"): kind for key, kind in kinds.items() if key is not ...}
    for key in kinds:
        if key is not ... and not key.endswith("?") and key not in value:
            return _step(key), f"is missing, expected {describe(kinds[key])}"
    for key, element in value.items():
        if key not in known and ... not in kinds:
            return _step(key), f"is unknown; known are {', '.join(known)}"
        problem = _problem(element, known[key] if key in known else kinds[...])
        if problem is not None:
            return _step(key) + problem[0], problem[1]
    return None


def _fits(value: Any, kind: Any) -> bool:
    if kind is object:
        return True
    if isinstance(kind, Whole):
        return type(value) is int and kind.low <= value <= kind.high
    if isinstance(kind, Number):
        return type(value) in (int, float) and kind.low <= value <= kind.high
    if isinstance(kind, Text):
        return type(value) is str and re.fullmatch(kind.pattern, value) is not None
    if kind is float:
        return type(value) in (int, float)
    if isinstance(kind, type):
        return type(value) is kind
    return type(value) is type(kind) and value == kind


def _unlike(value: Any, kind: Any) -> Problem:
    return "", f"is {short(value)}, expected {describe(kind)}"


def describe(kind: Any) -> str:
    """A kind of a schema in words."""
    if isinstance(kind, tuple):
        return " or ".join(describe(one) for one in kind)
    if isinstance(kind, dict):
        return "a JSON object"
    if isinstance(kind, list):
        return "a list"
    if isinstance(kind, Whole | Number):
        name = "a whole number" if isinstance(kind, Whole) else "a number"
        if kind.high in (math.inf, Whole.high):
            return name if kind.low in (-math.inf, Whole.low) else f"{name} of at least {kind.low}"
        return f"{name} from {kind.low} to {kind.high}"
    if isinstance(kind, Text):
        return f"text like {kind.like}" if kind.like else f"text that matches {kind.pattern}"
    if isinstance(kind, type):
        return _TYPES[kind]
    return json.dumps(kind)


def short(value: Any) -> str:
    """A value as JSON in ASCII, cut short to fit a sentence; objects and lists by their type.

    A Parquet file may hold what JSON has no word for, such as bytes and dates: Python's is taken.
    """
    if isinstance(value, dict | list):
        return _TYPES[type(value)]
    text = json.dumps(value) if isinstance(value, str | int | float | None) else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def short_reason(error: Exception) -> str:
    """Why a file is refused, on one line, without its middle if it is long.

    The sentence may quote the file, which can contain anything: control codes become escapes.
    """
    reason = re.sub(r"\s+", " ", str(error))
    reason = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in reason)
    half = MAX_REASON // 2
    return reason if len(reason) <= MAX_REASON else f"{reason[:half]} ... {reason[-half:]}"


def _step(key: str) -> str:
    return f".{key}" if re.fullmatch(r"\w{1,60}", key, re.ASCII) else f"[{short(key)}]"
