"""Tokenizers from the lists of a GGUF file, and byte-pair encoding by rank."""

import hypothesis.strategies as st
import pytest
import regex
import tokenizers
from hypothesis import given, settings
from tokenizers import models, pre_tokenizers

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import patterns, train_bpe
from tinygrad_llm.tokenizer.from_lists import SPLITS, tokenizer_from_lists
from tinygrad_llm.tokenizer.json_format import LETTERS, spell
from tinygrad_llm.tokenizer.pair_merging import JoinedSpelling, merge_by_rank
from tinygrad_llm.tokenizer.reference import encode_by_rank
from tinygrad_llm.tokenizer.sentencepiece import byte_names

TEXT = "The 3 cats, 1234 of them,  don't  like\n\nthe theatre. É\u0301 "
tricky = st.sampled_from([*" \n\t'aAt1!é中\u2581", "  ", "the", "'s", "123", "<s>", "\n\n"])
texts = st.lists(st.one_of(tricky, st.characters(exclude_categories=("Cs", "Cn")))).map("".join)

pairs = st.tuples(st.integers(0, 8), st.integers(0, 8))
merge_tables = st.dictionaries(pairs, st.tuples(st.integers(0, 4), st.integers(3, 8)), max_size=20)


@settings(deadline=None, max_examples=500)
@given(st.lists(st.integers(0, 8), max_size=30), merge_tables)
def test_the_heap_equals_the_reference(symbols, merges):
    assert merge_by_rank(symbols, merges) == encode_by_rank(symbols, merges)


def test_any_two_that_spell_a_token_are_joined():
    spellings = {0: "a", 1: "b", 2: "ab", 3: "aba"}
    joins = JoinedSpelling(spellings, {"ab": 2, "aba": 3}, {"ab": 1, "aba": 0})
    assert merge_by_rank([0, 1, 0, 1], joins) == [3, 1]
    assert merge_by_rank([7, 0, 1], joins) == [7, 2]


TRAINED = train_bpe([TEXT * 4], 288, "gpt2", ["<s>", "</s>"])
TOKENS = ["<s>", "<user>", *map(spell, TRAINED.ranks), "</s>"]
KINDS = [3, 4, *[1] * len(TRAINED.ranks), 3]
MERGES = [f"{spell(left)} {spell(right)}" for left, right in TRAINED.merges()]


def byte_level(**changes):
    arguments = {"tokens": TOKENS, "token_types": KINDS, "merges": MERGES, "pre": "gpt-2"}
    return tokenizer_from_lists("gpt2", **arguments | changes)


SPLITTERS = {
    "gpt-2": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
    "qwen2": [pre_tokenizers.Split(tokenizers.Regex(patterns.QWEN2_PATTERN), "isolated")],
    "llama-bpe": [pre_tokenizers.Split(tokenizers.Regex(patterns.LLAMA3_PATTERN), "isolated")],
}


@pytest.mark.parametrize("pre", SPLITTERS)
def test_byte_level_lists_give_the_ids_of_the_tokenizers_library(pre):
    ours = byte_level(pre=pre)
    merges = [tuple(merge.split(" ")) for merge in MERGES]
    theirs = tokenizers.Tokenizer(
        models.BPE({t: i for i, t in enumerate(TOKENS)}, merges, ignore_merges=pre == "llama-bpe")
    )
    own_split = pre in ("gpt-2", "smollm")
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [*SPLITTERS[pre], pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own_split)]
    )
    if pre == "qwen2":
        theirs.normalizer = tokenizers.normalizers.NFC()

    @settings(deadline=None, max_examples=150)
    @given(texts)
    def check(text):
        assert ours.encode(text) == theirs.encode(text).ids

    check()
    assert ours.encode("<user><s>")[0] == 1 and ours.encode("<s>") != [0]
    assert ours.encode("<s>", allow_special=True) == [0]


def test_the_pattern_of_smollm():
    """The same chunks as the two steps of its tokenizer.json."""
    steps = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for text in ("a  12 b", " 3", "x \n 4\n\n5  ", "it's 1's", "  ", "\u00b2\u00bd a"):
        chunks = regex.findall(patterns.SMOLLM_PATTERN, text)
        assert [spell(c.encode()) for c in chunks] == [c for c, _ in steps.pre_tokenize_str(text)]


PIECES = [
    *"\u2581theacsdo,.'",
    "th",
    "he",
    "\u2581t",
    "\u2581th",
    "the",
    "\u2581the",
    "\u2581\u2581",
]
SP_TOKENS = ["<unk>", "<s>", "</s>", *byte_names(), *PIECES]
SP_KINDS = [2, 3, 3, *[6] * 256, *[1] * len(PIECES)]
SP_SCORES = [0.0] * 259 + [-float(i) for i in range(len(PIECES))]


