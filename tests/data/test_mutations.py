"""Damaged token files, meta.json and texts: a sentence, or what was there before, within bounds."""

import json
import random
import warnings

import numpy as np
import pytest
from mutations import json_mutants, mutants

from tinygrad_llm.data import (
    Document,
    Loader,
    clean_corpus,
    decode_bytes,
    encode_corpus,
    load_corpus,
    open_prepared,
    open_tokens,
    split,
)
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.checksums import write_sums
from tinygrad_llm.tokenizer import Tokenizer

TOKENIZER = Tokenizer([(97, 98)])
TRAIN, VAL = [Document("a", "abba " * 40)], [Document("c", "bye")]
BOOK = "CHAPTER I\n\nIt was a dark night, na\u00efve and \u201cstormy\u201d.\n\n\n\n" * 9
TEXT = (
    "\ufeffThe Project Gutenberg EBook of A Book\r\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK ***\n"
    f"{BOOK}*** END OF THE PROJECT GUTENBERG EBOOK ***\n\nwww.gutenberg.org/license\n"
)
COUNTS = [pytest.param(150, 1), *(pytest.param(5000, s, marks=pytest.mark.soak) for s in range(9))]


def assert_sentence(error):
    assert "\n" not in str(error) and len(str(error)) < 1000


@pytest.mark.parametrize("count, seed", COUNTS)
def test_token_files(tmp_path, count, seed):
    """What opens is a row of whole numbers inside the file, and ids are looked at before use."""
    np.save(tmp_path / "t.npy", np.arange(300, dtype=np.uint16) % 200)
    path = tmp_path / "m.npy"
    opened = 0
    for mutant in mutants((tmp_path / "t.npy").read_bytes(), count, seed):
        path.write_bytes(mutant)
        try:
            tokens = open_tokens(path)
        except UserError as error:
            assert_sentence(error)
            continue
        assert tokens.ndim == 1 and tokens.dtype.kind in "iu" and tokens.nbytes <= len(mutant)
        opened += 1
        try:
            x, y = Loader(path, 2, 8, seed=1, vocab_size=200).next_batch()
        except UserError:
            continue
        assert x.min() >= 0 and max(x.max(), y.max()) < 200
    assert opened > count // 20


@pytest.mark.parametrize("count, seed", COUNTS)
def test_meta_json(tmp_path, count, seed):
    """The checksum would reveal a mutation; here it is adjusted, as a careful editor might do."""
    folder = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path, about={"source": "x"}).folder
    sound = open_prepared(folder)
    data = (folder / "meta.json").read_bytes()
    damaged = [*mutants(data, count // 2, seed), *json_mutants(json.loads(data), count // 2, seed)]
    for mutant in damaged:
        (folder / "meta.json").write_bytes(mutant)
        write_sums(folder)
        try:
            found = open_prepared(folder)
        except UserError as error:
            assert_sentence(error)
            continue
        assert found.train.tolist() == sound.train.tolist()
        assert isinstance(found.val_bytes, int) and found.meta["tokens"] == sound.meta["tokens"]


@pytest.mark.parametrize("count, seed", COUNTS)
def test_a_cache_that_anything_may_have_happened_to(tmp_path, count, seed):
    sound = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path)
    rng = random.Random(seed)
    for _ in range(count // 3):
        path = rng.choice(sorted(sound.folder.iterdir()))
        path.write_bytes(next(mutants(path.read_bytes(), 1, rng.randrange(10**9))))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = encode_corpus(TRAIN, VAL, TOKENIZER, tmp_path)
        assert all("built again" in str(warning.message) for warning in caught)
        assert found.meta == sound.meta and found.train.tolist() == sound.train.tolist()
        assert [entry.name for entry in sound.folder.parent.iterdir()] == [sound.folder.name]


@pytest.mark.parametrize("count, seed", COUNTS)
def test_texts(tmp_path, count, seed):
    """Any file gives documents whose account adds up, and no text that was there is lost."""
    for encoding in ("utf-8", "utf-16", "cp1252"):
        data = TEXT.removeprefix("\ufeff" * (encoding != "utf-8")).encode(encoding)
        for mutant in mutants(data, count // 3, seed):
            (tmp_path / "t.txt").write_bytes(mutant)
            try:
                corpus = load_corpus(tmp_path / "t.txt")
                cleaned = clean_corpus(corpus)
            except UserError as error:
                assert_sentence(error)
                continue
            report = cleaned.report
            changes = sum(tally.bytes for tally in report.changed.values())
            assert report.found_bytes + changes == report.kept_bytes == cleaned.bytes
            assert "\0" not in cleaned.documents[0].text and cleaned.bytes <= 3 * len(mutant)
            train, validation = split(cleaned)
            assert train[0].text + validation[0].text == cleaned.documents[0].text


@pytest.mark.parametrize("count, seed", COUNTS)
def test_a_few_bad_bytes_never_spoil_a_whole_text(count, seed):
    data = ("na\u00efve caf\u00e9 \u2014 " * 40).encode()
    rng = random.Random(seed)
    for _ in range(count):
        bad = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(1, 256)
        found = decode_bytes(bytes(bad))
        assert found.encoding == "utf-8" and found.text.count("caf\u00e9") >= 34
