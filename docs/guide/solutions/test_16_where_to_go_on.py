"""Solutions of chapter 16: the copying head, eight bits, a harder world."""

import itertools
import math

import numpy as np
from attention import attention_weights, causal_self_attention, linear, part, split_heads
from data import convert
from engine import Tensor, no_grad
from model import GPT, Config, block, initial, layer_norm, mlp
from stories import stories
from tokenizer import train as train_tokenizer
from train import train


def heads_of_last_block(model, ids):
    """Attention weights (H, T, T) of the model's last block for ids (1, T)."""
    p, last = model.parameters, model.config.n_layer - 1
    x = p["wte.weight"][ids] + p["wpe.weight"][: ids.shape[1]]
    for i in range(last):
        x = block(x, part(p, f"h.{i}."), model.config.n_head)
    h = part(p, f"h.{last}.")
    qkv = linear(layer_norm(x, part(h, "ln_1.")), part(h, "attn.c_attn."))
    C = model.config.n_embd
    q, k = (split_heads(qkv[..., i * C : (i + 1) * C], model.config.n_head) for i in (0, 1))
    return x, attention_weights(q, k).data[0]


def test_exercise_16_1():
    texts = stories(200)
    tokenizer = train_tokenizer(texts, 512)
    config = Config(len(tokenizer.bytes), n_layer=2, n_head=2, n_embd=16)
    model = GPT(config, initial(config, np.random.default_rng(0)))
    train(model, convert(texts, tokenizer), 15, batch_size=4, end=tokenizer.end)

    text = texts[0][: texts[0].rindex(" and") + 4]  # up to where the second name is due
    ids = np.array([[tokenizer.end, *tokenizer.encode(text)]])
    with no_grad():
        x, weights = heads_of_last_block(model, ids)
        for head, row in enumerate(weights[:, -1]):  # (T,)
            best = [tokenizer.decode([ids[0, i]]) for i in row.argsort()[::-1][:3]]
            assert len(best) == 3, head  # print them: what does a trained model listen to?

        # these are the weights that the model used: with them in place of its own, the last
        # block and the logits come out the same
        h = part(model.parameters, "h.1.")
        p = part(h, "attn.")
        qkv = linear(layer_norm(x, part(h, "ln_1.")), part(p, "c_attn."))
        v = split_heads(qkv[..., 32:48], 2).data[0]  # (H, T, D)
        mixed = (weights @ v).transpose(1, 0, 2).reshape(1, ids.shape[1], 16)
        y = x + linear(Tensor(mixed), part(p, "c_proj."))
        y = y + mlp(layer_norm(y, part(h, "ln_2.")), part(h, "mlp."))
        y = layer_norm(y, part(model.parameters, "ln_f.")).data
        logits = y @ model.parameters["wte.weight"].data.T
        assert np.allclose(logits, model(ids).data, rtol=1e-4, atol=1e-5)
        own = causal_self_attention(layer_norm(x, part(h, "ln_1.")), p, 2).data
        assert np.allclose(own, linear(Tensor(mixed), part(p, "c_proj.")).data, atol=1e-5)
    assert np.allclose(weights.sum(-1), 1, rtol=1e-5)


def quantize(a):
    """Integers (R, C) from -127 to 127 and a scale (R, 1) for each row of a (R, C)."""
    scale = np.abs(a).max(axis=1, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(np.float32)  # a row of zeros stays zero
    return np.rint(a / scale).astype(np.int8), scale


def dequantize(integers, scale):
    return integers.astype(np.float32) * scale


def test_exercise_16_2():
    config = Config(100, n_embd=32)
    arrays = initial(config, np.random.default_rng(0))
    small, before, after = {}, 0, 0
    for name, a in arrays.items():
        before += a.nbytes
        if a.ndim == 2:
            integers, scale = quantize(a)
            small[name] = dequantize(integers, scale)
            assert np.all(np.abs(small[name] - a) <= scale * 0.5001)  # half a step
            after += integers.nbytes + scale.nbytes
        else:  # vectors are few: they stay
            small[name], after = a, after + a.nbytes
    assert after < 0.35 * before

    ids = np.random.default_rng(1).integers(0, 100, size=(2, 20))
    with no_grad():
        logits, changed = (GPT(config, x)(ids).data for x in (arrays, small))
    assert 0 < np.abs(changed - logits).max() < 0.05 * np.abs(logits).max()
    assert np.array_equal(quantize(np.zeros((2, 3), np.float32))[0], np.zeros((2, 3)))


PEOPLE, THINGS, PLACES = "Mia Tom Anna Ben Lily".split(), "ball kite drum".split(), ["park", "lake"]


def choices():
    """Every choice that a story makes: three people, one thing, one place, who takes it."""
    for people in itertools.permutations(PEOPLE, 3):
        yield from itertools.product([people], THINGS, PLACES, range(2))


def told(people, thing, place, taker):
    a, *others = people
    return (
        f"{a} went to the {place} with a {thing}. There {a} met {others[0]} and {others[1]}. "
        f"{others[taker]} liked the {thing}, so {a} gave it away. "
        f"In the end {others[taker]} had the {thing}."
    )


def test_exercise_16_3():
    texts = [told(*choice) for choice in choices()]
    entropy = math.log(5 * 4 * 3 * 3 * 2 * 2)  # all choices are equally likely
    assert len(set(texts)) == len(texts)  # no two choices give the same text
    assert math.isclose(math.log(len(texts)), entropy)
