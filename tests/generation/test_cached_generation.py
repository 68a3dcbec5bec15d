"""Generation with a cache says what generation without one says, and computes less."""

import numpy as np
import pytest

from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import (
    Decoder,
    DraftModel,
    KVCache,
    PromptLookup,
    TextStream,
    generate,
    stop_at,
)
from tinygrad_llm.model import GPT, Llama

BLOCK = 14


def small(kind):
    """A model with weights that make its answers differ from step to step."""
    size = {"vocab_size": 19, "block_size": BLOCK, "n_layer": 2, "n_head": 2, "n_embd": 8}
    if kind == "gpt":
        model = GPT(GPTConfig(**size))
    else:
        window = 5 if kind == "window" else None
        model = Llama(LlamaConfig(n_hidden=16, n_kv_head=1, sliding_window=window, **size))
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        noise = 0.6 * rng.standard_normal(parameter.shape)
        parameter.assign_((parameter.data + noise).astype(np.float32))
    return model.eval()


KINDS = pytest.mark.parametrize("kind", ["gpt", "llama", "window"])


class Recorder(Decoder):
    """A decoder that notes how many tokens it reads of each row."""

    def __init__(self, model):
        super().__init__(model)
        self.read = []

    def __call__(self, tokens, cache, all_positions=False):
        self.read.append([len(new) for new in tokens])
        return super().__call__(tokens, cache, all_positions)


def steps_of(model, ids, n_tokens, **options):
    return list(generate(model, ids, n_tokens, logprobs=2, **options))


def assert_same(steps, others):
    assert len(steps) == len(others)
    for one, two in zip(steps, others, strict=True):
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.top_ids, two.top_ids)
        np.testing.assert_allclose(one.logprobs, two.logprobs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.top_logprobs, two.top_logprobs, rtol=1e-4, atol=1e-5)


def ids_of(steps):
    return [int(new) for (new,) in steps]


# --- the same text ----------------------------------------------------------------------------

OPTIONS = {
    "greedy": {"temperature": 0},
    "sampled": {"seed": 1, "top_k": 9},
    "penalties": {"seed": 2, "repetition_penalty": 1.4, "frequency_penalty": 0.3},
    "three of each": {"seed": 3, "n": 3},
    "rows that end": {"seed": 4, "n": 2, "stop_ids": [3, 8]},
    "a shorter context": {"temperature": 0, "block_size": 6},
}


@KINDS
@pytest.mark.parametrize("options", OPTIONS)
def test_with_and_without_a_cache_the_text_is_the_same(kind, options):
    model, options = small(kind), {"block_size": BLOCK, **OPTIONS[options]}
    rng = np.random.default_rng(1)
    for T in (1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK):
        ids = rng.integers(0, 19, (2, T))  # past block_size, from the first step or later
        expected = steps_of(model.next_token_logits, ids, BLOCK + 4, **options)
        assert_same(steps_of(model, ids, BLOCK + 4, **options), expected)
        assert_same(steps_of(Decoder(model), ids, BLOCK + 4, **options), expected)


@KINDS
def test_padded_prompts_cross_block_size_one_after_the_other(kind):
    model, rng = small(kind), np.random.default_rng(2)
    ids = rng.integers(0, 19, (4, BLOCK + 3))
    mask = np.arange(BLOCK + 3) >= np.array([[0], [3], [12], [16]])  # 17, 14, 5 and 1 tokens
    options = {"attention_mask": mask.astype(int), "temperature": 0}
    together = steps_of(model, ids, BLOCK + 4, **options)
    uncached = steps_of(model.next_token_logits, ids, BLOCK + 4, block_size=BLOCK, **options)
    assert_same(together, uncached)
    for row in range(4):
        alone = generate(model, [ids[row, mask[row]]], BLOCK + 4, temperature=0)
        assert ids_of(alone) == [int(step.ids[row]) for step in together]


# --- fewer tokens are read --------------------------------------------------------------------


def test_each_token_is_read_once():
    decoder = Recorder(small("llama"))
    list(generate(decoder, [[1, 2, 3, 4], [5, 6, 7, 8]], 5, temperature=0))
    assert decoder.read == [[4, 4]] + [[1, 1]] * 4


