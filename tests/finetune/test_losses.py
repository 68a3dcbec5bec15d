"""The losses of fine-tuning: their values, and the closed forms of their gradients.

The closed forms are those of docs/finetuning.md.
"""

import math

import numpy as np
import pytest

from autograd import Tensor, check_grad
from tinygrad_llm.finetune.logps import over_tokens
from tinygrad_llm.finetune.losses import (
    DPO_LOSSES,
    dpo_loss,
    grpo_loss,
    kto_loss,
    log_odds,
    orpo_loss,
    reward_loss,
    sequence_logps,
    sft_loss,
    token_logps,
)

B, T, V = 3, 5, 7
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((B, T, V))
LABELS = RNG.integers(0, V, (B, T))
LABELS[0, :2] = LABELS[0, 4] = -100  # a prompt, and padding
LABELS[2] = -100  # a row without labels
COUNTS = LABELS != -100


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


P = softmax(LOGITS)
ONE_HOT = np.eye(V)[np.where(COUNTS, LABELS, 0)] * COUNTS[..., None]
LOGPS = (np.log(P) * ONE_HOT).sum(axis=-1)


def parameter(x):
    return Tensor(np.array(x), requires_grad=True)


def gradients(loss, *inputs):
    loss.sum().backward()
    return [x.grad.numpy() for x in inputs]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


# --- log-probabilities and imitation --------------------------------------------------------------


def test_log_probabilities_of_tokens_and_sequences():
    close(token_logps(Tensor(LOGITS), LABELS).numpy(), LOGPS)
    close(sequence_logps(Tensor(LOGITS), LABELS).numpy(), LOGPS.sum(axis=1))
    means = sequence_logps(Tensor(LOGITS), LABELS, average=True).numpy()
    close(means, LOGPS.sum(axis=1) / [2, 5, 1])
    assert means[2] == 0


def test_gradient_of_a_sequence():
    """Each counted token: its one-hot row minus the prediction; nothing anywhere else."""
    logits, g = parameter(LOGITS), np.array([2.0, -3.0, 5.0])
    (found,) = gradients(sequence_logps(logits, LABELS) * g, logits)
    close(found, g[:, None, None] * (ONE_HOT - P * COUNTS[..., None]))
    assert not found[~COUNTS].any()


def test_sft_is_the_mean_over_all_tokens():
    logits = parameter(LOGITS)
    loss = sft_loss(logits, LABELS)
    close(loss.item(), -LOGPS.sum() / 7)
    (found,) = gradients(loss, logits)
    close(found, (P * COUNTS[..., None] - ONE_HOT) / 7)


def test_sft_of_nothing_is_zero():
    logits = parameter(LOGITS)
    loss = sft_loss(logits, np.full((B, T), -100))
    assert loss.item() == 0
    assert not gradients(loss, logits)[0].any()


def test_micro_batches_weighted_by_their_tokens_are_one_batch():
    whole, parts = parameter(LOGITS), parameter(LOGITS)
    sft_loss(whole, LABELS).backward()
    for rows in (slice(0, 1), slice(1, 3)):
        share = COUNTS[rows].sum() / COUNTS.sum()
        sft_loss(parts[rows], LABELS[rows]).backward(share)
    close(parts.grad.numpy(), whole.grad.numpy())


# --- preferences ----------------------------------------------------------------------------------

