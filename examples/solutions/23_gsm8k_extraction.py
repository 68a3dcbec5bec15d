"""Solutions to the exercises of 23_gsm8k_extraction.py."""

import re

from _solutions import answer, example_of

from tinygrad_llm.evals.gsm8k import extract_answer, same_number

lab = example_of(__file__)


def fifth_rule(text):
    """The number that is named as the answer, or else the last one of the first paragraph."""
    text = text.partition("\n\n")[0]
    named = re.findall(r"(?:####|answer is|\\boxed\{)\s*\$?(-?[\d,.]*\d)", text)
    return named[-1].replace(",", "") if named else extract_answer(text, "flexible")


def exercise_1():
    """A fifth rule, and a text that fools it.

    It looks for "####", "answer is" or a box, and otherwise takes the last number of the first
    paragraph. On the tricky texts it is as good as flexible, and it reads a model that goes on
    talking, which flexible does not. A text that fools it is found within a minute: a model that
    corrects itself. Every rule describes how some model writes. So tune it on other texts than
    those that are scored, then leave it alone, and report it with the score.
    """
    counts = {}
    for name, rule in (
        ("strict", lambda text: extract_answer(text, "strict")),
        ("flexible", lambda text: extract_answer(text, "flexible")),
        ("the fifth", fifth_rule),
    ):
        counts[name] = sum(same_number(rule(text), "18") for text in lab.TRICKY)
        print(f"   {name:<10s} {counts[name]:2d} of {len(lab.TRICKY)}")
    assert counts["the fifth"] == counts["flexible"] > counts["strict"]
    for text, right in (
        ("The answer is 18. Shall I explain? It takes 3 steps.", "the fifth"),
        ("The answer is 20. No, I forgot the tax. She pays 18.", "flexible"),
    ):
        found = {"the fifth": fifth_rule(text), "flexible": extract_answer(text, "flexible")}
        print(f"   {text!r}: " + ", ".join(f"{name} {n}" for name, n in found.items()))
        assert [name for name, n in found.items() if n == "18"] == [right]


def exercise_2():
    """The rule chooses the winner.

    A solves 12 of 20 and marks its answers, as base models do that copy the examples. B solves 15
    and writes sentences. Strict sees 12 against 0, flexible 12 against 15. Both figures are correct
    and neither is about arithmetic alone: strict measures whether a model follows the form, too. A
    comparison across papers mixes rules, prompts and numbers of examples, and can put the weaker
    model first.
    """
    forms = {"A": ("#### {n}", 12), "B": ("She pays {n} dollars.", 15)}
    scores = {}
    for method in ("strict", "flexible"):
        for model, (form, solved) in forms.items():
            texts = [form.format(n=18 if i < solved else 19) for i in range(20)]
            right = [same_number(extract_answer(text, method), "18") for text in texts]
            scores[method, model] = sum(right) / 20
        print(f"   {method:<9s} A {scores[method, 'A']:.0%}   B {scores[method, 'B']:.0%}")
    assert scores["strict", "A"] > scores["strict", "B"]
    assert scores["flexible", "A"] < scores["flexible", "B"]


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