def test_a_prompt_of_several_rows_is_read_once():
    decoder = Recorder(small("llama"))
    list(generate(decoder, [[1, 2, 3, 4]], 3, n=3))
    assert decoder.read == [[3]] + [[1, 1, 1]] * 3


def test_rows_that_have_ended_are_not_read():
    decoder = Recorder(small("llama"))
    list(generate(decoder, [[1, 2], [3, 4]], 4, stop=lambda row, token: row == 0))
    assert decoder.read == [[2, 2], [0, 1], [0, 1], [0, 1]]


def test_past_block_size_everything_is_read_at_each_step():
    decoder = Recorder(small("gpt"))
    list(generate(decoder, [[1] * (BLOCK - 1)], 4))
    assert decoder.read == [[BLOCK - 1], [1], [BLOCK], [BLOCK]]


@KINDS
def test_the_next_turn_reads_what_is_new(kind):
    model = small(kind)
    decoder, cache = Recorder(model), KVCache(model.config)
    ids = [1, 2, 3]
    ids += ids_of(generate(decoder, [ids], 4, temperature=0, cache=cache))
    turn = [*ids, 9, 8]
    again = steps_of(decoder, [turn], 3, temperature=0, cache=cache)
    # the last token of the first answer was never read
    assert decoder.read == [[3], [1], [1], [1], [3], [1], [1]]
    assert_same(again, steps_of(model, [turn], 3, temperature=0))

    decoder.read.clear()
    changed = [*turn[:5], 0, 0, 0]  # the first five ids stay
    again = steps_of(decoder, [changed], 2, temperature=0, cache=cache)
    assert decoder.read == [[3], [1]]
    assert_same(again, steps_of(model, [changed], 2, temperature=0))

    decoder.read.clear()
    again = steps_of(decoder, [changed[:4]], 1, temperature=0, cache=cache)
    assert decoder.read == [[1]]  # all of it is there, but not the logits
    assert_same(again, steps_of(model, [changed[:4]], 1, temperature=0))


def test_a_cache_that_was_shifted_is_not_taken_for_the_beginning():
    model = small("gpt")
    cache = KVCache(model.config)
    ids = [1, 2, 3, 4, 5, 6]
    answer = ids_of(generate(model, [ids], BLOCK, temperature=0, cache=cache))
    for turn in (ids, [*ids, *answer], answer[-BLOCK:]):
        expected = steps_of(model, [turn], 4, temperature=0)
        assert_same(steps_of(model, [turn], 4, temperature=0, cache=cache), expected)


def test_texts_that_share_a_cache_may_be_begun_before_they_are_written():
    model = small("llama")
    cache = KVCache(model.config)
    first, second = (
        generate(model, [ids], 4, temperature=0, cache=cache) for ids in ([1, 2, 3], [1, 7])
    )
    assert ids_of(first) == ids_of(generate(model, [[1, 2, 3]], 4, temperature=0))
    assert ids_of(second) == ids_of(generate(model, [[1, 7]], 4, temperature=0))


def test_several_texts_leave_the_prompt_in_the_cache():
    model = small("llama")
    decoder, cache = Recorder(model), KVCache(model.config)
    for _ in range(2):
        list(generate(decoder, [[1, 2, 3, 4]], 2, n=3, cache=cache))
    assert cache.ids == [[1, 2, 3]]
    assert decoder.read == [[3], [1, 1, 1], [1, 1, 1], [0], [1, 1, 1], [1, 1, 1]]


def test_a_cache_that_does_not_fit_is_refused_at_once():
    model = small("llama")
    with pytest.raises(UserError, match="cache has 2 rows .* but 1 rows of up to 4 are"):
        generate(model, [[1]], 3, cache=KVCache(model.config, 2))
    with pytest.raises(UserError, match="1 rows of up to 3 tokens, but 1 rows of up to 4 are"):
        generate(model, [[1]], 3, cache=KVCache(model.config, max_length=3))
    with pytest.raises(UserError, match="a function from ids to logits has no use for a cache"):
        generate(model.next_token_logits, [[1]], 3, block_size=4, cache=KVCache(model.config))


