"""Solutions to the exercises of 20_grpo.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.finetune.advantages import advantages

lab = example_of(__file__)
N = lab.GROUP


def exercise_1():
    """Rewards that are worth the same.

    Adding a number to all rewards changes nothing: the group's mean takes it out. Multiplying all
    by a positive number changes nothing either, but for the 1e-4 next to the standard deviation.
    So a reward has no unit, and "1 for right" and "100 for right" are one reward. What does count
    is the order within a group and the proportions of the gaps. Two rewards that are added up have
    a unit after all: 100 times the one drowns the other. A negative factor turns learning around.
    """
    rewards = np.array([1.0, 0, 0, 0.5, 1, 0, 0.5, 0])
    A = advantages(rewards, N)
    for name, other in (("r + 7", rewards + 7), ("100 r", 100 * rewards), ("-r", -rewards)):
        B = advantages(other, N)
        print(f"   {name:<6s} advantages differ by {np.abs(B - A).max():.4f}")
        assert np.allclose(B, -A if name == "-r" else A, atol=1e-3)
    length = np.array([1.0, 4, 3, 2, 1, 4, 3, 2])
    mixed = advantages(rewards + 100 * length, N)
    assert np.allclose(mixed, advantages(length, N), atol=0.02)


def exercise_2():
    """Hard questions and easy ones.

    Divided by the standard deviation, every group has advantages of the same size, sqrt(n - 1) as a
    vector: a question that is solved in one of 8 answers pushes as hard as one solved in half of
    them, and the one right answer gets most of it. Without the division (scale_rewards="none") the
    size is sqrt(n p (1 - p)): most for questions in balance, little for those almost never or
    almost always solved. So the division is a choice about which questions teach: it favors the
    extremes, and there with few right answers, which may be luck.
    """
    print("   right   A of a right answer: divided   not      size of all: divided   not")
    for k in (1, 2, 4, 6, 7):
        rewards = np.repeat([1.0, 0.0], [k, N - k])
        divided, plain = advantages(rewards, N), advantages(rewards, N, scale_rewards="none")
        sizes = np.linalg.norm(divided), np.linalg.norm(plain)
        print(f"   {k:5d} {divided[0]:29.2f} {plain[0]:7.2f} {sizes[0]:20.2f} {sizes[1]:7.2f}")
        assert np.isclose(sizes[0], np.sqrt(N - 1), rtol=1e-3)
        assert np.isclose(sizes[1], np.sqrt(N * k / N * (1 - k / N)))


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
