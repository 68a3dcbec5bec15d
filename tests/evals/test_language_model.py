"""A language model's answers: those of the definition, however they are computed."""

from dataclasses import replace

import numpy as np
import pytest
from small_models import KINDS, TEXT, small_model, small_tokenizer

from autograd import no_grad
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.encoding import Encoder
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import (
    Chat,
    ContextTooSmall,
    Generation,
    Loglikelihood,
    Message,
    Rolling,
)
from tinygrad_llm.generation import generate
from tinygrad_llm.tokenizer import Tokenizer

SHOTS = "the cat sat on the mat, and the dog sat on the log; 1234 'no! cats' paws: "
REQUESTS = [
    Loglikelihood(f"{SHOTS}{question}", choice)
    for question in ("the cat", "the dog sat on", "1234 cats", "It")
    for choice in (" sat", " on the mat", " a", " log; and")
] + [
    Loglikelihood("the", " cat"),
    Loglikelihood("the", " cat sat on the log"),
    Loglikelihood("", "the cat"),
    Loglikelihood("paws. ", "the"),
    Loglikelihood("no!", ""),
]


def answering(kind="llama", **options):
    return LanguageModel(small_model(kind), small_tokenizer(), fused=False, **options)


def collected(model, requests, done=()):
    found = {}
    for answers in model.answers(requests, done):
        assert not found.keys() & answers.keys()
        found |= answers
    return found


def log_p(model, ids):
    """log p of every id after the first, from the whole sequence at once."""
    with no_grad():
        z = model(np.array([ids[:-1]])).data[0].astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return logp[np.arange(len(ids) - 1), ids[1:]], logp.argmax(axis=-1) == ids[1:]


def by_definition(model, pair):
    ids, n = [*pair.context, *pair.continuation], len(pair.continuation)
    if n == 0:
        return 0.0, True
    logp, best = log_p(model, ids)
    return logp[-n:].sum(), bool(best[-n:].all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size, share", [(1, True), (3, True), (8, True), (4, False)])
def test_scores_are_those_of_the_definition(kind, batch_size, share):
    model = answering(kind, batch_size=batch_size, share=share)
    found = collected(model, REQUESTS)
    assert sorted(found) == list(range(len(REQUESTS)))
    for number, request in enumerate(REQUESTS):
        pair = model.encoder.pair(request)
        logp, greedy = by_definition(model.model, pair)
        assert found[number].logp == pytest.approx(logp, abs=2e-4)
        assert found[number].greedy == greedy
        assert found[number].n_tokens == len(pair.continuation)


def test_a_continuation_of_the_most_likely_tokens_is_greedy():
    model = answering()
    seen = set()
    for n in range(1, 40):
        ids = model.encoder.context(TEXT[:n].rstrip())
        with no_grad():
            best = int(model.model(np.array([ids])).data[0, -1].argmax())
        if best in small_tokenizer().unused_ids(283):
            continue
        request = Loglikelihood(TEXT[:n].rstrip(), small_tokenizer().decode([best]))
        if model.encoder.pair(request).continuation == [best]:
            two = collected(model, [request, replace(request, continuation=" sat")])
            assert two[0].greedy and not two[1].greedy
            seen.add(best)
    assert seen


@pytest.mark.parametrize("share", [True, False])
def test_what_is_done_changes_no_bit_of_the_rest(share):
    """Batches of two contexts, of which some are done, some half done and some not begun."""
    whole = collected(answering(batch_size=2, share=share), REQUESTS)
    done = {*list(whole)[:9], *list(whole)[12:14], 17}
    rest = collected(answering(batch_size=2, share=share), REQUESTS, done)
    assert rest.keys() >= whole.keys() - done and len(rest) < len(whole)
    assert all(rest[i] == whole[i] for i in rest)


def tokens_read(model, requests, monkeypatch):
    """How many tokens, padding included, pass through the model for these requests."""
    hidden, sizes = model.model.hidden, []
    monkeypatch.setattr(
        model.model, "hidden", lambda ids, *a: sizes.append(ids.size) or hidden(ids, *a)
    )
    collected(model, requests)
    return sum(sizes)


def test_what_requests_have_in_common_is_read_once(monkeypatch):
    letters = [
        Loglikelihood(f"{SHOTS}{question}", letter)
        for question in ("the cat sat", "and the dog", "the mat 1234", "on the log")
        for letter in (" a", " c", " d", " l")  # a token each
    ]
    encode = small_tokenizer().encode
    shots = len(encode(f"{SHOTS}the")) - 1
    rest = max(len(encode(r.context)) for r in letters) - shots
    assert tokens_read(answering(batch_size=4), letters, monkeypatch) <= shots + 4 * (rest + 1)
    whole = sum(len(encode(r.context)) for r in letters)
    assert tokens_read(answering(batch_size=1, share=False), letters, monkeypatch) == whole


def test_groups_do_not_mix():
    """Two groups whose shared beginnings have the same length, one after the other."""
    requests = [
        Loglikelihood(f"{begin}{SHOTS[2:]}{question}", " a")
        for begin in ("ab", "ba")
        for question in ("the cat", "and the", "1234", "on the log")
    ]
    model = answering(batch_size=2)
    found = collected(model, requests)
    for number, request in enumerate(requests):
        expected, _ = by_definition(model.model, model.encoder.pair(request))
        assert found[number].logp == pytest.approx(expected, abs=2e-4)


# --- where context and continuation meet ----------------------------------------------------------


def test_spaces_move_to_the_continuation():
    encoder = Encoder(small_tokenizer())
    expected = encoder.pair(Loglikelihood("the cat", " sat"))
    assert encoder.pair(Loglikelihood("the cat ", "sat")) == expected
    encode = small_tokenizer().encode
    assert expected == (encode("the cat"), encode(" sat"))
    assert expected.continuation != encode("sat")


def test_an_empty_context_is_the_end_of_a_document():
    encoder = Encoder(small_tokenizer())
    pair = encoder.pair(Loglikelihood("", "the cat"))
    assert pair == ([small_tokenizer().eot_id], small_tokenizer().encode("the cat"))
    assert encoder.pair(Loglikelihood(" \n", "cat")).continuation == small_tokenizer().encode(
        " \ncat"
    )


def test_what_the_tokenizer_puts_before_a_text_is_in_every_context():
    plain = small_tokenizer()
    eot = plain.eot_id
    conventions = plain.conventions._replace(bos_id=eot, prefix_ids=(eot,))
    encoder = Encoder(Tokenizer.from_vocabulary(plain.vocabulary, conventions))
    assert encoder.pair(Loglikelihood("the", " cat")) == (
        [eot, *plain.encode("the")], plain.encode(" cat")
    )  # fmt: skip
    assert encoder.pair(Loglikelihood("", "cat")) == ([eot], plain.encode("cat"))


def test_a_continuation_that_merges_into_the_context_is_encoded_by_itself():
    """ "t" + "he" is the one token "the": as in the text, nothing would be left to score."""
    encoder = Encoder(small_tokenizer())
    assert len(small_tokenizer().encode(" the")) == 1
    pair = encoder.pair(Loglikelihood("sat on t", "he"))
    assert pair.continuation == small_tokenizer().encode("he")


# --- chats ------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}<|endoftext|>{{ m.role }}\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|endoftext|>assistant\n{% endif %}"
)


