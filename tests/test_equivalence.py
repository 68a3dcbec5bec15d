"""The equivalence lab: two ways to compute the same gradients of a GPT, compared one by one.

A model with a wrong gradient still trains, only worse, so the mistake is easily missed. But two
different computations are rarely wrong in the same way: where they must agree to rounding, each
proves the other. All numbers are float64, so that rounding is far smaller than any mistake.
"""

import math

import numpy as np
import pytest
from together import together

from autograd import Tensor, grad, ops, use_kernels
from autograd.functional import recompute, value_and_grad
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.data import IGNORE
from tinygrad_llm.model import GPT
from tinygrad_llm.model.module import functional_call
from tinygrad_llm.training.optim import AdamW

SHAPE = dict(vocab_size=61, block_size=16, n_layer=2, n_head=2, n_embd=16)


def new_model(dropout=0.0, dtype=np.float64, **options):
    """A GPT whose parameters are all far from their starting values."""
    model, rng = GPT(GPTConfig(**SHAPE, dropout=dropout), seed=3, **options), seeded(4)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.2 * rng.standard_normal(parameter.shape)
    return model.astype(dtype)


def seeded(seed):
    return np.random.default_rng(seed)


def batch(B=6, T=12, masked=False):
    ids = seeded(5).integers(0, SHAPE["vocab_size"], (B, T + 1))
    x, y = ids[:, :-1].copy(), ids[:, 1:].copy()
    if masked:  # unevenly: one row not at all, one whole
        y[1:][seeded(6).random((B - 1, T)) < 0.4] = IGNORE
        y[-1] = IGNORE
    return x, y


def gradients(model):
    found = {name: p.grad.data.copy() for name, p in model.named_parameters()}
    model.zero_grad()
    return found


def assert_same(found, expected, rtol=1e-10):
    """Equal to ``rtol`` of the largest element of the largest gradient; 0: bit for bit."""
    assert found.keys() == expected.keys() and len(found) > 10
    size = max(np.abs(g).max() for g in expected.values())
    for name in expected:
        difference = np.abs(found[name] - expected[name]).max()
        assert difference <= rtol * size, f"{name}: {difference / size:.1e} of the largest"


def differ(found, expected):
    return max(np.abs(found[n] - expected[n]).max() for n in expected)


def whole_batch(model, x, y):
    """The gradient of the mean over all valid targets at once: the expected result."""
    model.loss(x, y).backward()
    return gradients(model)


# --- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@pytest.mark.parametrize("parts", [2, 3, 6])
def test_accumulation_is_the_large_batch(masked, parts):
    model = new_model()
    x, y = batch(masked=masked)
    count = np.count_nonzero(y != IGNORE)
    for xs, ys in zip(np.split(x, parts), np.split(y, parts), strict=True):
        model.loss(xs, ys, reduction="sum").backward(1 / count)
    assert_same(gradients(model), whole_batch(model, x, y))


def test_the_mean_of_means_is_something_else_where_targets_are_masked():
    model = new_model()
    for masked in (False, True):
        x, y = batch(masked=masked)
        for xs, ys in zip(np.split(x, 3), np.split(y, 3), strict=True):
            (model.loss(xs, ys) / 3).backward()
        difference = differ(gradients(model), whole_batch(model, x, y))
        assert difference > 1e-3 if masked else difference < 1e-12


def test_one_sequence_at_a_time_and_padded_is_the_batch():
    model, rng = new_model(), seeded(7)
    lengths = (3, 12, 7)
    rows = [rng.integers(0, SHAPE["vocab_size"], n + 1) for n in lengths]
    for row in rows:
        model.loss(row[None, :-1], row[None, 1:], reduction="sum").backward()
    alone = gradients(model)
    x, y = np.zeros((3, 12), int), np.full((3, 12), IGNORE)
    for i, row in enumerate(rows):
        x[i, : lengths[i]], y[i, : lengths[i]] = row[:-1], row[1:]
    model.loss(x, y, reduction="sum").backward()
    assert_same(gradients(model), alone)


def test_accumulation_in_place_is_accumulation_out_of_place():
    model = new_model()
    x, y = batch()
    parts = list(zip(np.split(x, 3), np.split(y, 3), strict=True))
    arrays = []
    for xs, ys in parts:
        model.loss(xs, ys).backward()
        arrays.append([p.grad.data for p in model.parameters()])
    assert all(a is b for a, b in zip(arrays[0], arrays[2], strict=True))  # really in place
    in_place = gradients(model)

    names = [name for name, _ in model.named_parameters()]
    total = {name: np.zeros(p.shape) for name, p in model.named_parameters()}
    for xs, ys in parts:
        for name, g in zip(names, grad(model.loss(xs, ys), model.parameters()), strict=True):
            total[name] = total[name] + g.data
    assert_same(in_place, total)

    sum((model.loss(xs, ys) for xs, ys in parts[1:]), start=model.loss(*parts[0])).backward()
    assert_same(in_place, gradients(model))

    for xs, ys in parts:
        model.loss(xs, ys).backward(create_graph=True)  # Tensors, which are never changed
    assert_same(in_place, gradients(model))


