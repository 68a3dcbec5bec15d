"""The guide's tokenizer and data pipeline equal the package's: merges, ids, texts, batches."""

import os
import random
import string
from pathlib import Path

import numpy as np
import pytest
from guide_code import module
from hypothesis import given, settings, strategies as st

from tinygrad_llm.data.clean import clean_documents
from tinygrad_llm.data.corpus import Document
from tinygrad_llm.data.loader import DataLoader
from tinygrad_llm.data_options import CleanOptions
from tinygrad_llm.tokenizer import get_tokenizer, train_bpe
from tinygrad_llm.tokenizer.patterns import GPT2_PATTERN, find_chunks
from tinygrad_llm.tokenizer.special import END_OF_TEXT

bpe, data, stories = map(module, ("tokenizer", "data", "stories"))
ODD = ["", " ", "\n", "a\n \n b", "it's 'we'll' I'VE", "x  12,345.6  ", "naïve Straße ñandú",
       "日本語 テスト", "Привет, мир_", "a\u0301e\u0308", "🙂👍🏽", "\t\ttab\r\nline",
       "__init__(x)", "١٢٣"]  # fmt: skip
# Python's re has no \p{L} and \p{N}. \w without \d and _ is \p{L} except for numbers that are no
# digits (categories No and Nl, such as ², ½ and Ⅷ): they count as letters here. And white space
# includes four control characters.
CONTROLS = [chr(i) for i in range(0x1C, 0x20)]
TEXTS = st.text(
    st.one_of(
        st.sampled_from(string.ascii_letters + string.digits + " '\n\t_.,-"),
        st.characters(exclude_categories=("Cs", "Cn", "No", "Nl"), exclude_characters=CONTROLS),
    ),
    max_size=40,
)  # fmt: skip


def package_tokenizer(texts, size):
    return train_bpe(texts, size, "gpt2", (END_OF_TEXT,))


@pytest.fixture(scope="module")
def both():
    texts = [*stories.stories(300), *ODD]
    return bpe.train(texts, 420), package_tokenizer(texts, 420)


def test_the_merges_are_the_packages(both):
    ours, theirs = both
    assert len(ours.merges) == 420 - 257
    assert [(ours.bytes[a], ours.bytes[b]) for a, b in ours.merges] == theirs.merges()


@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(257, 280))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:every word is a single token")
def test_any_texts_teach_the_same_merges(texts, size):
    ours, theirs = bpe.train(texts, size), package_tokenizer(texts, size)
    assert len(ours.bytes) == theirs.vocab_size
    for text in texts:
        assert ours.encode(text) == list(theirs.encode(text))


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_any_text_has_the_packages_ids_and_comes_back(both, text):
    ours, theirs = both
    ids = ours.encode(text)
    assert ids == list(theirs.encode(text)) and ours.decode(ids) == text
    assert ours.end == theirs.special_tokens[END_OF_TEXT] == len(ours.bytes) - 1


@given(TEXTS)
@settings(deadline=None)
def test_any_text_is_cut_as_gpt2_cuts_it(text):
    assert bpe.PIECE.findall(text) == list(find_chunks(GPT2_PATTERN, text))


def test_where_python_cuts_otherwise():
    """Deliberately simpler: numbers that are no digits count as letters."""
    for text in ("x²", "½ cup", "Ⅷ"):
        ours, theirs = bpe.PIECE.findall(text), list(find_chunks(GPT2_PATTERN, text))
        assert "".join(ours) == "".join(theirs) == text
    assert bpe.PIECE.findall("x²") == ["x²"]
    assert list(find_chunks(GPT2_PATTERN, "x²")) == ["x", "²"]


def test_ids_that_are_no_text_become_the_mark_of_what_cannot_be_read(both):
    ours, theirs = both
    for ids in ([255], [195], [65, 0xC3, 66]):
        assert ours.decode(ids) == theirs.decode(ids) and "\ufffd" in ours.decode(ids)


