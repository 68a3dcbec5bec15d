"""Every loss against TRL: its own loss methods, on a small random Llama, in float64.

Loss, metrics, every parameter's gradient, and the weights after three steps of AdamW.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from transformers_models import build, exact
from trl_losses import bare, exact_backward, logged, trainers, with_statistics

from autograd import Tensor
from tinygrad_llm.finetune.advantages import advantages, reward_metrics
from tinygrad_llm.finetune.logps import (
    IGNORE,
    hidden_sft_loss,
    hidden_statistics,
    hidden_token_logps,
    lengths,
    over_tokens,
)
from tinygrad_llm.finetune.losses import (
    GRPO_LOSSES,
    dpo_loss,
    grpo_loss,
    kto_kl,
    kto_loss,
    orpo_loss,
    reward_loss,
)
from tinygrad_llm.finetune.metrics import (
    kto_metrics,
    orpo_metrics,
    pair_token_metrics,
    policy_metrics,
    preference_metrics,
    reward_model_metrics,
    sft_metrics,
)
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.pretrained.llama import layout
from tinygrad_llm.training.optim import AdamW

TRL = trainers()
torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

RNG = np.random.default_rng(0)
T, SPANS = 12, [(3, 12), (2, 9), (3, 4), (2, 12)]  # where the answers of four rows start and end
IDS = RNG.integers(3, 67, (4, T))
PADDING, ANSWER = np.ones((4, T), int), np.zeros((4, T), int)
for row, (start, stop) in enumerate(SPANS):
    PADDING[row, stop:], ANSWER[row, start:stop] = 0, 1
INPUTS, LABELS = IDS[:, :-1], np.where(ANSWER == 1, IDS, IGNORE)[:, 1:]
OTHER_IDS = RNG.integers(3, 67, (4, T))
NOISE = RNG.normal(0, 0.2, LABELS.shape)


def close(found, expected, where=""):
    """Equal to 1e-10 of the largest element."""
    found, expected = np.asarray(found), np.asarray(expected)
    error = np.abs(found - expected).max()
    assert error <= 1e-10 * max(1, np.abs(expected).max()), f"{where}: differs by {error}"


# --- the same model twice ------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For matrices this small, PyTorch's threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("policy", "reference")]
    with exact():
        for seed, folder in enumerate(folders):
            torch.manual_seed(seed)
            build("TinyLlama", seed).save_pretrained(folder)
    return folders


@pytest.fixture
def ours(directories):
    """(policy, reference)"""
    return [load_pretrained(folder, "float64")[0] for folder in directories]


@pytest.fixture
def theirs(directories):
    with exact(), exact_backward():
        yield [
            with_statistics(
                transformers.AutoModelForCausalLM.from_pretrained(
                    folder, dtype=torch.float64, attn_implementation="eager"
                )
            )
            for folder in directories
        ]


def logps(model, labels=LABELS, ids=IDS):
    return hidden_token_logps(model.hidden(ids[:, :-1]), model, labels)


def statistics(model):
    return hidden_statistics(model.hidden(INPUTS), model, LABELS)


def compare(ours, theirs, our_loss, their_loss, skip=(), steps=3):
    """``our_loss(model, reference)`` and ``their_loss()`` return a loss and its metrics."""
    model, reference = ours
    names = {  # of each parameter in the file, and here
        name: part.name for name, (part,) in layout(model.config, "llama").items()
    }
    parameters = dict(model.named_parameters())
    one = AdamW(model.named_parameters(), lr=1e-4, weight_decay=0.01)
    groups = [  # as in ours and in Hugging Face's Trainer, only matrices decay
        {"params": [p for p in theirs[0].parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in theirs[0].parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    other = torch.optim.AdamW(groups, lr=1e-4)
    for step in range(steps):
        loss, found = our_loss(model, reference)
        expected_loss, expected = their_loss()
        close(loss.item(), expected_loss.item(), "loss")
        expected = {k: v for k, v in expected.items() if k not in ("num_tokens", *skip)}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            close(found[name], value, name)
        loss.backward()
        expected_loss.backward()
        for name, p in theirs[0].named_parameters():
            close(parameters[names[name]].grad.numpy(), p.grad.numpy(), f"gradient of {name}")
        assert step or max(float(p.grad.abs().max()) for p in theirs[0].parameters()) > 1e-3
        for optimizer in (one, other):
            optimizer.step()
            optimizer.zero_grad()
    for name, p in theirs[0].named_parameters():
        close(parameters[names[name]].numpy(), p.detach().numpy(), f"{name} after {steps} steps")


def tensors(**arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


# --- SFT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked_row", [False, True])
def test_sft(ours, theirs, masked_row):
    labels = np.where((np.arange(4) == 1)[:, None] & masked_row, IGNORE, LABELS)
    whole = np.pad(labels, [(0, 0), (1, 0)], constant_values=IGNORE)

    def our_loss(model, _):
        h = model.hidden(INPUTS)
        return hidden_sft_loss(h, model, labels), sft_metrics(hidden_statistics(h, model, labels))

    trainer = bare(
        TRL.sft, theirs[0], compute_loss_func=None, label_smoother=None,
        args={"loss_type": "nll", "average_tokens_across_devices": False},
    )  # fmt: skip

    def their_loss():
        inputs = tensors(input_ids=IDS, attention_mask=PADDING, labels=whole)
        return trainer.compute_loss(theirs[0], inputs), logged(trainer)

    compare(ours, theirs, our_loss, their_loss)


def test_sft_in_micro_batches(ours, theirs):
    """Theirs divides each sum by the tokens of the step, ours weights each mean by its share."""
    model, parts, n = ours[0], (slice(0, 1), slice(1, 4)), int((LABELS != IGNORE).sum())
    labels = np.pad(LABELS, [(0, 0), (1, 0)], constant_values=IGNORE)
    trainer = bare(
        TRL.sft, theirs[0], compute_loss_func=None, label_smoother=None,
        args={"loss_type": "nll", "average_tokens_across_devices": False},
    )  # fmt: skip
    for rows in parts:
        share = (LABELS[rows] != IGNORE).sum() / n
        hidden_sft_loss(model.hidden(INPUTS[rows]), model, LABELS[rows]).backward(share)
        inputs = tensors(input_ids=IDS[rows], attention_mask=PADDING[rows], labels=labels[rows])
        trainer.compute_loss(theirs[0], inputs, num_items_in_batch=n).backward()
    g = theirs[0].model.layers[1].mlp.up_proj.weight.grad.numpy()
    close(model.layers[1].mlp.up_proj.weight.grad.numpy(), g)


# --- pairs: the first two rows are chosen, the last two rejected ---------------------------------


def their_dpo(theirs, loss_type, beta, **attributes):
    return bare(
        TRL.dpo, theirs[0], ref_model=theirs[1], loss_types=[loss_type], loss_weights=[1.0],
        beta=beta, f_divergence_type="reverse_kl", ld_alpha=None, use_weighting=False,
        precompute_ref_logps=False, **attributes,
    )  # fmt: skip


@pytest.mark.parametrize(
    "loss_type, beta",
    [("sigmoid", 0.1), ("sigmoid_norm", 0.5), ("hinge", 0.02), ("ipo", 0.3)],
)
def test_dpo(ours, theirs, loss_type, beta):
    n = lengths(LABELS)

    def our_loss(model, reference):
        policy, fixed = (over_tokens(logps(m), LABELS) for m in (model, reference))
        losses, *rewards = dpo_loss(
            policy[:2], policy[2:], fixed[:2], fixed[2:], beta, loss_type=loss_type,
            lengths=(n[:2], n[2:]),
        )  # fmt: skip
        metrics = preference_metrics(*rewards, policy[:2], policy[2:])
        return losses.mean(), metrics | pair_token_metrics(statistics(model))

    trainer = their_dpo(theirs, loss_type, beta)

    def their_loss():
        inputs = tensors(input_ids=IDS, attention_mask=PADDING, completion_mask=ANSWER)
        return trainer._compute_loss(theirs[0], inputs, False), logged(trainer)

    compare(ours, theirs, our_loss, their_loss)


def test_dpo_without_a_reference(ours, theirs):
    def our_loss(model, _):
        policy = over_tokens(logps(model), LABELS)
        losses, *rewards = dpo_loss(policy[:2], policy[2:], None, None)
        metrics = preference_metrics(*rewards, policy[:2], policy[2:])
        return losses.mean(), metrics | pair_token_metrics(statistics(model))

    trainer = their_dpo(theirs, "sigmoid", 0.1)
    trainer.precompute_ref_logps = True

    def their_loss():
        nothing = np.zeros(2)
        inputs = tensors(
            input_ids=IDS, attention_mask=PADDING, completion_mask=ANSWER,
            ref_chosen_logps=nothing, ref_rejected_logps=nothing,
        )  # fmt: skip
        return trainer._compute_loss(theirs[0], inputs, False), logged(trainer)

    compare(ours, theirs, our_loss, their_loss)


def test_dpo_with_label_smoothing(ours, theirs):
    """TRL has this form in its "aot", which is DPO if there is a single pair."""
    pair = [0, 2]

    def our_loss(model, reference):
        policy, fixed = (over_tokens(logps(m), LABELS) for m in (model, reference))
        losses, *_ = dpo_loss(policy[:1], policy[2:3], fixed[:1], fixed[2:3], 0.3, 0.2)
        return losses.mean(), {}

    trainer = their_dpo(theirs, "aot", 0.3, label_smoothing=0.2)

    def their_loss():
        inputs = tensors(
            input_ids=IDS[pair], attention_mask=PADDING[pair], completion_mask=ANSWER[pair]
        )
        return trainer._compute_loss(theirs[0], inputs, False), {}

    compare(ours, theirs, our_loss, their_loss)


def test_orpo(ours, theirs):
    everything = np.where(PADDING == 1, IDS, IGNORE)[:2, 1:]  # theirs imitates the prompts too

    def our_loss(model, _):
        policy = over_tokens(logps(model), LABELS, average=True)
        nll = hidden_sft_loss(model.hidden(INPUTS[:2]), model, everything)
        losses, *rewards = orpo_loss(policy[:2], policy[2:], 0.3, nll)
        metrics = preference_metrics(*rewards, policy[:2], policy[2:])
        return losses.mean(), metrics | orpo_metrics(policy[:2], policy[2:], nll)

    trainer = bare(TRL.orpo, theirs[0], beta=0.3, is_encoder_decoder=False, padding_value=0)

    def their_loss():
        batch = {}
        for name, rows in (("chosen", slice(0, 2)), ("rejected", slice(2, 4))):
            batch[f"{name}_input_ids"] = torch.tensor(IDS[rows])
            batch[f"{name}_attention_mask"] = torch.tensor(PADDING[rows])
            batch[f"{name}_labels"] = torch.tensor(np.where(ANSWER == 1, IDS, IGNORE)[rows])
        return trainer.get_batch_loss_metrics(theirs[0], batch)

    # its logits/... are means over prompts and padding as well
    compare(ours, theirs, our_loss, their_loss, skip=("logits/chosen", "logits/rejected"))


@pytest.mark.parametrize("desirable", [[True, False, True, True], [False] * 4])
def test_kto(ours, theirs, desirable):
    desirable, weights = np.array(desirable), (1.3, 0.7)
    mismatched = np.where(ANSWER == 1, OTHER_IDS, IGNORE)[:, 1:]

    def our_loss(model, reference):
        policy, fixed = (over_tokens(logps(m), LABELS) for m in (model, reference))
        kl = kto_kl(*(
            over_tokens(logps(m, mismatched, OTHER_IDS), mismatched).numpy()
            for m in (model, reference)
        ))  # fmt: skip
        losses, rewards = kto_loss(policy, fixed, desirable, kl, 0.2, *weights)
        found, metrics = statistics(model), kto_metrics(rewards, policy, desirable, kl)
        metrics["entropy"] = found.mean(found.entropy)
        return losses.mean(), metrics

    trainer = bare(
        TRL.kto, theirs[0], ref_model=theirs[1], beta=0.2, loss_type="kto", calculate_KL=True,
        precompute_ref_logps=False, desirable_weight=weights[0], undesirable_weight=weights[1],
    )  # fmt: skip

    def their_loss():
        inputs = tensors(
            input_ids=IDS, attention_mask=PADDING, completion_mask=ANSWER, label=desirable,
            KL_input_ids=OTHER_IDS, KL_attention_mask=PADDING, KL_completion_mask=ANSWER,
        )  # fmt: skip
        return trainer._compute_loss(theirs[0], inputs, False), logged(trainer)

    compare(ours, theirs, our_loss, their_loss, skip=("logits/chosen", "logits/rejected"))


class Scores:
    """What a reward model's outputs look like to TRL: the rewards, whatever the texts."""

    training = True

    def __init__(self, scores):
        self.outputs = SimpleNamespace(logits=scores[:, None])

    def __call__(self, **inputs):
        return self.outputs


