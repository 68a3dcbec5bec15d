"""GRPO: a model that never sees a right answer learns to give it, from rewards alone.

What it teaches. Fine-tuning on answers needs answers. GRPO needs a function that says what an
answer is worth: the model writes several answers to a question, and those that were worth more than
the others of their group become likelier. The task here is to count on: after "3 =" the model
should write "4" and then end.

Part 1 lets an untrained model write one group, and computes rewards and advantages. Part 2 compares
the gradient of the loss with its closed form, and shows why the loss is 0 and the gradient is not.
Part 3 runs the algorithm, which is a dozen lines (``train``), and draws the reward as it rises.
Part 4 does the same with a reward that is equal for all, which teaches nothing.

    python examples/20_grpo.py

Before: 19_where_dpo_pushes.py. Next: 21_classifier.py. The page to read is
tinygrad_llm/finetune/losses.py, and docs/grpo.md for the command.

Exercises, answered in solutions/20_grpo.py. Try first.

1. Rewards that are worth the same. What do r + 7, 100 r and -r do to the advantages? And adding a
   second reward, 100 times as large?
2. Hard questions and easy ones. Of 8 answers k are right. How large are the advantages, divided by
   the standard deviation and not (scale_rewards="none")? Which questions teach most?
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices too small to be worth sharing out

import numpy as np  # noqa: E402

from autograd import Tensor, use_kernels  # noqa: E402
from tinygrad_llm.config import LlamaConfig  # noqa: E402
from tinygrad_llm.finetune.advantages import advantages  # noqa: E402
from tinygrad_llm.finetune.collate import collate  # noqa: E402
from tinygrad_llm.finetune.examples import completed  # noqa: E402
from tinygrad_llm.finetune.logps import IGNORE, token_logps  # noqa: E402
from tinygrad_llm.finetune.losses import grpo_loss  # noqa: E402
from tinygrad_llm.generation import FINISHED, generate  # noqa: E402
from tinygrad_llm.model.llama import Llama  # noqa: E402
from tinygrad_llm.training.optim import AdamW  # noqa: E402

TOKENS = "0123456789=."
EQUALS, END = 10, 11
DIGITS = np.arange(10)
GROUP, LONGEST = 8, 4  # answers to a question, and the most tokens of one


def make_model():
    config = LlamaConfig(
        vocab_size=len(TOKENS), block_size=16, n_layer=1, n_head=2, n_kv_head=2, n_embd=32,
        n_hidden=64,
    )  # fmt: skip
    return Llama(config, seed=0).eval()


def question(digit):
    return np.array([digit, EQUALS])


def text(ids):
    return "".join(TOKENS[i] for i in ids)


# --- the algorithm --------------------------------------------------------------------------------


def reward_of(digit, answer):
    """Half for the right digit at the beginning, half for the end right after it."""
    right = answer[0] == (digit + 1) % 10
    return 0.5 * right + 0.5 * (right and answer[1:] == [END])


def write(model, digits, rng):
    """GROUP answers to each question: lists of ids, each with the END that ends it."""
    prompts = np.stack([question(digit) for digit in digits])
    steps = generate(model, prompts, LONGEST, rng=rng, n=GROUP, stop_ids=(END,))
    rows = np.stack(list(steps), axis=1)  # (B, T)
    return [row[row != FINISHED].tolist() for row in rows]


def read(model, digits, answers):
    """log p of every token of the answers (B, T), and which of these are tokens at all."""
    pairs = zip(np.repeat(digits, GROUP), answers, strict=True)
    rows = collate([completed(question(digit), np.array(answer)) for digit, answer in pairs])
    return token_logps(model(rows.ids), rows.labels), rows.labels != IGNORE


def train(model, reward, steps, lr=5e-3):
    """GRPO on all ten questions at each step; returns the mean reward of each."""
    optimizer = AdamW(model.named_parameters(), lr=lr, weight_decay=0.0)
    rng, curve = np.random.default_rng(0), []
    for _ in range(steps):
        answers = write(model, DIGITS, rng)
        asked = np.repeat(DIGITS, GROUP)
        rewards = [reward(*pair) for pair in zip(asked, answers, strict=True)]
        logps, mask = read(model, DIGITS, answers)
        loss = grpo_loss(logps, None, None, advantages(rewards, GROUP), mask, loss_type="grpo")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(np.mean(rewards))
    return np.array(curve)


# --- what it does ---------------------------------------------------------------------------------


def part_1_a_group(model):
    digit = 3
    print(f"1. {GROUP} answers of an untrained model to {text(question(digit))!r}\n")
    rng = np.random.default_rng(12)
    answers = write(model, [digit], rng)
    rewards = np.array([reward_of(digit, answer) for answer in answers])
    A = advantages(rewards, GROUP)
    by_hand = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(A, by_hand, atol=1e-12)
    print("   answer    reward   advantage")
    for i in np.argsort(-rewards, kind="stable")[:6]:
        print(f"   {text(answers[i]):<8s}{rewards[i]:8.1f}{A[i]:12.3f}")
    print(f"   ... the mean reward is {rewards.mean():.3f}, and the advantages add up to 0\n")
    return digit, answers, A


def part_2_the_gradient(model, digit, answers, A):
    print("2. The loss is 0, and its gradient is not\n")
    logps, mask = read(model, [digit], answers)
    leaf = Tensor(logps.numpy().astype(np.float64), requires_grad=True)  # (GROUP, T)
    loss = grpo_loss(leaf, None, None, A, mask, loss_type="grpo")
    loss.backward()
    # loss = -1/B sum_i 1/n_i sum_t w_it A_i, and w = p / p_old = 1 has the derivative w d log p
    lengths = mask.sum(axis=1, keepdims=True)
    closed = -A[:, None] / lengths / GROUP * mask
    np.testing.assert_allclose(leaf.grad.numpy(), closed, atol=1e-15)
    assert abs(loss.item()) < 1e-15
    best = int(np.argmax(A))
    print(f"   loss                      {abs(loss.item()):.0e}: advantages average to 0")
    print(f"   of the tokens of {text(answers[best])!r}, d loss / d log p")
    for name, gradient in (("by hand", closed), ("by the engine", leaf.grad.numpy())):
        print(f"   {name:<26s}{gradient[best][mask[best]].round(5)}")
    print()


def draw(curve, width=50, rows=12):
    for part in np.array_split(np.arange(len(curve)), rows):
        mean = curve[part].mean()
        first, last = part[0] + 1, part[-1] + 1
        print(f"   steps {first:>3} to {last:>3}  {mean:5.2f}  {'#' * round(width * mean)}")


def most_likely(model, digit):
    steps = generate(model, question(digit)[None], LONGEST, temperature=0, stop_ids=(END,))
    return [int(token) for (token,) in steps]


def part_3_learning(model, steps=120):
    print("3. The mean reward of a group\n")
    curve = train(model, reward_of, steps)
    draw(curve)
    early, late = curve[:10].mean(), curve[-10:].mean()
    assert late > 0.9 > 0.3 > early
    answers = [most_likely(model, digit) for digit in DIGITS]
    wrong = [digit for digit in DIGITS if reward_of(digit, answers[digit]) < 1]
    shown = "  ".join(text([*question(digit), *answers[digit]]) for digit in DIGITS)
    print(f"\n   The most likely answers: {shown}")
    print(f"   {10 - len(wrong)} of 10 are right; no right answer was ever shown.")
    for digit in wrong:
        sampled = write(model, [digit], np.random.default_rng(0))
        if len({reward_of(digit, answer) for answer in sampled}) == 1:
            stuck = text(question(digit))
            print(f"   {stuck} is stuck: its {GROUP} answers are worth the same (part 4).")
    print()
    assert len(wrong) <= 1


def part_4_too_coarse(steps=10):
    print("4. A reward that all answers share\n")

    def coarse(digit, answer):
        return float(len(answer) > LONGEST)  # which no answer ever is

    model = make_model()
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    curve = train(model, coarse, steps)
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), before[name])
    mean = curve.mean()
    print(
        f"   After {steps} steps with reward {mean:.0f} for all, no bit of the model has changed."
    )
    print("   finetune grpo reports the share of such groups: frac_reward_zero_std.")


def main():
    with use_kernels("reference"):  # for so little, NumPy alone is quicker than compiling kernels
        model = make_model()
        part_2_the_gradient(model, *part_1_a_group(model))
        part_3_learning(model)
        part_4_too_coarse()


if __name__ == "__main__":
    main()