def sentencepiece(**changes):
    arguments = {"tokens": SP_TOKENS, "token_types": SP_KINDS, "scores": SP_SCORES}
    return tokenizer_from_lists(
        "llama", **{"bos_id": 1, "eos_id": 2, "unknown_id": 0} | arguments | changes
    )


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_lists(prefix):
    ours = sentencepiece(add_space_prefix=prefix)
    the = SP_TOKENS.index("\u2581the") if prefix else SP_TOKENS.index("the")
    assert ours.encode("the") == [the]
    assert ours.add_bos_eos([5]) == [1, 5]
    assert sentencepiece(add_bos=False, add_eos=True).add_bos_eos([5]) == [5, 2]
    first = [SP_TOKENS.index("\u2581")] if prefix else []
    assert ours.encode("é") == [*first, 3 + 0xC3, 3 + 0xA9]
    for text in ("the cat", " the", "a<s>the", "", " ", "<s>", "é<s> x\n"):
        ids = ours.encode(text, allow_special=True)
        assert ours.decode(ids) == text
        stream = ours.stream()
        assert "".join(map(stream.push, ids)) + stream.finish() == text
        assert (
            ours.decode_bytes(ids, after=5)
            == (b" " if ids[:1] > [2] and prefix else b"") + text.encode()
        )


@pytest.mark.parametrize(("th", "he", "pieces"), [(-1, -2, ["th", "e"]), (-2, -1, ["t", "he"])])
def test_the_higher_score_is_joined_first(th, he, pieces):
    tokens = ["<unk>", "t", "h", "e", "th", "he"]
    scores = [0, -9, -9, -9, th, he]
    lists = {"scores": scores, "add_space_prefix": False, "unknown_id": 0}
    ours = tokenizer_from_lists("llama", tokens, [2, 1, 1, 1, 1, 1], **lists)
    assert [tokens[i] for i in ours.encode("the")] == pieces


@settings(deadline=None, max_examples=300)
@given(texts, st.booleans())
def test_cutting_at_words_changes_no_ids(text, inside):
    """The whole text merged at once, also where a piece has a space inside."""
    tokens, kinds, scores = list(SP_TOKENS), list(SP_KINDS), list(SP_SCORES)
    if inside:
        tokens, kinds, scores = [*tokens, "e\u2581"], [*kinds, 1], [*scores, -3.5]
    ours = sentencepiece(tokens=tokens, token_types=kinds, scores=scores)
    engine = ours._engine
    whole = merge_by_rank(engine._symbols("\u2581" + text.replace(" ", "\u2581")), engine._merges)
    assert ours.encode(text) == (whole if text else [])


def test_unknown_characters_without_bytes():
    keep = [0, 1, 2, *range(259, len(SP_TOKENS))]
    lists = {
        "tokens": [SP_TOKENS[i] for i in keep],
        "token_types": [SP_KINDS[i] for i in keep],
        "scores": [SP_SCORES[i] for i in keep],
        "add_space_prefix": False,
    }
    tokenizer = sentencepiece(**lists)
    t = lists["tokens"].index("t")
    assert tokenizer.encode("té中t中") == [t, 0, t, 0]
    assert sentencepiece(**lists, unknown_id=None).encode("té中t中") == [t, t]


@pytest.mark.parametrize(
    ("build", "changes", "sentence"),
    [
        (
            byte_level,
            {"pre": "unheard-of"},
            "pattern of the tokenizer is 'unheard-of', expected one",
        ),
        (byte_level, {"pre": None}, "is None, expected one of gpt-2, llama-bpe"),
        (byte_level, {"merges": None}, "needs its merges"),
        (byte_level, {"merges": ["a"]}, "merge 0 is 'a', expected a pair"),
        (byte_level, {"merges": [*MERGES, "a \u0100"]}, "which is not in the vocabulary"),
        (
            byte_level,
            {"token_types": KINDS[1:]},
            f"{len(TOKENS)} tokens but {len(TOKENS) - 1} token",
        ),
        (byte_level, {"tokens": [*TOKENS[:-1], "<s>"]}, "'<s>' has two ids, 0 and"),
        (byte_level, {"eos_id": 10**6}, "the eos id is 1000000, expected one of 0 to"),
        (
            byte_level,
            {"tokens": [*TOKENS[:-2], "a b", "</s>"], "merges": [*MERGES[:-1], MERGES[0]]},
            "contains ' ', which stands",
        ),
        (sentencepiece, {"scores": None}, "needs its scores"),
        (sentencepiece, {"scores": [float("nan")] * len(SP_TOKENS)}, "is not a number"),
    ],
)
def test_lists_that_are_no_vocabulary_get_a_sentence(build, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        build(**changes)


def test_another_model_is_named():
    with pytest.raises(UserError, match="model 'rwkv' is unknown here, expected gpt2 or llama"):
        tokenizer_from_lists("rwkv", ["a"])


def test_every_known_pattern_takes_all_of_any_text():
    assert {pattern for pattern, _, _ in SPLITS.values()} <= patterns.COMPLETE
    assert len(LETTERS) == 256
