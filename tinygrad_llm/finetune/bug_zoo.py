"""The mistakes of fine-tuning: the bug zoo of ``autograd.bug_zoo``, continued.

    from tinygrad_llm.finetune.bug_zoo import ZOO
    bug = ZOO["mask-off-by-one"]
    print(bug.story)
    print(bug.catch())        # what the check says about the wrong code
    bug.control()             # "": the right code passes the same check

Here no derivative is wrong and every loss goes down. The model just learns something else, so each
mistake needs a law of its own that the right code obeys.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Parameter, Tensor, ops
from autograd.bug_zoo import Bug, table as markdown_table
from tinygrad_llm.finetune.advantages import advantages
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.losses import grpo_loss, sequence_logps, sft_loss, token_logps

PROMPT, ANSWER = [3, 1, 4], [2, 0, 5]
OTHER = [0, 2, 5]  # another answer to the same prompt
V = 6


def bigram(seed: int = 0) -> Parameter:
    """The smallest language model: row i holds the logits of what follows id i."""
    return Parameter(np.random.default_rng([seed, 53]).standard_normal((V, V)))


def gradient(weights: Tensor) -> np.ndarray:
    assert weights.grad is not None
    return weights.grad.numpy()


def differs(what: str, actual: Any, expected: Any) -> str:
    """The evidence that two numbers or arrays differ, or "" if they agree."""
    if np.shape(actual) == np.shape(expected) and np.allclose(actual, expected, 1e-9, 1e-12):
        return ""
    return f"{what}: {np.round(actual, 4)}, expected {np.round(expected, 4)}"


# --- labels ---------------------------------------------------------------------------------------

Labels = Callable[[list[int], list[int]], np.ndarray]


def labels(prompt: list[int], answer: list[int]) -> np.ndarray:
    """The label of each position of prompt + answer but the last: what follows, in the answer."""
    shifted = np.array([*prompt, *answer])[1:]
    shifted[: len(prompt) - 1] = IGNORE
    return shifted


def labels_masked_too_far(prompt: list[int], answer: list[int]) -> np.ndarray:
    shifted = np.array([*prompt, *answer])[1:]
    shifted[: len(prompt)] = IGNORE  # as many as before the shift
    return shifted


def every_answer_token_is_trained(labels: Labels) -> str:
    found = labels(PROMPT, ANSWER)
    return differs("the labels that count", found[found != IGNORE], ANSWER)


def labels_with_prompt(prompt: list[int], answer: list[int]) -> np.ndarray:
    return np.array([*prompt, *answer])[1:]


def the_prompt_has_no_say(labels: Labels) -> str:
    """How likely the prompt itself was must not matter for the answer's log-probability."""
    found = []
    for surprise in (0.0, 5.0):
        weights = bigram().numpy().copy()
        weights[PROMPT[0], PROMPT[1]] -= surprise
        ids = [*PROMPT, *ANSWER][:-1]
        logits = Tensor(weights[ids][None])
        found.append(sequence_logps(logits, labels(PROMPT, ANSWER)[None], average=True).item())
    return differs("log p of the answer after a change of the prompt's", found[1], found[0])