PAIRS = [np.array([-3.0, -11.0, -2.5, -8.0]), np.array([-4.0, -9.0, -2.0, -30.0])]
REFERENCES = [np.array([-3.5, -10.0, -2.0, -9.0]), np.array([-3.0, -9.5, -2.5, -12.0])]
Z = (PAIRS[0] - REFERENCES[0]) - (PAIRS[1] - REFERENCES[1])
LENGTHS = [np.array([2, 5, 1, 4]), np.array([3, 4, 2, 9])]
Z_MEAN = (PAIRS[0] - REFERENCES[0]) / LENGTHS[0] - (PAIRS[1] - REFERENCES[1]) / LENGTHS[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dpo_starts_at_ln_2_exactly(dtype):
    logps = [x.astype(dtype) for x in PAIRS]
    losses, chosen, rejected = dpo_loss(*logps, *logps)
    assert losses.dtype == dtype
    assert (losses.numpy() == np.asarray(math.log(2), dtype)).all()
    assert not chosen.numpy().any() and not rejected.numpy().any()


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_of_dpo(beta, smoothing):
    c, r = map(parameter, PAIRS)
    losses, chosen, rejected = dpo_loss(c, r, *REFERENCES, beta, smoothing)
    expected = -(1 - smoothing) * np.log(sigmoid(beta * Z)) - smoothing * np.log(sigmoid(-beta * Z))
    close(losses.numpy(), expected)
    close(chosen.numpy() - rejected.numpy(), beta * Z)
    g_c, g_r = gradients(losses, c, r)
    close(g_c, -beta * (sigmoid(-beta * Z) - smoothing))
    close(g_r, -g_c)


def test_gradient_of_dpo_at_the_logits():
    """The error of the implicit reward, times the push on each token of the answers."""
    beta, chosen, rejected = 0.3, parameter(LOGITS), parameter(LOGITS[::-1])
    labels = LABELS[::-1]
    references = np.zeros(B), np.ones(B)
    losses, _, _ = dpo_loss(
        sequence_logps(chosen, LABELS), sequence_logps(rejected, labels), *references, beta
    )
    g_chosen, g_rejected = gradients(losses, chosen, rejected)
    z = LOGPS.sum(axis=1) - LOGPS[::-1].sum(axis=1) + 1
    push = ONE_HOT - P * COUNTS[..., None]
    close(g_chosen, -(beta * sigmoid(-beta * z))[:, None, None] * push)
    close(g_rejected, +(beta * sigmoid(-beta * z))[:, None, None] * push[::-1])


def test_gradient_of_the_hinge():
    c, r = map(parameter, PAIRS)
    losses, _, _ = dpo_loss(c, r, *REFERENCES, beta=0.5, loss_type="hinge")
    close(losses.numpy(), np.maximum(0, 1 - 0.5 * Z))
    assert 0 < np.count_nonzero(losses.numpy()) < len(Z)
    g_c, g_r = gradients(losses, c, r)
    close(g_c, -0.5 * (0.5 * Z < 1))
    close(g_r, -g_c)


@pytest.mark.parametrize("loss_type", ["ipo", "ipo_sum"])
def test_gradient_of_ipo_summed_and_per_token(loss_type):
    c, r = map(parameter, PAIRS)
    losses, chosen, _ = dpo_loss(c, r, *REFERENCES, beta=0.4, loss_type=loss_type, lengths=LENGTHS)
    z, n_c, n_r = (Z_MEAN, *LENGTHS) if loss_type == "ipo" else (Z, 1, 1)
    close(losses.numpy(), (z - 1.25) ** 2)
    close(chosen.numpy(), 0.4 * (PAIRS[0] - REFERENCES[0]))  # the rewards stay sums
    g_c, g_r = gradients(losses, c, r)
    close(g_c, 2 * (z - 1.25) / n_c)
    close(g_r, -2 * (z - 1.25) / n_r)


def test_sigmoid_norm_takes_lengths_or_averages():
    losses, chosen, _ = dpo_loss(*PAIRS, *REFERENCES, loss_type="sigmoid_norm", lengths=LENGTHS)
    close(losses.numpy(), -np.log(sigmoid(0.1 * Z_MEAN)))
    close(chosen.numpy(), 0.1 * (PAIRS[0] - REFERENCES[0]))
    averages = [x / n for x, n in zip(PAIRS + REFERENCES, LENGTHS * 2, strict=True)]
    same, mean_reward, _ = dpo_loss(*averages, loss_type="sigmoid_norm")
    close(same.numpy(), losses.numpy())
    close(mean_reward.numpy(), chosen.numpy() / LENGTHS[0])


def test_without_a_reference_it_counts_as_zero():
    for loss_type in DPO_LOSSES:
        free = dpo_loss(*PAIRS, None, None, loss_type=loss_type)
        zero = dpo_loss(*PAIRS, np.zeros(4), np.zeros(4), loss_type=loss_type)
        for one, other in zip(free, zero, strict=True):
            close(one.numpy(), other.numpy())


def test_the_reference_gets_no_gradient():
    for loss in (
        lambda p, r: dpo_loss(p, p * 0.5, r, r * 2)[0],
        lambda p, r: kto_loss(p, r, [True, False, True, True], 0.1)[0],
        lambda p, r: grpo_loss(p[None], r[None], r[None], [1.0], np.ones((1, 4)), beta=0.1),
    ):
        policy, reference = map(parameter, PAIRS)
        loss(policy, reference).sum().backward()
        assert policy.grad.numpy().any() and reference.grad is None


def test_log_odds():
    logp = np.log([0.5, 0.9, 1e-8])
    close(log_odds(Tensor(logp)).numpy(), np.log([1, 9, 1 / (1e8 - 1)]))
    assert np.isfinite(log_odds(Tensor(np.array([0.0, -1e4]))).numpy()).all()


def test_gradient_of_orpo():
    beta, c, r = 0.3, parameter(PAIRS[0] / 9), parameter(PAIRS[1] / 9)
    p_c, p_r = np.exp(c.numpy()), np.exp(r.numpy())
    odds = p_c / (1 - p_c) * (1 - p_r) / p_r
    losses, chosen, _ = orpo_loss(c, r, beta)
    close(losses.numpy(), -c.numpy() - beta * np.log(sigmoid(np.log(odds))))
    close(chosen.numpy(), beta * c.numpy())
    g_c, g_r = gradients(losses, c, r)
    close(g_c, -1 - beta / (1 + odds) / (1 - p_c))
    close(g_r, beta / (1 + odds) / (1 - p_r))


def test_orpo_with_an_nll_of_its_own():
    c, r, nll = parameter(PAIRS[0]), parameter(PAIRS[1]), parameter(3.0)
    losses, _, _ = orpo_loss(c, r, 0.1, nll)
    close(losses.numpy() - 3, orpo_loss(c, r, 0.1)[0].numpy() + PAIRS[0])
    losses.mean().backward()
    close(nll.grad.numpy(), 1.0)


def test_gradient_of_kto():
    desirable = np.array([True, False, False, True])
    beta, kl, weight = 0.4, 0.7, np.where(desirable, 1.5, 0.5)
    policy = parameter(PAIRS[0])
    losses, rewards = kto_loss(policy, REFERENCES[0], desirable, kl, beta, 1.5, 0.5)
    ratio = PAIRS[0] - REFERENCES[0]
    sign = np.where(desirable, 1, -1)
    u = beta * sign * (ratio - kl)
    close(losses.numpy(), weight * (1 - sigmoid(u)))
    close(rewards.numpy(), beta * ratio)
    (found,) = gradients(losses, policy)
    close(found, -weight * beta * sign * sigmoid(u) * sigmoid(-u))


def test_gradient_of_the_reward_loss():
    c, r, margin = parameter(PAIRS[0]), parameter(PAIRS[1]), np.array([0.0, 1.0, 0.5, 2.0])
    d = PAIRS[0] - PAIRS[1] - margin
    losses = reward_loss(c, r, margin, center=0.01)
    close(losses.numpy(), np.log1p(np.exp(-d)) + 0.01 * (PAIRS[0] + PAIRS[1]) ** 2)
    g_c, g_r = gradients(losses, c, r)
    close(g_c, -sigmoid(-d) + 0.02 * (PAIRS[0] + PAIRS[1]))
    close(g_r, +sigmoid(-d) + 0.02 * (PAIRS[0] + PAIRS[1]))


# --- policies -------------------------------------------------------------------------------------

NEW, OLD, REFERENCE = (RNG.normal(-1.5, 0.3, (4, 6)) for _ in range(3))
MASK = np.arange(6) < np.array([6, 3, 0, 5])[:, None]
A = np.array([1.2, -0.7, 0.4, -0.9])
RATIO = np.exp(NEW - OLD)
SCALE = {  # what one token's loss is multiplied by
    "grpo": 1 / np.array([6, 3, 1, 5])[:, None] / 4,
    "dapo": 1 / 14,
    "dr_grpo": 1 / (4 * 6),
}


@pytest.mark.parametrize("loss_type", SCALE)
@pytest.mark.parametrize("high", [None, 0.28])
@pytest.mark.parametrize("beta, times_ratio", [(0.0, True), (0.3, True), (0.3, False)])
def test_gradient_of_grpo(loss_type, high, beta, times_ratio):
    new = parameter(NEW)
    loss = grpo_loss(
        new, OLD, REFERENCE, A, MASK, 0.2, high, beta, loss_type, use_bias_correction_kl=times_ratio
    )
    a, top = A[:, None], 1.2 if high is None else 1.28
    d = REFERENCE - NEW
    kl = (np.exp(d) - d - 1) * (RATIO if times_ratio else 1)
    clip = np.minimum(RATIO * a, np.clip(RATIO, 0.8, top) * a)
    close(loss.item(), ((-clip + beta * kl) * MASK * SCALE[loss_type]).sum())
    (found,) = gradients(loss, new)
    free = np.where(a > 0, RATIO < top, RATIO > 0.8)
    assert 0 < np.count_nonzero(free & MASK) < np.count_nonzero(MASK)  # some are clipped
    g_kl = -RATIO * d if times_ratio else 1 - np.exp(d)
    close(found, (-RATIO * a * free + beta * g_kl) * MASK * SCALE[loss_type])


def test_on_policy_grpo_is_zero_and_its_gradient_is_the_policy_gradient():
    """Advantages average to 0 over a group: the loss is 0, and yet there is something to learn."""
    a = np.array([1.5, -0.5, -0.5, -0.5])
    mask = np.arange(6) < np.array([6, 3, 4, 5])[:, None]
    lengths = mask.sum(axis=1, keepdims=True)
    for loss_type in SCALE:
        new = parameter(NEW)
        loss = grpo_loss(new, None, None, a, mask, loss_type=loss_type)
        scale = {"grpo": 1 / lengths / 4, "dapo": 1 / 18, "dr_grpo": 1 / 24}[loss_type]
        close(gradients(loss, new)[0], -a[:, None] * mask * scale)
        if loss_type == "grpo":
            assert abs(loss.item()) < 1e-15
        else:
            assert abs(loss.item()) > 0.05


def test_what_the_mask_leaves_out_has_no_effect():
    new, old, reference = (np.where(MASK, x, bad) for x, bad in zip(
        (NEW, OLD, REFERENCE), (np.nan, np.inf, -np.inf), strict=True
    ))  # fmt: skip
    for loss_type in SCALE:
        clean, dirty = parameter(NEW), parameter(new)
        one = grpo_loss(clean, OLD, REFERENCE, A, MASK, beta=0.1, loss_type=loss_type)
        other = grpo_loss(dirty, old, reference, A, MASK, beta=0.1, loss_type=loss_type)
        assert one.item() == other.item()
        np.testing.assert_array_equal(*gradients(one, clean), *gradients(other, dirty))


def test_a_batch_without_tokens_has_no_loss():
    for loss_type in SCALE:
        new = parameter(NEW)
        loss = grpo_loss(new, OLD, None, A, np.zeros((4, 6)), loss_type=loss_type)
        assert loss.item() == 0 and not gradients(loss, new)[0].any()


@pytest.mark.parametrize("loss_type", SCALE)
def test_micro_batches_of_grpo_are_one_batch(loss_type):
    whole, parts = parameter(NEW), parameter(NEW)
    grpo_loss(whole, OLD, REFERENCE, A, MASK, beta=0.1, loss_type=loss_type).backward()
    for rows in (slice(0, 1), slice(1, 4)):
        loss = grpo_loss(
            parts[rows], OLD[rows], REFERENCE[rows], A[rows], MASK[rows], beta=0.1,
            loss_type=loss_type,
        )  # fmt: skip
        terms = MASK.sum(axis=1) if loss_type == "dapo" else np.ones(4)
        loss.backward(terms[rows].sum() / terms.sum())
    close(parts.grad.numpy(), whole.grad.numpy())


def test_the_denominators_of_dapo_and_dr_grpo_can_be_passed():
    for loss_type, option, default in (("dapo", "n_tokens", 14), ("dr_grpo", "max_length", 6)):
        one = grpo_loss(NEW, OLD, None, A, MASK, loss_type=loss_type).item()
        other = grpo_loss(NEW, OLD, None, A, MASK, loss_type=loss_type, **{option: 3 * default})
        close(other.item(), one / 3)


# --- every gradient, measured ---------------------------------------------------------------------

SMOOTH = {
    "sequence_logps": (lambda x: sequence_logps(x, LABELS, average=True), LOGITS),
    "sft": (lambda x: sft_loss(x, LABELS), LOGITS),
    **{
        f"dpo, {name}": (
            lambda c, r, n=name: dpo_loss(c, r, *REFERENCES, 0.5, loss_type=n, lengths=LENGTHS)[0],
            *PAIRS,
        )
        for name in DPO_LOSSES
    },
    "dpo, smoothed": (lambda c, r: dpo_loss(c, r, *REFERENCES, 0.5, 0.1)[0], *PAIRS),
    "orpo": (lambda c, r: orpo_loss(c, r)[0], PAIRS[0] / 9, PAIRS[1] / 9),
    "kto": (lambda p: kto_loss(p, REFERENCES[0], [True, False, True, False], 0.3)[0], PAIRS[0]),
    "reward": (lambda c, r: reward_loss(c, r, center=0.1), *PAIRS),
    **{
        f"grpo, {name}": (
            lambda x, n=name: grpo_loss(x, OLD, REFERENCE, A, MASK, beta=0.2, loss_type=n), NEW
        )
        for name in SCALE
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_check_grad(name):
    f, *inputs = SMOOTH[name]
    check_grad(f, *inputs)


def test_check_grad_from_logits_to_dpo():
    def loss(chosen, rejected):
        pairs = (over_tokens(token_logps(x, LABELS), LABELS) for x in (chosen, rejected))
        return dpo_loss(*pairs, np.zeros(B), np.zeros(B), 0.5)[0]

    check_grad(loss, LOGITS, LOGITS[::-1].copy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_have_the_type_of_the_policy(dtype):
    """References in float64, as they may come from a file, do not widen anything."""
    c, r, new = (Tensor(x.astype(dtype)) for x in (*PAIRS, NEW))
    losses = [
        *dpo_loss(c, r, *REFERENCES),
        *dpo_loss(c, r, *REFERENCES, loss_type="ipo", lengths=LENGTHS),
        *orpo_loss(c, r),
        *kto_loss(c, REFERENCES[0], [True] * 4, np.float64(0.3)),
        reward_loss(c, r, np.ones(4), 0.1),
        *(grpo_loss(new, OLD, REFERENCE, A, MASK, beta=0.1, loss_type=n) for n in SCALE),
        grpo_loss(new, OLD, None, A, MASK, n_tokens=np.int64(30)),
    ]
    assert {loss.dtype.name for loss in losses} == {dtype}


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: dpo_loss(*PAIRS, *REFERENCES, loss_type="ppo"), "loss_type is 'ppo', expected"),
        (lambda: dpo_loss(*PAIRS, *REFERENCES, beta=0), "beta is 0, but must be greater than 0"),
        (lambda: dpo_loss(*PAIRS, *REFERENCES, 0.1, 0.6), "label_smoothing is 0.6, but must be"),
        (
            lambda: dpo_loss(*PAIRS, *REFERENCES, 0.1, 0.1, "hinge"),
            "label_smoothing works with sigmoid and sigmoid_norm, not hinge",
        ),
        (
            lambda: dpo_loss(*PAIRS, REFERENCES[0][:3], REFERENCES[1]),
            r"reference_chosen has shape \(3,\), expected \(4,\)",
        ),
        (lambda: orpo_loss(PAIRS[0], PAIRS[1][:3]), r"chosen has shape \(4,\) and rejected \(3,\)"),
        (
            lambda: kto_loss(PAIRS[0], None, [True], 0.0),
            r"desirable has shape \(1,\), expected \(4,\)",
        ),
        (
            lambda: grpo_loss(NEW, OLD, None, A, MASK[:, :3]),
            r"logps have shape \(4, 6\) and mask \(4, 3\), expected \(B, T\) for both",
        ),
        (lambda: grpo_loss(NEW, OLD, None, A[:3], MASK), r"advantages have shape \(3,\), expected"),
        (
            lambda: grpo_loss(NEW, OLD, None, A, MASK, beta=0.1),
            "beta is not 0, so reference_logps are needed",
        ),
        (lambda: grpo_loss(NEW, OLD, None, A, MASK, loss_type="ppo"), "loss_type is 'ppo'"),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
