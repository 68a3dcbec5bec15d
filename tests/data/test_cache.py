"""The cache heals: an entry that is damaged, edited or of another corpus is built again."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from caches import new_cache
from hypothesis import HealthCheck, given, settings, strategies as st

from tinygrad_llm import cli
from tinygrad_llm.data import Document, cache, cached_tokenizer, encode_corpus, open_prepared
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.checksums import write_sums
from tinygrad_llm.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "scripts"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

TOKENIZER = Tokenizer([(97, 98)])
TRAIN, VAL = [Document("a", "abba " * 20)], [Document("c", "bye")]
OTHER = [Document("b", "quite another text")]


def edit(folder, changes):
    """Change meta.json as a person would."""
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | changes, indent=2) + "\n")


def builds_again(cache_dir, why):
    with pytest.warns(UserWarning, match=f"damaged cache entry was built again: .*{why}"):
        prepared = encode_corpus(TRAIN, VAL, TOKENIZER, cache_dir)
    assert not prepared.cached and encode_corpus(TRAIN, VAL, TOKENIZER, cache_dir).cached
    assert TOKENIZER.decode(prepared.train) == TRAIN[0].text + "<|endoftext|>"
    assert prepared.val_bytes == 3
    assert [path.name for path in prepared.folder.parent.iterdir()] == [prepared.folder.name]


def test_edited_bytes_of_validation(tmp_path):
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    edit(folder, {"val_bytes": 4})
    builds_again(tmp_path, "meta.json is not the file that was written")
    edit(folder, {"val_bytes": 4})
    write_sums(folder)  # and the checksums with them
    builds_again(tmp_path, "two numbers for the bytes of validation")


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"format": "1"}, 'format is "1", expected "2"'),
        ({"tokens": {"train": "7", "val": 4}}, 'tokens.train is "7", expected a whole number'),
        ({"tokens": {"train": 7, "val": 4}}, "has 81 ids, expected 7"),
        ({"files": {}}, "names no file for train"),
        ({"files": {"../train.npy": {"bytes": 1, "sha256": "0" * 64}}}, "names a file '../train"),
        ({"dtype": "float32"}, 'dtype is "float32"'),
        ({"val_bytes": None}, "val_bytes is null"),
    ],
)
def test_what_does_not_fit_is_named_though_the_checksums_do(tmp_path, changes, why):
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    edit(folder, changes)
    write_sums(folder)
    with pytest.raises(UserError, match=why):
        open_prepared(folder)
    builds_again(tmp_path, why)


@pytest.mark.parametrize("name", ["SHA256SUMS", "key"])
def test_the_checksums_themselves(tmp_path, name):
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    for content in (b"", b"x" * 70, b"\xff\0\n", b"0" * 10**6):
        (folder / name).write_bytes(content)
        builds_again(tmp_path, name)
    (folder / name).unlink()
    builds_again(tmp_path, name)


def test_an_entry_of_another_corpus(tmp_path):
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    other = encode_corpus(OTHER, VAL, TOKENIZER, tmp_path / "elsewhere").folder
    shutil.rmtree(folder)
    shutil.copytree(other, folder)  # whole, but not what its name says
    assert open_prepared(folder).meta == open_prepared(other).meta
    builds_again(tmp_path, "is a copy of the entry")
    tokenizers = [cached_tokenizer(docs, 260, cache_dir=tmp_path) for docs in (TRAIN, OTHER)]
    one, two = sorted((tmp_path / "tokenizers").iterdir())
    shutil.copy(one / "tokenizer.json", two / "tokenizer.json")
    with pytest.warns(UserWarning, match="built again: .*tokenizer.json"):
        again = [cached_tokenizer(docs, 260, cache_dir=tmp_path) for docs in (TRAIN, OTHER)]
    assert [t.fingerprint() for t in again] == [t.fingerprint() for t in tokenizers]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["meta.json", "train.npy", "SHA256SUMS", "key"])
def test_a_pipe_or_a_device_in_place_of_a_file(tmp_path, name):
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    (folder / name).unlink()
    os.mkfifo(folder / name)
    builds_again(tmp_path, name)
    (folder / name).unlink()
    os.symlink("/dev/zero", folder / name)
    builds_again(tmp_path, name)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["meta.json", "train.npy", "val.npy", "key", "SHA256SUMS"]),
    at=st.integers(0, 10**6),
    bit=st.integers(0, 7),
)
def test_every_flipped_bit_is_noticed(tmp_path, name, at, bit):
    prepared = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path)
    path = prepared.folder / name
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path)
    # Of the checksums only two are used: meta.json holds those of the tokens.
    assert name == "SHA256SUMS" or "built again" in str(caught[0].message)
    assert again.meta == prepared.meta and again.train.tolist() == prepared.train.tolist()


def test_leftovers_of_a_killed_process_go_and_those_of_a_living_one_stay(tmp_path):
    command = [sys.executable, SCRIPTS / "begin_a_cache_entry.py", tmp_path]
    subprocess.run([*command, "kill"], check=False, env=ENVIRONMENT)
    assert len(list((tmp_path / "tokens").iterdir())) == 1
    (tmp_path / "tokens" / ".partial-0123456789abcdef-99-01234567").mkdir()  # of version 0.1
    old = tmp_path / "tokens" / ".partial-fedcba9876543210-99-01234567"
    old.mkdir()
    os.utime(old, (time.time() - 2 * cache.DAY,) * 2)
    with subprocess.Popen(
        [*command, "wait"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as living:  # fmt: skip
        living.stdout.readline()
        assert len(list((tmp_path / "tokens").iterdir())) == 4
        folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
        left = {path.name for path in folder.parent.iterdir()} - {folder.name}
        assert len(left) == 2 and any(f"-{living.pid}-" in name for name in left)
        assert ".partial-0123456789abcdef-99-01234567" in left  # may be another machine's
        living.communicate("\n")
    assert encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).cached
    assert not any(f"-{living.pid}-" in path.name for path in folder.parent.iterdir())


def test_two_processes_heal_one_entry(tmp_path):
    """All meet the same damaged entry at the same time; all end with a sound one."""
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path).folder
    (folder / "train.npy").write_bytes(b"")
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPTS / "encode_one_corpus.py", tmp_path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in processes] == ["81"] * 4
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [folder.name]


def test_the_command_says_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {i} of {i * 7 % 13}\n" for i in range(200)))
    command = ["data", "prepare", str(text), "--vocab-size", "280"]
    assert cli.main(command) == 0
    assert "note" not in capsys.readouterr().out
    for name in ("tokens/*/train.npy", "tokenizers/*/tokenizer.json"):
        (path,) = (tmp_path / "cache").glob(name)
        path.write_bytes(b"")
        assert cli.main(command) == 0
        out, err = capsys.readouterr()
        notes = [line for line in out.splitlines() if line.startswith("note: ")]
        assert len(notes) == 1 and "built again" in notes[0] and path.name in notes[0] and not err
