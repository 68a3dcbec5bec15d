"""An eval of a tiny model, with its band: what a score says, and what it does not.

What it teaches. A score is a share of right answers to some questions, and with other questions it
would be another. So it comes with a band: the true rates with which it is compatible. With a few
hundred questions the band is wider than most differences that are reported.

Part 1 is a task of one's own: a multiple choice made from the corpus of a small model. Three models
whose score is known test the task. Part 2 asks the small model while it learns. Part 3 asks how
many questions it takes to tell 30 % from 25 %. Part 4 compares two checkpoints question by
question: their bands overlap, and still one is better.

    python examples/26_eval_of_a_tiny_model.py

Before: 25_space_before_the_letter.py. Next: 27_tokenizer_taken_apart.py. The page to read
is tinygrad_llm/evals/task.py, which has another such task; tinygrad_llm/evals/bands.py is a page
about bands.

Exercises, answered in solutions/26_eval_of_a_tiny_model.py. Try first.

1. None of twenty. A model has none of 20 questions right. What does the textbook's band p +- 1.96
   sqrt(p (1 - p) / n) say, and what Wilson's? How often does each contain a true rate of 5 %?
2. The best of twenty. Twenty models guess the answers to the same 200 questions of four choices.
   What does the best of them score, and how often is a band above 25 %?
"""

import copy
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from _places import (
    NAMES,
    PLACES,
    make_tokenizer,
    np,
    sentence,
    training,
    training_texts,
    untrained_model,
)

from tinygrad_llm.evals.bands import mcnemar, wilson_band
from tinygrad_llm.evals.known import KNOWN, known_model
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.runner import Settings, prepare, run_items
from tinygrad_llm.evals.task import Document

N_QUESTIONS = 200


# --- the task -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LastWord(MultipleChoice):
    """Which word ends the sentence? The most likely of four, each from another place."""

    name = "last_word"
    about = "the last word of a sentence; DATA/last_word.jsonl"
    chance = 1 / 4
    test = ("last_word",)  # its file, without the ending
    normalized = False  # the choices are single words

    def document(self, row):
        values = row.fits({"sentence": str, "choices": [str], "gold": int})
        return Document(values["sentence"], tuple(values["choices"]), values["gold"], values)

    def prompt(self, document):
        return document.question


def write_questions(folder, n, seed=1):
    """Sentences without their last word; the wrong choices are things of other places."""
    rng, lines = np.random.default_rng(seed), []
    for _ in range(n):
        places, gold = rng.choice(NAMES, 4, replace=False), int(rng.integers(4))
        begin, _, word = sentence(places[gold], rng).rstrip(".\n").rpartition(" ")
        choices = [str(rng.choice(PLACES[place][0])) for place in places]
        choices[gold] = word
        lines.append(json.dumps({"sentence": begin, "choices": choices, "gold": gold}))
    (folder / "last_word.jsonl").write_text("\n".join(lines))


# --- what it says ---------------------------------------------------------------------------------


def right_answers(model, items):
    """Whether each question was answered right."""
    return [sample["acc"] == 1 for sample in run_items(LastWord(), model, items)]


def share(right):
    return sum(right) / len(right)


def show(name, right, width=40):
    """A score with its band, in numbers and as a line from 0 to 100 %. Returns the band.

    # is the score, - its band, and | chance.
    """
    low, high = wilson_band(sum(right), len(right))
    line = [" "] * (width + 1)
    first, last = round(width * low), round(width * high)
    line[first : last + 1] = "-" * (last + 1 - first)
    line[round(width * LastWord.chance)] = "|"
    line[round(width * share(right))] = "#"
    print(
        f"   {name:10s}{share(right):8.1%}   {low:6.1%} to {high:6.1%}   {''.join(line).rstrip()}"
    )
    return low, high


def part_1_known_models(model, folder):
    print(f"1. A task of {N_QUESTIONS} questions, and three models whose score is known\n")
    write_questions(folder, N_QUESTIONS)
    items = prepare(LastWord(), folder, Settings(), model)
    d = items[0].document
    print(f"   {d.question} ...   {', '.join(d.choices)}?   {d.choices[d.gold]}\n")
    scores, bands = {}, {}
    for name in KNOWN:
        scores[name] = right_answers(known_model(name, LastWord(), items), items)
        bands[name] = show(name, scores[name])
    of_first = share([item.document.gold == 0 for item in items])
    assert all(scores["oracle"]) and share(scores["first"]) == of_first
    assert bands["random"][0] <= LastWord.chance <= bands["random"][1]
    print(f"""
   (The score; its 95 % band; # the score, - its band, | chance.)
   The oracle has all right. The band of random contains one in four. First, which always takes
   the first choice, has the {of_first:.1%} in which it is right. If not, the task would be wrong.
""")
    return items