@pytest.mark.skipif(
    "TINYGRAD_LLM_TEST_DATA" not in os.environ, reason="TINYGRAD_LLM_TEST_DATA is not set"
)
def test_gpt2s_merges_give_gpt2s_ids(monkeypatch):
    """The guide's tokenizer with GPT-2's 50,000 merges, tiktoken's, and the package's."""
    folder = Path(os.environ["TINYGRAD_LLM_TEST_DATA"]) / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    tiktoken, package = bpe.gpt2(), get_tokenizer("gpt2")
    id_of = {bytes([i]): i for i in range(256)}
    merges = []
    for left, right in package.merges():
        merges.append((id_of[left], id_of[right]))
        id_of[left + right] = 255 + len(merges)
    ours = bpe.Tokenizer(merges)
    assert ours.end == tiktoken.eot_token == 50256
    byte_ids = [tiktoken.encode_single_token(bytes([i])) for i in range(256)]  # in another order
    for text in [*stories.stories(20), *ODD]:
        ids = [byte_ids[i] if i < 256 else i for i in ours.encode(text)]
        assert ids == tiktoken.encode(text) == list(package.encode(text))


# --- cleaning and batches -------------------------------------------------------------------------

# The guide has no rule for Gutenberg's headers, and drops texts of other scripts, as one may here.
CLEAN = CleanOptions(strip_gutenberg=False, min_ascii_share=0.9)


def cleaned_by_the_package(texts):
    kept, report = clean_documents([Document(str(i), t) for i, t in enumerate(texts)], CLEAN)
    return [document.text for document in kept], report


@given(st.lists(st.one_of(TEXTS, st.sampled_from([*ODD, "a\0b", "same", "same\r\n", "same\n"]))))
@settings(deadline=None)
def test_any_texts_are_cleaned_as_by_the_package(texts):
    kept, dropped = data.clean(texts)
    expected, report = cleaned_by_the_package(texts)
    assert kept == expected
    assert len(texts) - len(kept) == sum(dropped.values())


def test_what_is_dropped_is_counted_by_its_reason():
    texts = ["a text", "a\0b", " \n ", "Привет", "a text", "a\r\n\r\n\r\nb", "a\n\nb"]
    kept, dropped = data.clean(texts)
    assert kept == ["a text", "a\n\nb"] == cleaned_by_the_package(texts)[0]
    assert dropped == {"binary": 1, "empty": 1, "foreign": 1, "seen": 2}


@pytest.mark.parametrize("B, T, seed", [(1, 1, 0), (4, 16, 1), (3, 99, 2)])
def test_the_batches_are_the_loaders(B, T, seed):
    ids = np.random.default_rng(5).integers(0, 400, 100).astype(np.uint16)
    loader = DataLoader(ids, B, T, seed)
    ours = data.batches(ids, B, T, np.random.default_rng(seed))
    for _ in range(20):
        (x, y), (x_, y_) = next(ours), loader.next_batch()
        assert x.dtype == x_.dtype and np.array_equal(x, x_) and np.array_equal(y, y_)


def test_windows_begin_where_they_may():
    ids, places = np.arange(100), np.array([0, 7, 40, 95])
    x, y = next(data.batches(ids, 200, 10, np.random.default_rng(0), places))
    assert set(x[:, 0]) == {0, 7, 40} and np.array_equal(x + 1, y)


def test_texts_become_one_row_in_which_each_ends(both):
    ours, theirs = both
    texts = stories.stories(5)
    row = data.convert(texts, ours)
    expected = [i for t in texts for i in [*theirs.encode(t), theirs.special_tokens[END_OF_TEXT]]]
    assert row.dtype == np.uint16 and row.tolist() == expected


def test_whole_texts_are_held_out():
    training, held_out = data.split(list(range(50)))
    assert held_out == [0, 20, 40] and sorted(training + held_out) == list(range(50))


def test_a_folder_is_read_whatever_its_encoding(tmp_path, capsys):
    (tmp_path / "b.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("text", "utf-8")
    (tmp_path / "x.bin").write_bytes(b"x")
    assert data.collect(tmp_path) == ["naïve", "text"]
    assert "b.txt is not UTF-8: read as latin-1" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="empty has no .txt or .md file; name a folder that has"):
        data.collect(tmp_path / "empty")


def test_stories_are_the_same_everywhere_and_their_answers_follow():
    assert stories.stories(2)[0].startswith("One ")
    assert abs(np.exp(stories.ENTROPY) - 20_995_200) < 1
    rng = random.Random(3)
    for _ in range(50):
        text, questions = stories.story(rng)
        end = text[text.index("When they went home, ") :]
        for question, short, full, wrong in questions[:2]:
            thing = question.removeprefix("Who had the ").rstrip("?")
            owner = next(
                part for part in end.replace(" home, ", " and ").split(" and ") if thing in part
            )
            assert owner.split()[0] == short.strip(" .") != wrong.strip(" .")
            assert full == f" {short.strip(' .')} had the {thing}."
