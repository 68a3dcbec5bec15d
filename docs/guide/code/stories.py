"""A small world to read about: short stories about who has what, and questions on them.

There are 20,995,200 stories, all equally likely. So it is known what can be learned: the
names cannot be guessed, but who has what in the end follows from the story.
"""

import math
import random

NAMES = "Mia Tom Anna Ben Lily Max Ella Sam Nora Leo".split()
THINGS = "ball kite boat drum book hat bell lamp cup doll".split()
COLOURS = "red blue green yellow white black".split()
PLACES = "park garden lake forest school market".split()
DAYS = "morning afternoon evening".split()
ENTROPY = math.log(10 * 9 * 10 * 9 * 6 * 6 * 6 * 3 * 4)  # of one story, in nats

def story(rng):
    """A story, and questions about it with three answers: short, in full, and wrong.

    rng: a random.Random, which gives the same numbers in every version of Python.
    """
    (a, b), (x, y) = rng.sample(NAMES, 2), rng.sample(THINGS, 2)
    c, d = rng.choice(COLOURS), rng.choice(COLOURS)
    place, day = rng.choice(PLACES), rng.choice(DAYS)
    happened, p, q = rng.choice(
        [
            (f"{a} liked the {y} and {b} liked the {x}, so they swapped.", b, a),
            (f"{b} liked the {x}, so {a} gave it to {b}.", b, b),
            (f"{a} liked the {y}, so {b} gave it to {a}.", a, a),
            (f"{a} liked the {y}, but {b} wanted to keep it.", a, b),
        ]
    )  # p has x and q has y in the end
    text = (
        f"One {day} {a} went to the {place} with a {c} {x}. There {a} met {b}, who had "
    )
    text += f"a {d} {y}. {happened} When they went home, {p} had the {c} {x} and "
    text += f"{q} had the {d} {y}."
    other = {a: b, b: a}
    return text, [
        (f"Who had the {x}?", f" {p}.", f" {p} had the {x}.", f" {other[p]}."),
        (f"Who had the {y}?", f" {q}.", f" {q} had the {y}.", f" {other[q]}."),
        (f"Who met {b}?", f" {a}.", f" {a} met {b}.", f" {b}."),
    ]

def stories(n, seed=0):
    """The texts of n stories."""
    rng = random.Random(seed)
    return [story(rng)[0] for _ in range(n)]

if __name__ == "__main__":
    text, questions = story(random.Random(0))
    print(text, *questions, sep="\n")
