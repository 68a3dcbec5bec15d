"""The reader of JSON: what it accepts, and one sentence for everything it refuses."""

import json
import os
import random

import pytest

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import (
    MAX_DEPTH,
    MAX_DIGITS,
    Number,
    Text,
    Whole,
    parse_json,
    read_json,
)

SCHEMA = {
    "format": 1,
    "step": Whole(0),
    "name": Text(r"step-\d{6,}", "step-000500"),
    "loss": (Number(0), None),
    "options": {"lr": float, "data?": str, "on": bool},
    "shapes": [[Whole(0, 9)]],
    "counts": {...: int},
    "more?": {"kind": "gpt2", ...: object},
}
GOOD = {
    "format": 1, "step": 3, "name": "step-000003", "loss": 2.5,
    "options": {"lr": 1, "on": True}, "shapes": [[1, 2], []], "counts": {"a": 1, "b c": -2},
    "more": {"kind": "gpt2", "x": [None, {"y": 2**127}]},
}  # fmt: skip


def parse(content, schema=SCHEMA, **how):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_json(data, "a.json", schema, **how)


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def test_what_fits_comes_back_unchanged():
    assert parse(GOOD) == GOOD
    assert parse({**without("more"), "loss": None}) == {**without("more"), "loss": None}
    assert parse(b'{"a": "\\ud83d\\ude00"}', {"a": str}) == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"format": 2}, "a.json: format is 2, expected 1"),
        ({"format": True}, "a.json: format is true, expected 1"),
        ({"format": 1.0}, "a.json: format is 1.0, expected 1"),
        ({"step": -1}, "a.json: step is -1, expected a whole number of at least 0"),
        ({"step": True}, "a.json: step is true, expected a whole number of at least 0"),
        ({"step": 2**63}, f"a.json: step is {2**63}, expected a whole number of at least 0"),
        ({"name": "../.."}, 'a.json: name is "../..", expected text like step-000500'),
        ({"name": "step-000001\n"}, 'a.json: name is "step-000001\\n", expected text like'),
        ({"loss": "2"}, 'a.json: loss is "2", expected a number of at least 0 or null'),
        ({"options": []}, "a.json: options is a list, expected a JSON object"),
        ({"options": {"on": True}}, "a.json: options.lr is missing, expected a number"),
        ({"options": {"lr": 1, "on": 1}}, "a.json: options.on is 1, expected true or false"),
        ({"options": {"lr": 1, "on": True, "z": 1}}, "options.z is unknown; known are lr, data,"),
        ({"shapes": [[1], [2, 10]]}, "a.json: shapes[1][1] is 10, expected a whole number from 0"),
        ({"shapes": [5]}, "a.json: shapes[0] is 5, expected a list"),
        ({"counts": {"a b": "x"}}, 'a.json: counts["a b"] is "x", expected a whole number'),
        ({"more": {"kind": "llama"}}, 'a.json: more.kind is "llama", expected "gpt2"'),
        ({"\x1b[2J": 1}, 'a.json: ["\\u001b[2J"] is unknown'),
        ({"name": "x" * 500}, '"' + "x" * 56 + "..., expected"),
    ],
)
def test_what_does_not_fit_is_named(change, sentence):
    with pytest.raises(UserError) as error:
        parse({**GOOD, **change})
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_missing_keys_and_the_advice():
    with pytest.raises(UserError, match=r"^a.json: step is missing, expected .* 0; try again$"):
        parse(without("step"), advice="try again")
    with pytest.raises(UserError, match="^a.json is a list, expected a JSON object$"):
        parse([])


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "not whole JSON"),
        (b'{"a": 1', "not whole JSON (Expecting ',' delimiter at column 8): it is damaged"),
        (b'{"a": 1} x', "not whole JSON (Extra data"),
        (b'{"a": "\xff"}', "not whole JSON (byte 7 is not UTF-8)"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": 1, "b": 2, "a": 3}', 'the key "a" appears twice in one object'),
        (b'{"a": NaN}', "it contains NaN"),
        (b'{"a": -Infinity}', "it contains -Infinity"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number in it has 5,000 characters"),
        (b'{"a": 0.' + b"9" * 5000 + b"}", "a number in it has 5,002 characters"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"\\uDC00": 1}', "half a character"),
        (b"[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        (b'{"a":' * 100_000, f"nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_no_file_should_hold(data, sentence):
    with pytest.raises(UserError) as error:
        parse(data, object)
    assert str(error.value).startswith("a.json ") and sentence in str(error.value)


def test_limits_are_not_too_narrow():
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, object)
    assert parse(b'["' + b"[" * 100 + b'", "\\"[[[' + b"[" * 100 + b'"]', object)  # in a string
    assert parse(b"9" * MAX_DIGITS, int) == int("9" * MAX_DIGITS)
    assert parse(b'{"a": "caf\\udce9"}', {"a": str}, file_names=True) == {"a": "caf\udce9"}


def test_the_depth_is_found_in_linear_time():
    with pytest.raises(UserError, match="not whole JSON"):
        parse(b'"' + b'\\"' * 500_000, object)  # each quote could begin a string


def test_files(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}')
    assert read_json(path, {"a": int}) == {"a": 1} == read_json(str(path), {"a": int}, max_bytes=8)
    with pytest.raises(UserError, match=r"a.json has more than 7 bytes"):
        read_json(path, object, max_bytes=7)
    with pytest.raises(UserError, match=r"cannot read .*b.json \(there is no such file\)"):
        read_json(tmp_path / "b.json", object)
    with pytest.raises(UserError, match=r"^\S+ is a folder, expected a file$"):
        read_json(tmp_path, object)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        for odd in (tmp_path / "fifo", "/dev/zero"):
            with pytest.raises(UserError, match="is a device or pipe, expected a file"):
                read_json(odd, object)


def test_damaged_bytes_end_in_content_or_one_sentence():
    rng, good, refused = random.Random(0), json.dumps(GOOD).encode(), 0
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            new = rng.choice([b"", b"[", b'"', b"{", b"9" * 50, b"\xff", b"null", b",", b"\\u"])
            data[at : at + rng.randint(0, 5)] = new
        try:
            parse(bytes(data))
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(error).startswith("a.json")
    assert refused > 2900
