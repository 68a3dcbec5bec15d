"""A made-up MMLU: sums on two subjects, in the layout of the original."""

import csv
import random


def write_mmlu(folder, n_test=60):
    """Make folder/mmlu with five solved examples and ``n_test`` questions on each subject."""
    rng = random.Random(3)
    for split, count in (("dev", 5), ("test", n_test)):
        (folder / "mmlu" / split).mkdir(parents=True)
        for subject in ("small_sums", "differences"):
            path = folder / "mmlu" / split / f"{subject}_{split}.csv"
            with open(path, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(_row(subject, rng) for _ in range(count))
    return folder


def _row(subject, rng):
    a, b = rng.randrange(50, 100), rng.randrange(50)
    word, right = ("plus", a + b) if subject == "small_sums" else ("minus", a - b)
    choices = [right, right + 1, right + 10, right - 1]
    rng.shuffle(choices)
    return [f"What is {a} {word} {b}?", *choices, "ABCD"[choices.index(right)]]