def test_functional_gradients_are_those_of_backward():
    model = new_model()
    x, y = batch(masked=True)
    tensors = {name: p.data for name, p in model.named_parameters()}
    value, found = value_and_grad(
        lambda tensors: functional_call(model, tensors, x, y, method="loss")
    )(tensors)
    assert value.item() == model.loss(x, y).item()
    assert_same({n: g.data for n, g in found.items()}, whole_batch(model, x, y), rtol=0)


# --- recomputing ----------------------------------------------------------------------------------


def test_recomputed_is_kept_bit_for_bit_with_dropout():
    x, y = batch(masked=True)
    found = []
    for again in (False, True):
        model = new_model(dropout=0.3, recompute=again)
        optimizer = AdamW(model.named_parameters(), lr=1e-2)
        for _ in range(3):
            model.zero_grad()
            model.loss(x, y).backward()
            optimizer.step()
        found.append((gradients(model), model.state_dict(), model.rng.bit_generator.state))
    assert_same(found[1][0], found[0][0], rtol=0)
    assert_same(found[1][1], found[0][1], rtol=0)
    assert found[1][2] == found[0][2]


def test_the_whole_model_in_one_segment():
    model = new_model(dropout=0.3)
    x, y = batch()
    state = model.rng.bit_generator.state
    recompute(lambda: model.loss(x, y), rngs=(model.rng,)).backward()
    found = gradients(model)
    model.rng.bit_generator.state = state
    assert_same(found, whole_batch(model, x, y), rtol=0)


# --- fused and packed: the same GPT, written out --------------------------------------------------