# --- with a draft -----------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("draft", ["the same", "another", "a shorter context", "lookup"])
def test_a_draft_with_a_cache_does_not_change_the_text(kind, draft):
    model = small(kind)
    draft = {
        "the same": lambda: DraftModel(model, 3),
        "another": lambda: DraftModel(small("llama" if kind == "gpt" else "gpt"), 3),
        "a shorter context": lambda: DraftModel(model, 3, block_size=5),
        "lookup": lambda: PromptLookup(4, longest=2, shortest=1),
    }[draft]()
    for ids in ([1], [1, 2, 1, 2, 1], list(range(BLOCK - 2)), [4] * (BLOCK + 2)):
        expected = steps_of(model, [ids], 16, temperature=0)
        assert_same(steps_of(model, [ids], 16, temperature=0, draft=draft), expected)


class Spy(DraftModel):
    """A draft that notes what it proposes."""

    def propose(self, *args):
        self.proposals = [*getattr(self, "proposals", []), super().propose(*args)]
        return self.proposals[-1]


@KINDS
def test_a_draft_with_a_cache_proposes_what_it_would_without(kind):
    model = small("gpt" if kind == "llama" else "llama")
    for block_size in (5, BLOCK):  # proposals may cross it and be dropped
        cached, uncached = (
            Spy(function, 3, block_size)
            for function in (small(kind), small(kind).next_token_logits)
        )
        for first in range(6):
            for draft in (cached, uncached):
                list(generate(model, [[first]], 14, seed=first, draft=draft))
        for one, two in zip(cached.proposals, uncached.proposals, strict=True):
            assert [p.id for p in one] == [p.id for p in two]
            for a, b in zip(one, two, strict=True):
                np.testing.assert_allclose(a.q[1], b.q[1], rtol=1e-4, atol=1e-6)


def test_a_draft_and_the_model_read_each_token_once():
    model = small("llama")
    target, small_model = Recorder(model), Recorder(model)
    draft = DraftModel(small_model, 3, cache=KVCache(model.config))
    cache = KVCache(model.config)
    ids = [1, 2, 3]
    ids += ids_of(generate(target, [ids], 9, temperature=0, draft=draft, cache=cache))
    assert draft.counts.accepted == 6
    assert target.read == [[3], [4], [4]]
    # three proposals, the last of which it has not read; it reads that with the token after it
    assert small_model.read == [[4], [1], [1], [2], [1], [1]]

    target.read.clear()
    small_model.read.clear()
    list(generate(target, [[*ids, 5]], 2, temperature=0, draft=draft, cache=cache))
    assert target.read == [[2], [1]] and small_model.read == []


def test_dropped_proposals_are_forgotten():
    model = small("llama")
    decoder, cache = Recorder(model), KVCache(model.config)
    wrong = DraftModel(lambda ids: np.tile(np.arange(19) == 4, (1, 1)), 3, block_size=BLOCK)
    ids = ids_of(generate(decoder, [[1, 2]], 6, temperature=0, draft=wrong, cache=cache))
    assert ids == ids_of(generate(model, [[1, 2]], 6, temperature=0))
    assert wrong.counts.accepted < wrong.counts.proposed
    assert cache.ids == [[1, 2, *ids[:-1]]]


# --- with text --------------------------------------------------------------------------------


def test_a_stop_string_ends_a_row_of_a_batch_with_a_cache():
    class Letters:
        def push(self, token_id):
            return chr(97 + token_id)

        def finish(self):
            return ""

    model = small("llama")
    texts = []
    for m, options in ((model, {}), (model.next_token_logits, {"block_size": BLOCK})):
        streams = [TextStream(Letters(), ["ab", "q", "d"]) for _ in range(6)]
        list(generate(m, [[1, 2]], 12, n=6, seed=5, stop=stop_at(streams), **options))
        texts.append([(s.text, s.stopped) for s in streams])
    assert texts[0] == texts[1] and len({stopped for _, stopped in texts[0]}) > 1