def chat_model(**options):
    plain = small_tokenizer()
    conventions = plain.conventions._replace(chat_template=TEMPLATE)
    tokenizer = Tokenizer.from_vocabulary(plain.vocabulary, conventions)
    return LanguageModel(small_model("llama"), tokenizer, fused=False, **options)


def test_a_chat_is_written_by_the_template_and_continued_after_it():
    model = chat_model()
    encode, eot = small_tokenizer().encode, small_tokenizer().eot_id
    chat = Chat((Message("user", "the <|endoftext|> cat"),))
    pair = model.encoder.pair(Loglikelihood(chat, "the"))
    assert pair.continuation == encode("the")
    assert pair.context == [
        eot, *encode("user\nthe <|endoftext|> cat"), eot, *encode("assistant\n")
    ]  # fmt: skip
    assert model.shown([chat]) == [
        "<|endoftext|>user\nthe <|endoftext|> cat<|endoftext|>assistant\n"
    ]
    (score,) = collected(model, [Loglikelihood(chat, "the")]).values()
    assert score.logp == pytest.approx(by_definition(model.model, pair)[0], abs=2e-4)


def test_a_chat_without_template_is_refused():
    with pytest.raises(UserError, match="model has no chat template: it was not trained on conv"):
        answering().check([Loglikelihood(Chat((Message("user", "the"),)), "a")])


# --- lengths ----------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_and_what_just_fits_is_not():
    model = answering()
    encode = small_tokenizer().encode
    context = "a" * 62
    assert len(encode(context)) == 62
    fits = Loglikelihood(context, " a a a")
    assert len(sum(model.encoder.pair(fits), [])) == 65
    model.check([fits])
    assert by_definition(model.model, model.encoder.pair(fits))[0] == pytest.approx(
        collected(model, [fits])[0].logp, abs=2e-4
    )
    with pytest.raises(ContextTooSmall, match="request 1 has 65 tokens, but the model reads at m"):
        model.check([fits, Loglikelihood(context, " a a a a")])
    with pytest.raises(ContextTooSmall, match="request 0 has 65 tokens"):
        model.check([Generation(f"{context} a a")])


