"""Special tokens whose names overlap: the ids that the tokenizers library gives for our file."""

import json

import hypothesis.strategies as st
import pytest
import tokenizers
from hypothesis import given, settings

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer, special

# Few letters, so that names contain each other, and begin and end alike.
names = st.text(alphabet="<a> \n", min_size=2, max_size=5)
sets_of_names = st.lists(names, min_size=1, max_size=6, unique=True)
texts = st.lists(st.one_of(names, st.sampled_from("<a>b \n")), max_size=12).map("".join)


def theirs(tokenizer, folder):
    tokenizer.save(folder)
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


@settings(deadline=None, max_examples=80)
@given(sets_of_names, st.lists(texts, min_size=1, max_size=6))
def test_the_tokenizers_library_gives_the_same_ids(folder, names, texts):
    ours = Tokenizer([(98, 98)], special_tokens=names)
    library = theirs(ours, folder)
    for text in [*texts, "".join(names)]:
        ids = ours.encode(text, allowed_special="all")
        assert ids == library.encode(text).ids
        assert ours.decode(ids) == library.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("names", [["<user>", "<user>\n"], ["<user>\n", "<user>"]])
def test_the_longest_name_wins_whatever_the_order(names):
    tokenizer = Tokenizer([], special_tokens=names)
    long, short = (tokenizer.special_tokens[name] for name in ("<user>\n", "<user>"))
    assert tokenizer.encode("<user>\nhi", "all") == [long, *b"hi"]
    assert tokenizer.encode("<user>hi", "all") == [short, *b"hi"]
    assert tokenizer.encode("<user>\nhi", ["<user>"]) == [short, *b"\nhi"]
    assert tokenizer.encode("<user>\nhi") == [*b"<user>\nhi"]


def test_the_leftmost_name_wins_before_the_longest():
    tokenizer = Tokenizer([], special_tokens=["ab", "bcdef"])
    assert tokenizer.encode("abcdef", "all") == [256, *b"cdef"]


def test_names_that_the_library_ranks_otherwise_are_refused(folder):
    """It looks for "normalized" names only between the others: then not the longest comes first."""
    Tokenizer([], special_tokens=["<a>", "<a> b", "<b>"]).save(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["added_tokens"][2]["normalized"] = True
    file.write_text(json.dumps(content))
    assert Tokenizer.load(file).special_tokens == {"<a>": 256, "<a> b": 257, "<b>": 258}
    content["added_tokens"][1]["normalized"] = True
    file.write_text(json.dumps(content))
    assert tokenizers.Tokenizer.from_file(str(file)).encode("<a> b").ids == [256, 32, 98]
    with pytest.raises(UserError, match="'<a> b' .normalized. and '<a>' .not. overlap"):
        Tokenizer.load(file)


def test_names_that_are_not_ascii():
    tokenizer = Tokenizer([], special_tokens=["é", "\u4e2d\u6587"])
    text = "aé\u4e2d\u4e2d\u6587b"
    assert tokenizer.encode(text, "all") == [97, 256, *"\u4e2d".encode(), 257, 98]
    assert tokenizer.encode(text) == [*text.encode()]


def test_forty_thousand_names():
    """Each is looked at once: a quadratic check would take 800 million steps here."""
    names = [f"<|reserved_{i}|>" for i in range(40_000)]
    tokenizer = Tokenizer([], special_tokens=names)
    assert tokenizer.encode("<|reserved_39999|>x<|reserved_", "all") == [
        40_255, 120, *b"<|reserved_",
    ]  # fmt: skip
    with pytest.raises(UserError, match="'<.reserved_0.>' is listed twice"):
        Tokenizer([], special_tokens=[*names, names[0]])


def test_a_name_has_a_limit():
    with pytest.raises(UserError, match=r"'<<<.* has 1,001 characters, expected at most 1,000"):
        Tokenizer([], special_tokens=["<" * (special.MAX_NAME + 1)])