@pytest.mark.parametrize("margin", [None, np.array([0.5, 0.0, 2.0])])
def test_reward(margin):
    chosen, rejected = (Tensor(x, requires_grad=True) for x in RNG.standard_normal((2, 3)))
    loss = reward_loss(chosen, rejected, margin, center=0.01).mean()
    loss.backward()
    with exact():
        scores = torch.tensor(
            np.concatenate([chosen.numpy(), rejected.numpy()]), requires_grad=True
        )
        trainer = bare(TRL.reward, Scores(scores), args={"center_rewards_coefficient": 0.01})
        inputs = tensors(attention_mask=np.ones((6, 2)))
        if margin is not None:
            inputs["margin"] = torch.tensor(margin)
        expected = trainer.compute_loss(trainer.model, inputs)
        expected.backward()
    close(loss.item(), expected.item())
    close(np.concatenate([chosen.grad.numpy(), rejected.grad.numpy()]), scores.grad.numpy())
    metrics = logged(trainer)
    del metrics["num_tokens"]
    found = reward_model_metrics(chosen, rejected)
    assert found.keys() == metrics.keys()
    for name, value in metrics.items():
        close(found[name], value, name)


# --- GRPO ----------------------------------------------------------------------------------------

N_PROMPT = 3  # tokens of each prompt
MASK = np.arange(T - N_PROMPT) < np.array([9, 4, 1, 6])[:, None]
REWARDS = np.array([1.0, 0.25, 0.0, 2.0])


