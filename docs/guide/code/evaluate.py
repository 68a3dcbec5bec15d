"""Evaluation: multiple choice as in MMLU, GSM8K's numbers, HumanEval's pass@k."""

import math
import random
import re
from fractions import Fraction

import numpy as np

from attention import log_softmax
from engine import no_grad

LETTERS = "ABCD"
NUMBER = r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?"

def logp(model, context, continuation):
    """log p(continuation | context), summed over its tokens; both are lists of ids."""
    ids = [*context, *continuation]
    with no_grad():
        logits = model(np.array([ids[:-1]]))
    rows = log_softmax(logits).data[0, len(context) - 1 :]  # (n, V)
    return float(rows[np.arange(len(continuation)), continuation].sum())

def choose(model, context, choices, per_token=False):
    """The number of the likeliest continuation of a context; all are lists of ids."""
    scores = [logp(model, context, c) / (len(c) if per_token else 1) for c in choices]
    return int(np.argmax(scores))  # of equal ones the first

def letter_prompt(subject, question, choices, shots=()):
    """MMLU's prompt; shots are (question, choices, number of the answer)."""

    def listed(question, choices):
        lines = [f"{a}. {text}" for a, text in zip(LETTERS, choices)]
        return "\n".join([question, *lines, "Answer:"])

    text = "The following are multiple choice questions (with answers) about "
    text += f"{subject}.\n\n"
    for q, c, answer in shots:
        text += f"{listed(q, c)} {LETTERS[answer]}\n\n"
    return text + listed(question, choices)

def extract_number(text, strict=False):
    """The number after ####, or else, unless strict, the last one; or None."""
    marked = re.search(rf"####\s*({NUMBER})", text)
    numbers = [marked[1]] if marked else [] if strict else re.findall(NUMBER, text)
    return Fraction(numbers[-1].replace(",", "")) if numbers else None

def pass_at_k(n, c, k):
    """The chance that one of k samples is right, where c of n samples are."""
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))

def band(right, n, z=1.96):
    """Wilson's 95 % interval for a share of `right` among n."""
    p, scale = right / n, 1 + z * z / n
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    middle = (p + z * z / (2 * n)) / scale
    return middle - half, middle + half

if __name__ == "__main__":
    from data import convert
    from pretrained import load
    from stories import stories, story
    from train import perplexity

    model, tokenizer = load("story.safetensors")
    new = convert(stories(100, seed=99), tokenizer)
    print(f"perplexity on new stories {perplexity(model, new, tokenizer.end):.3f}")
    rng, right, n = random.Random(7), 0, 100
    for _ in range(n):  # who had the first thing in the end?
        text, (who, *_) = story(rng)
        context = text[: text.index(" home,") + 6]
        ids = [tokenizer.end, *tokenizer.encode(context)]
        names = [tokenizer.encode(name.removesuffix(".")) for name in (who[1], who[3])]
        right += choose(model, ids, names) == 0
    low, high = band(right, n)
    print(f"right about the end {right} of {n}, 95 % band {low:.2f} to {high:.2f}")
