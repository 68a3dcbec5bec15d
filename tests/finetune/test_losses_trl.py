"""Every loss against TRL: its own loss methods, on a small random Llama, in float64.

Loss, metrics, every parameter's gradient, and the weights after three steps of AdamW.
"""

import numpy as np
import pytest
from transformers_models import build, exact
from trl_losses import bare, exact_backward, logged, trainers, with_statistics

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
from tinygrad_llm.finetune.reward import LABELS as LABELS_OF_REWARDS
from tinygrad_llm.model.classifier import Classifier
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


def statistics(model, ids, labels):
    return hidden_statistics(model.hidden(ids[:, :-1]), model, labels)


WHOLE = [[0, 1, 2, 3]]
parts = pytest.mark.parametrize("parts", [WHOLE, [[0, 2], [1, 3]]], ids=["whole", "micro-batches"])
"""The rows of each micro-batch. Of pairs, the first half of the rows is chosen."""
masked = pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
"""Whether nothing counts in row 1."""


def without_row(answer, masked):
    return np.where((np.arange(4) == 1)[:, None] & masked, 0, answer)


def labels_of(answer, ids=IDS):
    """Shifted labels (4, T - 1) where ``answer`` (4, T) is 1."""
    return np.where(answer == 1, ids, IGNORE)[:, 1:]


