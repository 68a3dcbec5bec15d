"""Split, encode, cache: the files against a plain computation, and every way an entry can break."""

import hashlib
import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
from encoded_corpora import (
    MANY,
    TRAIN,
    VAL,
    ByteTokenizer,
    Killed,
    KilledAt,
    ids,
    several_batches,
)
from hypothesis import given, strategies as st

from tinygrad_llm.data import (
    Document,
    cache as cache_module,
    cached_tokenizer,
    clean_corpus,
    encode_corpus,
    load_corpus,
    open_prepared,
    shards,
    split,
    token_writer,
    train_texts,
)
from tinygrad_llm.data.corpus import CleanReport, Corpus
from tinygrad_llm.data.prepare import prepare
from tinygrad_llm.data.splitting import cut_by_position, is_validation
from tinygrad_llm.errors import UserError


def make_corpus(texts):
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    return Corpus("test", documents, CleanReport())


def test_split_is_by_name_and_whole():
    corpus = make_corpus([f"text {i}" for i in range(400)])
    train, validation = split(corpus)
    for document in corpus.documents:
        number = int.from_bytes(hashlib.sha256(document.name.encode()).digest(), "big")
        assert (document in validation) == (number % 20 == 0)
        assert (document in train) == (number % 20 != 0)
    assert len(train) + len(validation) == 400 and len(validation) > 5
    assert f"validation: {len(validation)} of 400 documents" in str(corpus.report)
    assert train_texts(corpus) == [document.text for document in train]
    few, many = split(corpus, 2)
    assert len(many) > 150 and len(few) > 150
    with pytest.raises(UserError, match="validation_modulus is 1, expected at least 2"):
        split(corpus, 1)


def test_the_order_of_documents_does_not_matter():
    corpus = make_corpus([f"text {i}" for i in range(100)])
    turned = Corpus("test", corpus.documents[::-1], CleanReport())
    for one, other in zip(split(corpus), split(turned), strict=True):
        assert {d.name for d in one} == {d.name for d in other}


@pytest.mark.parametrize("count", [1, 3])
def test_one_side_empty_is_cut_by_position(count):
    corpus = make_corpus([f"{i} is a line\n" * 100 for i in range(count)])
    assert not any(is_validation(document.name) for document in corpus.documents)
    train, validation = split(corpus)
    for document, first, last in zip(corpus.documents, train, validation, strict=True):
        assert first.text + last.text == document.text
        assert first.text.endswith("\n") and len(last.text) == 10 * len("0 is a line\n")
        assert first.name == f"{document.name} (first part)"
    assert "last 10 %" in str(corpus.report)


@given(st.text(alphabet="ab\n", max_size=60))
def test_cut_loses_nothing(text):
    head, tail = cut_by_position(text)
    assert head + tail == text
    assert len(head) <= 0.9 * len(text)
    if "\n" in text[: int(0.9 * len(text))]:
        assert head.endswith("\n")


def test_too_short_to_split():
    with pytest.raises(UserError, match="too short to be split"):
        split(make_corpus(["x"]))


def test_encoded_files(tmp_path):
    about = {"source": "test", "report": {"kept": 3}}
    prepared = encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path, about=about)
    assert prepared.train.tolist() == ids(*TRAIN)
    assert prepared.validation.tolist() == ids(*VAL)
    assert prepared.train.dtype == np.uint16 and isinstance(prepared.train, np.memmap)
    assert not prepared.train.flags.writeable
    assert not prepared.cached and prepared.val_bytes == 3
    assert sorted(p.name for p in prepared.folder.iterdir()) == [
        "SHA256SUMS",
        "key",
        "meta.json",
        "train.npy",
        "val.npy",
    ]
    meta = json.loads((prepared.folder / "meta.json").read_text())
    assert meta == prepared.meta
    assert meta["source"] == "test" and meta["report"] == {"kept": 3}
    assert meta["documents"] == {"train": 2, "val": 1}
    assert meta["bytes"] == {"train": 11, "val": 3}
    assert meta["tokens"] == {"train": 13, "val": 4}
    assert meta["vocab_size"] == 257 and meta["eot_id"] == 256 and meta["dtype"] == "uint16"
    assert meta["tokenizer"] == ByteTokenizer().fingerprint()


@pytest.mark.parametrize(
    "vocab_size, dtype", [(65_535, np.uint16), (65_536, np.uint16), (65_537, np.uint32)]
)
def test_dtype(tmp_path, vocab_size, dtype):
    prepared = encode_corpus(TRAIN, VAL, ByteTokenizer(vocab_size), tmp_path)
    assert prepared.train.dtype == dtype and prepared.train.tolist() == ids(*TRAIN)


def test_progress_ends_at_the_total(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_BATCH", 6)  # several batches even of these few letters
    seen = []
    prepared = encode_corpus(
        TRAIN,
        VAL,
        ByteTokenizer(),
        tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 13), (5, 13), (10, 13), (13, 13)]
    assert prepared.train.tolist() == ids(*TRAIN)