def padded(rows: list[list[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of rows of different lengths, (B, length): padding does not count."""
    ids = np.zeros((len(rows), length), int)
    following = np.full((len(rows), length), IGNORE)
    for i, row in enumerate(rows):
        ids[i, : len(row) - 1], following[i, : len(row) - 1] = row[:-1], row[1:]
    return ids, following


def padded_with_labels(rows: list[list[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    ids, following = padded(rows, length)
    return ids, np.where(following == IGNORE, 0, following)  # the id of padding is an id as well


def padding_changes_nothing(pad: Callable[..., tuple[np.ndarray, np.ndarray]]) -> str:
    rows, found = [PROMPT + ANSWER, PROMPT], []
    for length in (5, 9):
        ids, following = pad(rows, length)
        found.append(sft_loss(bigram()[ids], following).item())
    return differs("the loss with more padding", found[1], found[0])


# --- accumulation ---------------------------------------------------------------------------------


def accumulate(batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The gradient of several micro-batches: each counts by its share of all tokens."""
    weights, counts = bigram(), [np.count_nonzero(y != IGNORE) for _, y in batches]
    for (ids, following), count in zip(batches, counts, strict=True):
        sft_loss(weights[ids], following).backward(count / sum(counts))
    return gradient(weights)


def accumulate_means(batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    weights = bigram()
    for ids, following in batches:
        sft_loss(weights[ids], following).backward(1 / len(batches))
    return gradient(weights)


def equals_the_large_batch(accumulation: Callable[..., np.ndarray]) -> str:
    rows = [PROMPT + ANSWER, PROMPT[:2]]  # five labels and one
    weights = bigram()
    ids, following = padded(rows, 5)
    sft_loss(weights[ids], following).backward()
    found = accumulation([padded([row], 5) for row in rows])
    sizes = (np.linalg.norm(g) for g in (found, gradient(weights)))
    return differs("the length of the gradient", *sizes)


# --- preferences ----------------------------------------------------------------------------------

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def dpo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """The loss of one pair, with beta = 0.1; the reference is a constant."""
    ratio = chosen - ref_chosen.detach() - (rejected - ref_rejected.detach())
    return -ops.log_sigmoid(0.1 * ratio)


def dpo_live(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    return -ops.log_sigmoid(0.1 * (chosen - ref_chosen - (rejected - ref_rejected)))


def dpo_reversed(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor
) -> Tensor:
    ratio = rejected - ref_rejected.detach() - (chosen - ref_chosen.detach())
    return -ops.log_sigmoid(0.1 * ratio)


def answer_logp(weights: Tensor, answer: list[int]) -> Tensor:
    ids = [*PROMPT, *answer][:-1]
    return sequence_logps(weights[ids][None], labels(PROMPT, answer)[None])[0]


def pair_loss(loss: Loss, policy: Tensor, reference: Tensor) -> Tensor:
    sides = [answer_logp(w, a) for w in (policy, reference) for a in (ANSWER, OTHER)]
    return loss(*sides)


def the_reference_stays(loss: Loss) -> str:
    policy, reference = bigram(), bigram()
    pair_loss(loss, policy, reference).backward()
    if reference.grad is None:
        return ""
    return f"the reference has a gradient, of length {np.linalg.norm(gradient(reference)):.4f}"


def a_step_prefers_the_chosen_answer(loss: Loss) -> str:
    policy, reference = bigram(), bigram()
    pair_loss(loss, policy, reference).backward()
    moved = Tensor(policy.numpy() - gradient(policy))
    before, after = (answer_logp(w, ANSWER) - answer_logp(w, OTHER) for w in (policy, moved))
    gain = after.item() - before.item()
    return "" if gain > 0 else f"after a step the chosen answer leads by {-gain:.4f} nats less"


def reference_logp(weights: np.ndarray, ids: list[int], rng: np.random.Generator) -> np.ndarray:
    """The reference is a function: its dropout is off."""
    return token_logps(Tensor(weights[ids[:-1]][None]), np.array([ids[1:]])).numpy().sum()


def reference_logp_in_training(
    weights: np.ndarray, ids: list[int], rng: np.random.Generator
) -> np.ndarray:
    kept = rng.random(weights.shape) > 0.1
    return reference_logp(weights * kept / 0.9, ids, rng)


def starts_at_ln_2(reference: Callable[..., np.ndarray]) -> str:
    """Before the first step the policy is its reference, and the loss of every pair is ln 2."""
    weights, rng = bigram().numpy(), np.random.default_rng(7)
    policy, fixed = (
        [Tensor(f(weights, PROMPT + answer, rng)) for answer in (ANSWER, OTHER)]
        for f in (reference_logp, reference)
    )
    return differs("the first loss", dpo(*policy, *fixed).item(), math.log(2))


# --- policies -------------------------------------------------------------------------------------


def advantages_of_the_batch(rewards: np.ndarray, num_generations: int) -> np.ndarray:
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)


def equal_rewards_teach_nothing(advantage: Callable[..., np.ndarray]) -> str:
    """An easy question, all of whose answers are right, says nothing about any of them."""
    rewards = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    return differs("the advantages of four right answers", advantage(rewards, 4)[:4], np.zeros(4))


def steps_on_one_batch(recompute_old: bool) -> float:
    """How much likelier an answer with advantage 1 gets in 40 steps on it: the largest ratio."""
    weights, following = bigram(), labels(PROMPT, ANSWER)[None]
    ids, mask = np.array([[*PROMPT, *ANSWER][:-1]]), following != IGNORE
    start = old = token_logps(weights[ids], following).detach()
    for _ in range(40):
        logps = token_logps(weights[ids], following)
        old = logps.detach() if recompute_old else old
        weights.zero_grad()
        grpo_loss(logps, old, None, [1.0], mask).backward()
        weights.assign_(weights.numpy() - 0.2 * gradient(weights))
    return float(ops.exp(token_logps(weights[ids], following) - start).numpy().max())


def with_the_writers_logps() -> float:
    return steps_on_one_batch(recompute_old=False)


def with_recomputed_logps() -> float:
    return steps_on_one_batch(recompute_old=True)


def clipping_bounds_the_change(ratio_after: Callable[[], float]) -> str:
    """Past 1 + epsilon nothing pushes a token further: only one step can go beyond it."""
    ratio = ratio_after()
    return "" if ratio < 1.4 else f"a token became {ratio:.1f} times as likely, epsilon is 0.2"


# --- adapters -------------------------------------------------------------------------------------


def merge(W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    """W (out, in) with a LoRA of A (r, in) and B (out, r) in it."""
    return W + alpha / len(A) * B @ A


def merge_without_scale(W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    return W + B @ A


def merged_equals_unmerged(merging: Callable[..., np.ndarray]) -> str:
    rng = np.random.default_rng(11)
    x, W, A, B = (rng.standard_normal(s) for s in ((2, 5), (4, 5), (2, 5), (4, 2)))
    apart = x @ W.T + 8 / 2 * (x @ A.T) @ B.T
    return differs("the first output", (x @ merging(W, A, B, 8).T)[0], apart[0])


ZOO = {
    bug.name: bug
    for bug in (
        Bug(
            "mask-off-by-one",
            "masks as many labels as the prompt has tokens, after the shift: the first is lost",
            "every answer token is trained",
            labels_masked_too_far,
            labels,
            every_answer_token_is_trained,
        ),
        Bug(
            "padding-counted",
            "takes padding for text: the loss depends on the longest row of the batch",
            "padding changes nothing",
            padded_with_labels,
            padded,
            padding_changes_nothing,
        ),
        Bug(
            "micro-batch-means",
            "averages the gradients of micro-batches: a single token may weigh as much as five",
            "accumulation equals the large batch",
            accumulate_means,
            accumulate,
            equals_the_large_batch,
        ),
        Bug(
            "prompt-in-the-logp",
            "counts the prompt too; in a difference of sums it cancels, in averages it does not",
            "the prompt has no say",
            labels_with_prompt,
            labels,
            the_prompt_has_no_say,
        ),
        Bug(
            "reference-trained",
            "lets the gradient into the reference, which then runs away from the policy",
            "the reference stays",
            dpo_live,
            dpo,
            the_reference_stays,
        ),
        Bug(
            "margin-sign",
            "exchanges chosen and rejected: the loss starts at ln 2 and falls as it should",
            "a step prefers the chosen answer",
            dpo_reversed,
            dpo,
            a_step_prefers_the_chosen_answer,
        ),
        Bug(
            "dropout-in-the-reference",
            "computes the reference in training mode: it is another model for every answer",
            "DPO starts at ln 2",
            reference_logp_in_training,
            reference_logp,
            starts_at_ln_2,
        ),
        Bug(
            "advantages-of-the-batch",
            "compares answers to different prompts: one to an easy question is always good",
            "equal rewards teach nothing",
            advantages_of_the_batch,
            advantages,
            equal_rewards_teach_nothing,
        ),
        Bug(
            "old-logps-recomputed",
            "computes the old log-probabilities at every step: the ratio is 1, nothing is clipped",
            "clipping bounds the change",
            with_recomputed_logps,
            with_the_writers_logps,
            clipping_bounds_the_change,
        ),
        Bug(
            "lora-scale",
            "merges B A into the weight without the factor alpha / r",
            "merged equals unmerged",
            merge_without_scale,
            merge,
            merged_equals_unmerged,
        ),
    )
}
"""All mistakes by name, in the order of docs/finetuning.md."""


def table() -> str:
    """The zoo as a Markdown table: name, story, and what catches it."""
    return markdown_table(ZOO)