def compare(ours, theirs, our_loss, their_loss, parts=WHOLE, shares=None, skip=(), steps=3):
    """``our_loss(model, reference, rows)`` and ``their_loss(rows)`` return a loss and its metrics.

    ``shares`` are what each of our losses counts, and of theirs, in the loss of the step.
    """
    model, reference = ours
    body = getattr(model, "body", model)
    prefix = "" if body is model else "body."
    names = {  # of each parameter in the file, and here
        name: prefix + part.name for name, (part,) in layout(body.config, "llama").items()
    }
    names["score.weight"] = "score.weight"  # of a reward model
    parameters = dict(model.named_parameters())
    one = AdamW(model.named_parameters(), lr=1e-4, weight_decay=0.01)
    groups = [  # as in ours and in Hugging Face's Trainer, only matrices decay
        {"params": [p for p in theirs[0].parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in theirs[0].parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    other = torch.optim.AdamW(groups, lr=1e-4)
    shares = shares or [(1 / len(parts), 1 / len(parts))] * len(parts)
    for step in range(steps):
        for rows, (our_share, their_share) in zip(parts, shares, strict=True):
            loss, found = our_loss(model, reference, rows)
            expected_loss, expected = their_loss(rows)
            close(our_share * loss.item(), their_share * expected_loss.item(), "loss")
            expected = {k: v for k, v in expected.items() if k not in ("num_tokens", *skip)}
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                close(found[name], value, name)
            loss.backward(our_share)
            (their_share * expected_loss).backward()
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


@pytest.mark.parametrize("parts", [WHOLE, [[1], [0, 2, 3]]], ids=["whole", "micro-batches"])
@masked
def test_sft(ours, theirs, parts, masked):
    """Theirs divides each sum by the tokens of the step, ours weights each mean by its share."""
    answer = without_row(ANSWER, masked)
    labels, whole = labels_of(answer), np.where(answer == 1, IDS, IGNORE)
    n = int((labels != IGNORE).sum())
    shares = [((labels[rows] != IGNORE).sum() / n, 1) for rows in parts]

    def our_loss(model, _, rows):
        h = model.hidden(INPUTS[rows])
        metrics = sft_metrics(hidden_statistics(h, model, labels[rows]))
        return hidden_sft_loss(h, model, labels[rows]), metrics

    trainer = bare(
        TRL.sft, theirs[0], compute_loss_func=None, label_smoother=None,
        args={"loss_type": "nll", "average_tokens_across_devices": False},
    )  # fmt: skip

    def their_loss(rows):
        inputs = tensors(input_ids=IDS[rows], attention_mask=PADDING[rows], labels=whole[rows])
        n_step = None if parts is WHOLE else n
        loss = trainer.compute_loss(theirs[0], inputs, num_items_in_batch=n_step)
        return loss, logged(trainer)

    compare(ours, theirs, our_loss, their_loss, parts, shares)


# --- pairs: the first two rows are chosen, the last two rejected ---------------------------------


def their_dpo(theirs, loss_type, beta, answer, **attributes):
    """TRL's DPO, as a function of the rows."""
    trainer = bare(
        TRL.dpo, theirs[0], ref_model=theirs[1], loss_types=[loss_type], loss_weights=[1.0],
        beta=beta, f_divergence_type="reverse_kl", ld_alpha=None, use_weighting=False,
        **{"precompute_ref_logps": False, **attributes},
    )  # fmt: skip

    def their_loss(rows):
        inputs = tensors(
            input_ids=IDS[rows], attention_mask=PADDING[rows], completion_mask=answer[rows]
        )
        if trainer.precompute_ref_logps:  # of a reference that finds all answers equally likely
            nothing = torch.zeros(len(rows) // 2, dtype=torch.float64)
            inputs |= {"ref_chosen_logps": nothing, "ref_rejected_logps": nothing}
        return trainer._compute_loss(theirs[0], inputs, False), logged(trainer)

    return their_loss


def our_dpo(answer, *options, with_reference=True, **more):
    """Ours, of the same rows."""
    labels = labels_of(answer)

    def our_loss(model, reference, rows):
        half, n = len(rows) // 2, lengths(labels[rows])
        policy, fixed = (
            over_tokens(logps(m, labels[rows], IDS[rows]), labels[rows]) for m in (model, reference)
        )
        references = (fixed[:half], fixed[half:]) if with_reference else (None, None)
        losses, *rewards = dpo_loss(
            policy[:half], policy[half:], *references, *options, lengths=(n[:half], n[half:]),
            **more,
        )  # fmt: skip
        metrics = preference_metrics(*rewards, policy[:half], policy[half:])
        return losses.mean(), metrics | pair_token_metrics(
            statistics(model, IDS[rows], labels[rows])
        )

    return our_loss


@parts
@masked
@pytest.mark.parametrize(
    "loss_type, beta",
    [("sigmoid", 0.1), ("sigmoid_norm", 0.5), ("hinge", 0.02), ("ipo", 0.3)],
)
def test_dpo(ours, theirs, loss_type, beta, parts, masked):
    answer = without_row(ANSWER, masked)
    one, other = (
        our_dpo(answer, beta, loss_type=loss_type),
        their_dpo(theirs, loss_type, beta, answer),
    )
    compare(ours, theirs, one, other, parts)


@parts
def test_dpo_without_a_reference(ours, theirs, parts):
    one = our_dpo(ANSWER, with_reference=False)
    other = their_dpo(theirs, "sigmoid", 0.1, ANSWER, precompute_ref_logps=True)
    compare(ours, theirs, one, other, parts)


@masked
def test_dpo_with_label_smoothing(ours, theirs, masked):
    """TRL has this form in its "aot", which is DPO if there is a single pair in a batch."""
    answer = without_row(ANSWER, masked)
    one = our_dpo(answer, 0.3, 0.2)
    other = their_dpo(theirs, "aot", 0.3, answer, label_smoothing=0.2)
    compare(ours, theirs, one, other, [[0, 2], [1, 3]])


@parts
def test_orpo(ours, theirs, parts):
    """Of a row in which nothing counts, theirs is NaN."""
    everything = labels_of(PADDING)  # theirs imitates the prompts too

    def our_loss(model, _, rows):
        half, labels = len(rows) // 2, LABELS[rows]
        policy = over_tokens(logps(model, labels, IDS[rows]), labels, average=True)
        imitated = everything[rows[:half]]
        nll = hidden_sft_loss(model.hidden(INPUTS[rows[:half]]), model, imitated)
        losses, *rewards = orpo_loss(policy[:half], policy[half:], 0.3, nll)
        metrics = preference_metrics(*rewards, policy[:half], policy[half:])
        return losses.mean(), metrics | orpo_metrics(policy[:half], policy[half:], nll)

    trainer = bare(TRL.orpo, theirs[0], beta=0.3, is_encoder_decoder=False, padding_value=0)

    def their_loss(rows):
        batch, half = {}, len(rows) // 2
        for name, side in (("chosen", rows[:half]), ("rejected", rows[half:])):
            batch[f"{name}_input_ids"] = torch.tensor(IDS[side])
            batch[f"{name}_attention_mask"] = torch.tensor(PADDING[side])
            batch[f"{name}_labels"] = torch.tensor(np.where(ANSWER == 1, IDS, IGNORE)[side])
        return trainer.get_batch_loss_metrics(theirs[0], batch)

    # its logits/... are means over prompts and padding as well
    skip = ("logits/chosen", "logits/rejected")
    compare(ours, theirs, our_loss, their_loss, parts, skip=skip)


@parts
@masked
@pytest.mark.parametrize("desirable", [[True, False, True, True], [False] * 4])
def test_kto(ours, theirs, desirable, parts, masked):
    """Answers that are liked or not, each with an answer to another prompt."""
    desirable, weights, answer = np.array(desirable), (1.3, 0.7), without_row(ANSWER, masked)
    labels, mismatched = labels_of(answer), labels_of(ANSWER, OTHER_IDS)

    def our_loss(model, reference, rows):
        policy, fixed = (
            over_tokens(logps(m, labels[rows], IDS[rows]), labels[rows]) for m in (model, reference)
        )
        kl = kto_kl(*(
            over_tokens(logps(m, mismatched[rows], OTHER_IDS[rows]), mismatched[rows]).numpy()
            for m in (model, reference)
        ))  # fmt: skip
        losses, rewards = kto_loss(policy, fixed, desirable[rows], kl, 0.2, *weights)
        found = statistics(model, IDS[rows], labels[rows])
        metrics = kto_metrics(rewards, policy, desirable[rows], kl)
        return losses.mean(), metrics | {"entropy": found.mean(found.entropy)}

    trainer = bare(
        TRL.kto, theirs[0], ref_model=theirs[1], beta=0.2, loss_type="kto", calculate_KL=True,
        precompute_ref_logps=False, desirable_weight=weights[0], undesirable_weight=weights[1],
    )  # fmt: skip

    def their_loss(rows):
        trainer._metrics.clear()
        inputs = tensors(
            input_ids=IDS[rows], attention_mask=PADDING[rows], completion_mask=answer[rows],
            label=desirable[rows], KL_input_ids=OTHER_IDS[rows], KL_attention_mask=PADDING[rows],
            KL_completion_mask=ANSWER[rows],
        )  # fmt: skip
        return trainer._compute_loss(theirs[0], inputs, False), logged(trainer)

    skip = ("logits/chosen", "logits/rejected")
    compare(ours, theirs, our_loss, their_loss, parts, skip=skip)


# --- a reward model ------------------------------------------------------------------------------


@pytest.fixture
def scorers(directories, tmp_path):
    """(ours, theirs): the policy with a head of one class in place of its output layer."""
    config = transformers.AutoConfig.from_pretrained(directories[0], num_labels=1, pad_token_id=0)
    with exact():
        torch.manual_seed(2)
        other = transformers.AutoModelForSequenceClassification.from_pretrained(
            directories[0], config=config, dtype=torch.float64, attn_implementation="eager"
        )
        model = Classifier(load_pretrained(directories[0], "float64")[0], LABELS_OF_REWARDS)
        model.score.astype(np.float64)
        model.score.weight.assign_(other.score.weight.detach().numpy())
        yield model.train(), other.train()


@parts
@pytest.mark.parametrize("margin", [None, np.array([0.5, 2.0])], ids=["", "margin"])
def test_reward(scorers, parts, margin):
    n_tokens, ids = PADDING.sum(axis=1), np.where(PADDING == 1, IDS, 0)
    trainer = bare(TRL.reward, scorers[1], args={"center_rewards_coefficient": 0.01})

    def our_loss(model, _, rows):
        rewards, half = model(ids[rows], n_tokens[rows])[:, 0], len(rows) // 2
        more = None if margin is None else margin[rows[:half]]
        chosen, rejected = rewards[:half], rewards[half:]
        losses = reward_loss(chosen, rejected, more, center=0.01)
        return losses.mean(), reward_model_metrics(chosen, rejected)

    def their_loss(rows):
        inputs = tensors(input_ids=ids[rows], attention_mask=PADDING[rows])
        if margin is not None:
            inputs["margin"] = torch.tensor(margin[rows[: len(rows) // 2]])
        return trainer.compute_loss(trainer.model, inputs), logged(trainer)

    compare((scorers[0], None), (scorers[1],), our_loss, their_loss, parts)


# --- GRPO ----------------------------------------------------------------------------------------

N_PROMPT = 3  # tokens of each prompt
MASK = np.arange(T - N_PROMPT) < np.array([9, 4, 1, 6])[:, None]
REWARDS = np.array([1.0, 0.25, 0.0, 2.0])


@parts
@pytest.mark.parametrize(
    "loss_type, on_policy, beta, bias_correction, epsilon_high, too_long",
    [
        ("grpo", True, 0.0, True, 0.2, False),
        *((loss_type, False, 0.3, True, 0.28, False) for loss_type in GRPO_LOSSES),
        *((loss_type, False, 0.3, False, 0.2, True) for loss_type in GRPO_LOSSES),
    ],
)
def test_grpo(
    ours, theirs, loss_type, on_policy, beta, bias_correction, epsilon_high, too_long, parts
):
    """ "dapo" divides by the tokens of the step, and the others by the rows of a micro-batch."""
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

    def our_loss(model, _, rows):
        new = logps(model, labels[rows], IDS[rows])[:, N_PROMPT - 1 :]
        arguments = (new, None if old is None else old[rows], fixed[rows], a[rows], mask[rows])
        loss = grpo_loss(
            *arguments, **options, loss_type=loss_type, n_tokens=n_tokens, max_length=20
        )
        found = statistics(model, IDS[rows], labels[rows])
        metrics = policy_metrics(*arguments, **options)
        return loss, metrics | {"entropy": found.mean(found.entropy)}

    trainer = bare(
        TRL.grpo, theirs[0], loss_type=loss_type, beta=beta, epsilon_low=0.2,
        epsilon_high=epsilon_high, importance_sampling_level="token", top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, use_vllm=False, max_completion_length=20,
        current_gradient_accumulation_steps=len(parts), _entropy_bonus_enabled=False,
        args={
            "use_bias_correction_kl": bias_correction, "delta": None, "report_to": [],
            "steps_per_generation": len(parts),
        },
    )  # fmt: skip

    def their_loss(rows):
        inputs = tensors(
            prompt_ids=IDS[rows, :N_PROMPT], prompt_mask=np.ones((len(rows), N_PROMPT), int),
            completion_ids=IDS[rows, N_PROMPT:], completion_mask=mask[rows].astype(int),
            advantages=a[rows], ref_per_token_logps=fixed[rows], num_items_in_batch=n_tokens,
        )  # fmt: skip
        inputs["old_per_token_logps"] = None if on_policy else torch.tensor(old[rows])
        return trainer._compute_loss(theirs[0], inputs), logged(trainer)

    share = 1 if loss_type == "dapo" else 1 / len(parts)
    compare(ours, theirs, our_loss, their_loss, parts, [(share, 1)] * len(parts))


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