# --- rolling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("window, stride", [(None, None), (20, None), (20, 7), (2, 1), (20, 19)])
def test_each_token_of_a_text_is_scored_once(window, stride, prefix):
    tokenizer = small_tokenizer()
    text = TEXT * 3
    ids = [*([tokenizer.eot_id] if prefix else []), *tokenizer.encode(text)]
    request = Rolling(text, window, stride, prefix)
    windows = Encoder(tokenizer).windows(request, 64)
    assert sum((pair.continuation for pair in windows), []) == ids[1:]
    W, end = window or 65, 1
    for pair in windows:
        end += len(pair.continuation)
        begin = max(0, end - W)  # as much context as the window allows
        assert [*pair.context, *pair.continuation] == ids[begin:end]
        assert len(pair.continuation) <= max(stride or W - 1, W - 1 if begin == 0 else 0)
    (score,) = collected(answering(batch_size=3), [request]).values()
    expected = sum(by_definition(small_model("llama"), pair)[0] for pair in windows)
    assert score.logp == pytest.approx(expected, rel=1e-5)
    assert score.n_tokens == len(ids) - 1
    assert score.n_bytes == int(tokenizer.token_bytes()[ids[1:]].sum())


@pytest.mark.parametrize("text, tokens", [("", 0), ("the", 0)])
def test_a_text_without_scored_tokens(text, tokens):
    (score,) = collected(answering(), [Rolling(text)]).values()
    assert (score.logp, score.n_tokens, score.n_bytes) == (0.0, tokens, 0)


@pytest.mark.parametrize("window, stride, complaint", [
    (1, None, "the window is 1, but must be between 2 and 65"),
    (66, None, "the window is 66, but must be between 2 and 65"),
    (10, 10, "the stride is 10, but must be between 1 and 9"),
    (10, 0, "the stride is 0, but must be between 1 and 9"),
])  # fmt: skip
def test_impossible_windows_are_refused(window, stride, complaint):
    with pytest.raises(UserError, match=complaint):
        answering().check([Rolling("the", window, stride)])


# --- generation -------------------------------------------------------------------------------

PROMPTS = [f"{SHOTS}the cat", f"{SHOTS}1234", f"{SHOTS}and the dog sat on the", "the"]


def one_by_one(model, request):
    """The text that ``generate`` writes for one prompt alone."""
    ids = model.encoder.context(request.context)
    steps = generate(
        model.model, [ids], request.max_new_tokens, temperature=request.temperature,
        top_p=request.top_p, seed=request.seed, unused_ids=range(280, 283),
    )  # fmt: skip
    new = [int(step[0]) for step in steps]
    return (
        small_tokenizer()
        .decode_bytes([*ids, *new])[len(request.context.encode()) :]
        .decode("utf-8", "replace")
    )


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3"])
@pytest.mark.parametrize("batch_size, share", [(1, True), (3, True), (8, False)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_do_not_depend_on_the_batch(kind, batch_size, share, temperature):
    model = answering(kind, batch_size=batch_size, share=share)
    requests = [
        Generation(prompt, max_new_tokens=12, temperature=temperature, top_p=0.9, seed=i)
        for i, prompt in enumerate(PROMPTS)
    ]
    found = collected(model, requests)
    for i, request in enumerate(requests):
        assert found[i].text == one_by_one(model, request)
        assert (found[i].n_tokens, found[i].ended) == (12, False)


def test_texts_end_at_a_string_at_a_stop_id_or_when_they_are_long_enough():
    model = answering()
    (whole,) = collected(model, [Generation("the", max_new_tokens=20)]).values()
    middle = whole.text[8:11]
    requests = [
        Generation("the", (middle,), 20),
        Generation("the", ("never",), 3),
        Generation(SHOTS, max_new_tokens=1000),
    ]
    found = collected(model, requests)
    assert found[0].ended and found[0].text == whole.text[: whole.text.index(middle)]
    assert not found[1].ended and found[1].n_tokens == 3
    assert not found[2].ended  # the context of 64 tokens is full
    assert found[2].n_tokens == 64 - len(small_tokenizer().encode(SHOTS))
    first = int(next(generate(model.model, [model.encoder.context("the")], 1, temperature=0))[0])
    (text,) = collected(answering(stop_ids=[first]), [replace(requests[1])]).values()
    assert (text.text, text.n_tokens, text.ended) == ("", 0, True)


def test_written_texts_that_are_done_are_left_out():
    requests = [Generation(prompt, max_new_tokens=2) for prompt in PROMPTS]
    found = collected(answering(batch_size=1), requests, {0, 3})
    assert sorted(found) == [1, 2]