def part_2_while_it_learns(model, tokenizer, items):
    """Returns the answers after some numbers of steps."""
    print("2. The small model after some steps of training\n")
    steps, found = (0, 20, 30, 40, 50, 60, 90), {}
    for step in training(model, tokenizer, training_texts(), max(steps)):
        if step in steps:
            answering = LanguageModel(copy.deepcopy(model), tokenizer)
            found[step] = right_answers(answering, items)
            low, high = show(f"{step} steps", found[step])
            if step == 60:
                later, band = answering, (low, high)
    with tempfile.TemporaryDirectory() as folder:
        write_questions(Path(folder), 2000, seed=2)
        others = right_answers(later, prepare(LastWord(), Path(folder), Settings(), later))
    low, high = wilson_band(sum(others), len(others))
    assert band[0] <= share(others) <= band[1]
    assert sum(found[90]) > sum(found[60]) > sum(found[0])
    print(f"""
   After 60 steps it has {share(found[60]):.1%} of these {N_QUESTIONS} questions right.
   Of {len(others):,} others it has {share(others):.1%}, which lies in the band. Their own band is
   {low:.1%} to {high:.1%}: ten times as many questions, and a third of the width.
""")
    return found


# --- how many questions, and which of two models --------------------------------------------------


def needed(p0, p1, power=0.8, confidence=0.95):
    """Questions with which a model whose true rate is ``p1`` has a band without ``p0``, with
    probability ``power``.

    The score of n questions is p1 + N(0, 1) sqrt(p1 (1 - p1) / n). Wilson's band lies above p0 if
    the score is more than p0 + z sqrt(p0 (1 - p0) / n).
    """
    z, y = (NormalDist().inv_cdf(q) for q in ((1 + confidence) / 2, power))
    root = (z * math.sqrt(p0 * (1 - p0)) + y * math.sqrt(p1 * (1 - p1))) / (p1 - p0)
    return math.ceil(root**2)


def part_3_how_many(p0=0.25, p1=0.30, runs=20_000):
    print("3. How many questions does it take to tell 30 % from 25 %?\n")
    print(f"   {'questions':>12s}   {'band of a score of 30 %':>24s}   {'25 % is excluded':>18s}")
    n, rng, powers = needed(p0, p1), np.random.default_rng(0), {}
    for size in (40, 100, 200, 400, n, 2000):
        low, high = wilson_band(p1 * size, size)
        right, counts = np.unique(rng.binomial(size, p1, runs), return_counts=True)
        excluded = [wilson_band(k, size)[0] > p0 for k in right.tolist()]
        powers[size] = counts[excluded].sum() / runs
        band = f"{low:.1%} to {high:.1%}"
        print(f"   {size:12,d}   {band:>24s}   {powers[size]:18.0%}")
    assert abs(powers[n] - 0.8) < 0.03 and powers[200] < 0.5
    print(f"""
   The last column is a simulation of {runs:,} models whose true rate is 30 %. With 400 questions
   the band of 30 % is above 25 %, but many of these models score less than that, and
   {1 - powers[400]:.0%} are not told from chance. To find four of five it takes {n:,} questions;
   the formula is in needed().
""")


def part_4_two_checkpoints(found, a=50, b=60):
    print(f"4. Is the model better after {b} steps than after {a}?\n")
    (_, high), (low, _) = (show(f"{steps} steps", found[steps]) for steps in (a, b))
    pairs = list(zip(found[a], found[b], strict=True))
    both, neither = pairs.count((True, True)), pairs.count((False, False))
    only_a, only_b = pairs.count((True, False)), pairs.count((False, True))
    print(f"""
   {"":22s}{b} steps right    wrong
   {a} steps right{both:20d}{only_a:9d}
            wrong{only_b:20d}{neither:9d}
""")
    n, k = only_a + only_b, min(only_a, only_b)
    p = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert math.isclose(p, mcnemar(found[a], found[b]))
    assert low < high and p < 0.01
    print(f"""\
   The bands overlap. But what makes them wide is mostly which questions were asked, and both
   checkpoints were asked the same. A question that both have right, or both wrong, does not say
   which is better. On the {n} others it is {only_b} to {only_a}. If each were the toss of a coin,
   so uneven a result would have probability {p:.1g}: McNemar's test, as in eval compare.""")


def main():
    tokenizer = make_tokenizer(training_texts())
    model = untrained_model(tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        items = part_1_known_models(LanguageModel(model, tokenizer), Path(folder))
    found = part_2_while_it_learns(model, tokenizer, items)
    part_3_how_many()
    part_4_two_checkpoints(found)


if __name__ == "__main__":
    main()