def written_out(model, ids, targets, positions=None, mask=None):
    """The summed loss of ``model``, with only arithmetic, matmul, exp and indexing.

    ``mask`` (T, T) says who may look at whom: by default, each position at those before.
    """
    p, (B, T) = dict(model.named_parameters()), ids.shape
    H, D = SHAPE["n_head"], SHAPE["n_embd"] // SHAPE["n_head"]
    positions = np.arange(T) if positions is None else positions
    mask = np.tril(np.ones((T, T), bool)) if mask is None else mask

    def norm(x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / ops.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
        return x * p[name + ".weight"] + p[name + ".bias"]

    def linear(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def attention(x, name):
        w, b = p[name + ".c_attn.weight"], p[name + ".c_attn.bias"]
        C = H * D
        parts = []
        for k in range(3):  # three projections in place of one
            part = x @ w[k * C : (k + 1) * C].T + b[k * C : (k + 1) * C]
            parts.append(part.reshape(B, T, H, D).transpose(0, 2, 1, 3))  # (B, H, T, D)
        q, k, v = parts
        scores = ops.where(mask, q @ k.swapaxes(-1, -2) / math.sqrt(D), -1e30)  # (B, H, T, T)
        weights = ops.exp(scores - scores.data.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        y = (weights @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
        return linear(y, name + ".c_proj")

    def mlp(x, name):
        x = linear(x, name + ".c_fc")
        x = 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return linear(x, name + ".c_proj")

    h = p["wte.weight"][ids] + p["wpe.weight"][positions]
    for i in range(SHAPE["n_layer"]):
        h = h + attention(norm(h, f"h.{i}.ln_1"), f"h.{i}.attn")
        h = h + mlp(norm(h, f"h.{i}.ln_2"), f"h.{i}.mlp")
    logits = norm(h, "ln_f") @ p["wte.weight"].T
    logits = logits - logits.data.max(axis=-1, keepdims=True)
    log_p = logits - ops.log(ops.exp(logits).sum(axis=-1, keepdims=True))
    rows, columns = np.nonzero(targets != IGNORE)
    return -log_p[rows, columns, targets[rows, columns]].sum()


@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
def test_fused_is_written_out(kernels, masked):
    model = new_model()
    x, y = batch(masked=masked)
    expected = written_out(model, x, y)
    expected.backward()
    expected_gradients = gradients(model)
    with use_kernels(kernels):
        loss = model.loss(x, y, reduction="sum")
        loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert_same(gradients(model), expected_gradients)


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_fused_is_reference(dtype, rtol):
    model = new_model(dtype=dtype)
    x, y = batch(masked=True)
    found = []
    for kernels in ("reference", "auto"):
        with use_kernels(kernels):
            found.append(whole_batch(model, x, y))
    assert_same(found[1], found[0], rtol)


def test_packed_documents_are_separate_documents():
    # three documents in one row: each sees itself only, and its positions start at 0
    model, rng = new_model(), seeded(8)
    lengths = (5, 2, 4)
    documents = [rng.integers(0, SHAPE["vocab_size"], n + 1) for n in lengths]
    loss = 0.0
    for d in documents:
        part = model.loss(d[None, :-1], d[None, 1:], reduction="sum")
        part.backward()
        loss += part.item()
    separate = gradients(model)

    T, owner = sum(lengths), np.repeat(np.arange(3), lengths)
    ids = np.concatenate([d[:-1] for d in documents])[None]
    targets = np.concatenate([d[1:] for d in documents])[None]
    positions = np.concatenate([np.arange(n) for n in lengths])
    same_document = owner[:, None] == owner
    packed = written_out(
        model, ids, targets, positions, np.tril(np.ones((T, T), bool)) & same_document
    )
    packed.backward()
    assert packed.item() == pytest.approx(loss, rel=1e-12)
    assert_same(gradients(model), separate)

    leaking = written_out(model, ids, targets, positions)  # without the mask: something else
    leaking.backward()
    assert differ(gradients(model), separate) > 1e-3


def test_packed_projection_is_three_projections():
    rng = seeded(9)
    x = Tensor(rng.standard_normal((2, 5, 8)), requires_grad=True)
    parts = [Tensor(rng.standard_normal((8, 8)), requires_grad=True) for _ in range(3)]
    packed = Tensor(np.concatenate([w.data for w in parts]), requires_grad=True)
    g = rng.standard_normal((2, 5, 8))
    a = grad(ops.causal_attention(ops.linear(x, packed), 2), [x, packed], g)
    qkv = ops.concatenate([ops.linear(x, w) for w in parts], axis=-1)
    b = grad(ops.causal_attention(qkv, 2), [x, *parts], g)
    np.testing.assert_allclose(a[0].data, b[0].data, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        a[1].data, np.concatenate([w.data for w in b[1:]]), rtol=1e-10, atol=1e-12
    )


# --- threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["backward", "grad"])
def test_two_threads_with_half_the_batch_each_are_one(how):
    model = new_model()
    x, y = batch(masked=True)
    count = np.count_nonzero(y != IGNORE)
    names, parameters = zip(*model.named_parameters(), strict=True)
    halves = {}

    def work(k):
        part = slice(3 * k, 3 * k + 3)
        loss = model.loss(x[part], y[part], reduction="sum")
        if how == "backward":
            loss.backward(1 / count)
        else:
            halves[k] = grad(loss, parameters, 1 / count)

    together(lambda: work(0), lambda: work(1))
    if how == "backward":
        found = gradients(model)
    else:
        found = {n: a.data + b.data for n, a, b in zip(names, halves[0], halves[1], strict=True)}
    assert_same(found, whole_batch(model, x, y))


def test_two_trainings_at_once_are_two_trainings():
    def train(seed):
        model = GPT(GPTConfig(**SHAPE, dropout=0.2), seed=seed)
        optimizer, rng = AdamW(model.named_parameters(), lr=1e-2), seeded(seed)
        for _ in range(5):
            ids = rng.integers(0, SHAPE["vocab_size"], (4, 13))
            model.loss(ids[:, :-1], ids[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.state_dict()

    alone, at_once = {seed: train(seed) for seed in (1, 2)}, {}
    together(*(lambda s=s: at_once.update({s: train(s)}) for s in (1, 2)))
    for seed in (1, 2):
        assert_same(at_once[seed], alone[seed], rtol=0)


# --- the optimizer --------------------------------------------------------------------------------


def test_a_step_changes_every_parameter_that_has_a_gradient_and_no_other():
    model = new_model()
    frozen = {n for n, _ in model.named_parameters() if n.startswith("h.0.")}
    for name, p in model.named_parameters():
        if name in frozen:
            p.requires_grad = False
    optimizer = AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.1)
    model.loss(*batch()).backward()
    model.wpe.weight.zero_grad()  # one more without a gradient: decay must leave it alone, too
    before = {n: p.data.copy() for n, p in model.named_parameters()}
    seen = {n: p.grad.data.copy() for n, p in model.named_parameters() if p.grad is not None}
    assert seen.keys() == before.keys() - frozen - {"wpe.weight"}

    optimizer.step()
    for name, p in model.named_parameters():
        if name in seen:
            assert (p.data != before[name]).any(), f"{name} has a gradient and did not change"
            np.testing.assert_array_equal(p.grad.data, seen[name])
        else:
            np.testing.assert_array_equal(p.data, before[name], err_msg=name)
    optimizer.zero_grad()
    after = {n: p.data.copy() for n, p in model.named_parameters()}
    optimizer.step()  # without gradients: nothing
    assert_same({n: p.data for n, p in model.named_parameters()}, after, rtol=0)


def test_tied_weights_stay_one_array():
    model = new_model()
    x, y = batch()
    model.loss(x, y).backward()
    AdamW(model.named_parameters(), lr=1e-2).step()
    logits = model(x)
    h = model.hidden(x)
    np.testing.assert_allclose(logits.data, h.data @ model.wte.weight.data.T, rtol=1e-12)