@pytest.mark.parametrize(
    "loss_type, on_policy, beta, bias_correction, epsilon_high, too_long",
    [
        ("grpo", True, 0.0, True, 0.2, False),
        *((loss_type, False, 0.3, True, 0.28, False) for loss_type in GRPO_LOSSES),
        *((loss_type, False, 0.3, False, 0.2, True) for loss_type in GRPO_LOSSES),
    ],
)
def test_grpo(ours, theirs, loss_type, on_policy, beta, bias_correction, epsilon_high, too_long):
    mask = MASK.copy()
    if too_long:
        mask[0] = False
    labels = np.pad(np.where(mask, IDS[:, N_PROMPT:], IGNORE), [(0, 0), (N_PROMPT - 1, 0)],
                    constant_values=IGNORE)  # fmt: skip
    a = advantages(REWARDS, 2)
    n_tokens = 3 * mask.sum()  # of two more micro-batches
    old, fixed = (
        logps(m, labels).numpy()[:, N_PROMPT - 1 :] + noise
        for m, noise in zip(ours, (NOISE[:, N_PROMPT - 1 :], 0), strict=True)
    )
    old = None if on_policy else old
    options = dict(epsilon=0.2, epsilon_high=epsilon_high, beta=beta)
    options["use_bias_correction_kl"] = bias_correction

    def our_loss(model, _):
        new = logps(model, labels)[:, N_PROMPT - 1 :]
        loss = grpo_loss(
            new, old, fixed, a, mask, **options, loss_type=loss_type, n_tokens=n_tokens,
            max_length=20,
        )  # fmt: skip
        found = hidden_statistics(model.hidden(INPUTS), model, labels)
        metrics = policy_metrics(new, old, fixed, a, mask, **options)
        return loss, metrics | {"entropy": found.mean(found.entropy)}

    trainer = bare(
        TRL.grpo, theirs[0], loss_type=loss_type, beta=beta, epsilon_low=0.2,
        epsilon_high=epsilon_high, importance_sampling_level="token", top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, use_vllm=False, max_completion_length=20,
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False,
        args={
            "use_bias_correction_kl": bias_correction, "delta": None, "steps_per_generation": 1,
            "report_to": [],
        },
    )  # fmt: skip

    def their_loss():
        inputs = tensors(
            prompt_ids=IDS[:, :N_PROMPT], prompt_mask=np.ones((4, N_PROMPT), int),
            completion_ids=IDS[:, N_PROMPT:], completion_mask=mask.astype(int), advantages=a,
            ref_per_token_logps=fixed, num_items_in_batch=n_tokens,
        )  # fmt: skip
        inputs["old_per_token_logps"] = None if on_policy else torch.tensor(old)
        return trainer._compute_loss(theirs[0], inputs), logged(trainer)

    compare(ours, theirs, our_loss, their_loss)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages(scale):
    """TRL computes them where it generates; its function for the deviation is separate."""
    from trl.trainer.utils import nanstd

    rewards = RNG.standard_normal(12)
    rewards[4:8] = 0.1  # a group without spread
    theirs = torch.tensor(rewards)
    with exact():
        whole, by_group = nanstd(theirs), nanstd(theirs.view(3, 4), dim=1)
    std = whole if scale == "batch" else by_group.repeat_interleave(4)
    expected = theirs - theirs.view(3, 4).mean(dim=1).repeat_interleave(4)
    if scale != "none":
        expected = expected / (std + 1e-4)
    found = advantages(rewards, 4, scale)
    close(found, expected.numpy())
    assert not found[4:8].any()
    metrics = reward_metrics(rewards, 4, scale)
    close(metrics["reward"], theirs.mean().item())
    close(metrics["reward_std"], whole.item())
    is_zero = torch.isclose(std, torch.zeros_like(std)).double().mean().item()
    assert metrics["frac_reward_zero_std"] == is_zero == (0 if scale == "batch" else 1 / 3)
