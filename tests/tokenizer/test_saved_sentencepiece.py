"""SentencePiece tokenizers saved as tokenizer.json: the tokenizers library gives the same ids."""

import hypothesis.strategies as st
import pytest
import tokenizers
from hypothesis import given, settings
from small_sentencepiece import as_merges, sentencepiece

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Conventions

words = st.lists(
    st.sampled_from([*"ab c\u00e9\u4e2d\u2581", "  ", "ab", "aba", "<b>", "<s>", "<unk>"])
).map("".join)


@pytest.mark.parametrize("prepend", ["always", "once", "never"])
@pytest.mark.parametrize("spare", ["bytes", "unknown", "nothing"])
@pytest.mark.parametrize("with_merges", [False, True])
def test_the_tokenizers_library_gives_the_same_ids(prepend, spare, with_merges, tmp_path):
    """``spare``: what becomes of a character that is no piece."""
    changes = {"bytes": {}, "unknown": {"byte_ids": None}}.get(
        spare, {"byte_ids": None, "unknown_id": None}
    )
    vocabulary = sentencepiece(prepend, **changes)
    vocabulary = as_merges(vocabulary) if with_merges else vocabulary
    names = {"bos_token": "<s>", "eos_token": "<s>"}
    ours = Tokenizer.from_vocabulary(vocabulary, Conventions(1, 1, (1,), (1,), None, names))
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.conventions == ours.conventions
    if with_merges:
        assert again.fingerprint() == ours.fingerprint()
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    @settings(deadline=None, max_examples=200, database=None)
    @given(words)
    def check(text):
        for allow in (False, True):
            theirs.encode_special_tokens = not allow
            ids = ours.encode(text, allow_special=allow)
            assert again.encode(text, allow_special=allow) == ids
            assert theirs.encode(text, add_special_tokens=False).ids == ids
            assert theirs.encode(text).ids == [1, *ids, 1]

    check()


def test_equal_scores_are_joined_from_the_left(tmp_path):
    """The longer left part comes first in the list, so a run grows at its start."""
    pieces = {"a" * n: 258 + n for n in (1, 2, 3)}
    vocabulary = sentencepiece("never", pieces=pieces, ranks=dict.fromkeys(pieces, 0))
    ours = Tokenizer.from_vocabulary(vocabulary)
    ours.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for n in range(1, 12):
        assert theirs.encode("a" * n).ids == ours.encode("a" * n)
    assert ours.encode("aaaa") == [261, 259]


def test_transformers_opens_it(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    template = "{{ bos_token }}{% for m in messages %}<b>{{ m.content }}{% endfor %}"
    conventions = Conventions(1, 1, (1,), (), template, {"bos_token": "<s>", "eos_token": "<s>"})
    ours = Tokenizer.from_vocabulary(sentencepiece(), conventions)
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "ab aba\u00e9  a"
    assert theirs(text)["input_ids"] == ours.add_bos_eos(ours.encode(text))
    assert theirs.bos_token_id == theirs.eos_token_id == 1
    messages = [{"role": "user", "content": text}]
    ids = ours.apply_chat_template(messages)
    assert theirs.apply_chat_template(messages, return_dict=False) == ids


def test_a_token_around_every_text_that_is_not_special(tmp_path):
    ours = Tokenizer.from_vocabulary(sentencepiece(), Conventions(260, 1, (260,)))
    with pytest.raises(UserError, match="adds the id 260 to every text, which is no special token"):
        ours.save(tmp_path)
    assert not [*tmp_path.iterdir()]