def test_found_again_and_told_apart(tmp_path):
    tokenizer = ByteTokenizer()
    first = encode_corpus(TRAIN, VAL, tokenizer, tmp_path)
    assert tokenizer.encoded == 3
    again = encode_corpus(TRAIN, VAL, tokenizer, tmp_path)
    assert again.cached and again.folder == first.folder and tokenizer.encoded == 3
    assert again.meta == first.meta
    others = [
        encode_corpus([TRAIN[0], Document("b", "world")], VAL, tokenizer, tmp_path),
        encode_corpus([TRAIN[0], Document("z", TRAIN[1].text)], VAL, tokenizer, tmp_path),
        encode_corpus(TRAIN[:1], [TRAIN[1], *VAL], tokenizer, tmp_path),
        encode_corpus(TRAIN, VAL, ByteTokenizer(name="other"), tmp_path),
        encode_corpus(TRAIN, VAL, tokenizer, tmp_path, about={"source": "other"}),
    ]
    assert not any(other.cached for other in others)
    assert len({first.folder, *(other.folder for other in others)}) == 6


def test_hash_parts_has_no_seams():
    assert cache_module.hash_parts(["ab", "c"]) != cache_module.hash_parts(["a", "bc"])
    assert cache_module.hash_parts(["a", ""]) != cache_module.hash_parts(["a"])


def remove(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def nonsense(path):
    path.write_bytes(b"\xff\xfe[]")


def other_json(path):
    path.write_text("[1, 2]")


@pytest.mark.parametrize("name", ["train.npy", "val.npy", "meta.json"])
@pytest.mark.parametrize("damage", [remove, truncate, empty, flip, nonsense, other_json])
def test_a_damaged_entry_is_noticed_and_built_again(tmp_path, name, damage):
    tokenizer = ByteTokenizer()
    folder = encode_corpus(TRAIN, VAL, tokenizer, tmp_path).folder
    damage(folder / name)
    with pytest.raises(UserError, match=name):
        open_prepared(folder)
    with pytest.warns(UserWarning, match=f"damaged cache entry .* built again: .*{name}") as warned:
        again = encode_corpus(TRAIN, VAL, tokenizer, tmp_path)
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert again.folder == folder and tokenizer.encoded == 6
    assert open_prepared(folder).train.tolist() == ids(*TRAIN)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_file_in_the_place_of_the_entry(tmp_path):
    folder = encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path).folder
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.warns(UserWarning, match="built again"):
        again = encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path)
    assert again.train.tolist() == ids(*TRAIN)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_interrupted_leaves_nothing(tmp_path):
    class Interrupted(ByteTokenizer):
        def encode_batch(self, texts):
            if "bye" in texts:  # the training side is written by now
                raise KeyboardInterrupt
            return super().encode_batch(texts)

    with pytest.raises(KeyboardInterrupt):
        encode_corpus(TRAIN, VAL, Interrupted(), tmp_path)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_writers_at_the_same_time(tmp_path):
    """All wait until every one is encoding, so all of them publish the same entry."""
    barrier = threading.Barrier(4, timeout=30)

    class Together(ByteTokenizer):
        def encode_batch(self, texts):
            barrier.wait()
            return super().encode_batch(texts)

    results, errors = [], []

    def work():
        try:
            results.append(encode_corpus(TRAIN, VAL, Together(), tmp_path))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len({result.folder for result in results}) == 1
    assert results[0].train.tolist() == ids(*TRAIN)
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [results[0].folder.name]


def test_full_disk(tmp_path, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_writer, "NOTED", 1)
    monkeypatch.setattr(token_writer.os, "fsync", no_space)
    with pytest.raises(UserError, match="No space left on device.; free some space"):
        encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path)
    assert list((tmp_path / "tokens").iterdir()) == []


def unfinished(tmp_path):
    (folder,) = (tmp_path / "tokens").iterdir()
    assert folder.name.startswith(".unfinished-")
    return folder


@pytest.mark.parametrize("noted", [1, 30])
@pytest.mark.parametrize("at", [MANY[3], MANY[8], VAL[0]], ids=["early", "late", "other side"])
def test_a_killed_process_is_gone_on_with(tmp_path, monkeypatch, at, noted):
    several_batches(monkeypatch, noted)
    whole = encode_corpus(MANY, VAL, ByteTokenizer(), tmp_path / "whole")
    with pytest.raises(Killed):
        encode_corpus(MANY, VAL, KilledAt(at.text), tmp_path)
    assert unfinished(tmp_path)
    second, seen = KilledAt(), []
    resumed = encode_corpus(
        MANY, VAL, second, tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert len(second.seen) < 10 and at.text in second.seen
    assert noted > 1 or second.seen[0] == at.text
    for name in ("train.npy", "val.npy", "meta.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [resumed.folder.name]
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


def lose_the_end(folder):
    path = folder / "train.npy.partial"
    path.write_bytes(path.read_bytes()[:-1])


def flip_an_id(folder):
    path = folder / "train.npy.partial"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def empty_the_journal(folder):
    (folder / "train.npy.journal").write_text("")


def lie_in_the_journal(folder):
    path = folder / "train.npy.journal"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokens": 2**60}))


def lose_the_file(folder):
    (folder / "train.npy.partial").unlink()


@pytest.mark.parametrize(
    "damage", [lose_the_end, flip_an_id, empty_the_journal, lie_in_the_journal, lose_the_file]
)
def test_damaged_unfinished_files_are_not_used(tmp_path, monkeypatch, damage):
    several_batches(monkeypatch)
    with pytest.raises(Killed):
        encode_corpus(MANY, VAL, KilledAt(MANY[5].text), tmp_path)
    damage(unfinished(tmp_path))
    second = KilledAt()
    assert encode_corpus(MANY, VAL, second, tmp_path).train.tolist() == ids(*MANY)
    assert len(second.seen) == 10


def test_unfinished_files_stay_for_a_week(tmp_path, monkeypatch):
    several_batches(monkeypatch)
    with pytest.raises(Killed):
        encode_corpus(MANY, VAL, KilledAt(MANY[5].text), tmp_path)
    folder = unfinished(tmp_path)
    for days, stays in ((6, True), (8, False)):
        then = time.time() - days * 24 * 3600
        os.utime(folder, (then, then))
        encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path)
        assert folder.exists() == stays


def test_the_header_is_numpys(tmp_path):
    for tokenizer in (ByteTokenizer(), ByteTokenizer(70_000)):
        prepared = encode_corpus(MANY, VAL, tokenizer, tmp_path)
        np.save(tmp_path / "saved.npy", np.array(ids(*MANY), prepared.train.dtype))
        written = (prepared.folder / "train.npy").read_bytes()
        assert written == (tmp_path / "saved.npy").read_bytes()


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot create the cache folder .*TINYGRAD_LLM_CACHE"):
        encode_corpus(TRAIN, VAL, ByteTokenizer(), tmp_path / "file")


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="the validation side of the corpus has no text"):
        encode_corpus(TRAIN, [Document("c", "")], ByteTokenizer(), tmp_path)
    with pytest.raises(UserError, match="the training side"):
        encode_corpus([], VAL, ByteTokenizer(), tmp_path)
    with pytest.raises(UserError, match="gave id 111 for a, expected ids below its vocab_size"):
        encode_corpus(TRAIN, VAL, ByteTokenizer(vocab_size=100), tmp_path)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_prepare_a_folder(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(60):
        (texts / f"{i}.txt").write_text(f"This is text number {i}.\r\n\r\n\r\n\r\nIt ends.\r\n")
    (texts / "copy.txt").write_bytes((texts / "0.txt").read_bytes())
    tokenizer = ByteTokenizer()
    prepared = prepare(texts, tokenizer, cache_dir=tmp_path / "cache")
    names = sorted(path.name for path in texts.iterdir() if path.name != "copy.txt")
    expected: dict[bool, list[int]] = {True: [], False: []}
    for name in names:
        side = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 20 == 0
        number = name.removesuffix(".txt")
        expected[side] += [*f"This is text number {number}.\n\nIt ends.\n".encode(), 256]
    assert prepared.train.tolist() == expected[False] and expected[True]
    assert prepared.validation.tolist() == expected[True]
    report = prepared.meta["report"]
    assert report["dropped"]["exact duplicate of an earlier document"]["examples"] == ["copy.txt"]
    assert report["found"]["documents"] == 61 and prepared.meta["source"] == str(texts)
    assert prepare(texts, tokenizer, cache_dir=tmp_path / "cache").cached


def test_the_real_tokenizer(tmp_path, monkeypatch):
    """Trained on the training side alone, found again in the cache, and built again if damaged."""
    import tinygrad_llm.tokenizer as tokenizers

    path = tmp_path / "text.txt"
    path.write_text("".join(f"def f{i}(x): return x + {i}  # <|endoftext|>\n" for i in range(300)))
    corpus = clean_corpus(load_corpus(path))
    train, validation = split(corpus)
    tokenizer = cached_tokenizer(train, 300, cache_dir=tmp_path)
    assert tokenizer.vocab_size == 300
    assert (
        tokenizer.fingerprint() == tokenizers.train_bpe([d.text for d in train], 300).fingerprint()
    )
    prepared = encode_corpus(train, validation, tokenizer, tmp_path)
    row = prepared.train.tolist()
    assert row.count(tokenizer.eot_id) == 1 and row[-1] == tokenizer.eot_id  # the literal is text
    assert tokenizer.decode_bytes(row[:-1]) == train[0].text.encode()

    trained = []
    real = tokenizers.train_bpe

    def counting(*args, **kwargs):
        trained.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(tokenizers, "train_bpe", counting)
    again = cached_tokenizer(train, 300, cache_dir=tmp_path)
    assert again.fingerprint() == tokenizer.fingerprint() and not trained
    assert cached_tokenizer(train, 290, cache_dir=tmp_path).vocab_size == 290
    assert len(trained) == 1
    for folder in (tmp_path / "tokenizers").iterdir():
        truncate(folder / "tokenizer.json")
    with pytest.warns(UserWarning, match="built again: .*tokenizer.json"):
        again = cached_tokenizer(train, 300, cache_dir=tmp_path)
    assert again.fingerprint() == tokenizer.fingerprint() and len(trained) == 2
