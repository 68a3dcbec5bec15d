"""Which number is the answer? Four readings of the same texts, and what they make of a score.

What it teaches. A model that is asked a word problem writes sentences, and something has to find
the number in them. That something is part of the figure: the same texts of one chat model have been
scored .20 and .78, by two rules that both sound reasonable (lm-evaluation-harness, pull request
2034). So a score of GSM8K says little without its rule, and ``tinygrad-llm eval`` reports four.

Part 1 reads tricky answers. Part 2 scores three imaginary models that are equally good at
arithmetic and differ only in how they write. Part 3 asks when two numbers are equal.

    python examples/23_gsm8k_extraction.py

Before: 22_perplexity_three_ways.py. Next: 24_pass_at_k.py. The page to read is
tinygrad_llm/evals/gsm8k.py.

Exercises, answered in solutions/23_gsm8k_extraction.py. Try first.

1. A fifth rule, and a text that fools it. Write a rule that is as good as flexible on TRICKY and
   reads "The answer is 18. It takes 3 steps.", too. Then find a text that it gets wrong.
2. The rule chooses the winner. Make up two models, of which strict prefers one and flexible the
   other. What does each rule measure?
"""

from tinygrad_llm.evals.gsm8k import (
    METHODS,
    extract_answer,
    lm_eval_answer,
    lm_eval_equal,
    same_number,
)

LM_EVAL = ("strict-match", "flexible-extract")
GOLD = "#### 18"
TRICKY = [
    "2 + 16 = 18\n#### 18",
    "#### 18.",
    "#### 18.00",
    "####18",
    "#### $18",
    "The answer is 18.",
    "She earns $18 every day.",
    "\\boxed{18}",
    "18 eggs, since 16 + 2 = 18 and 16 - 2 = 14",
    "#### 18\n\nQuestion: What is 3 + 4?",
    "It is 36/2",
    "It is 18 ...",
    "#### \uff11\uff18",
    "eighteen",
]


def readings(text):
    """What each of the four readings takes from a text, and whether it is the gold answer."""
    for method in METHODS:
        number = extract_answer(text, method)
        yield method, number, same_number(number, extract_answer(GOLD, "strict"))
    for name in LM_EVAL:
        number = lm_eval_answer(text, name)
        yield name, number, lm_eval_equal(number, GOLD)


def part_1_tricky_answers():
    print("1. The right answer is 18. What is taken from these texts, and is it right (+)?\n")
    print(f"   {'':44s}{'this project':>22s}{'lm-eval':>22s}")
    print(f"   {'text':44s}" + "".join(f"{n:>11s}" for n in METHODS), end="")
    print(f"{'strict':>11s}{'flexible':>11s}")
    for text in TRICKY:
        cells = [
            f"{'none' if number is None else number} {'+' if right else '-'}"
            for _, number, right in readings(text)
        ]
        print(f"   {text!r:44s}" + "".join(f"{cell:>11s}" for cell in cells))
    print("""
   Strict wants the mark "####", which base models copy from the examples and chat models have
   never seen. Flexible takes the last number where there is no mark, so that a model which goes on
   talking is wrong with the right answer in its text. The other two compare digits and not numbers.
""")


def part_2_three_models():
    print("2. Three models that solve the same 12 of 20 problems\n")
    styles = {
        "copies the examples": "So it is {n}.\n#### {n}",
        "chats": "Adding up, she has **${n}.00** in total.",
        "goes on talking": "She has {n} now. Is there anything else? I know 3 jokes.",
    }
    print(f"   {'':22s}" + "".join(f"{name:>18s}" for name in (*METHODS, *LM_EVAL)))
    scores = {}
    for style, form in styles.items():
        right = dict.fromkeys((*METHODS, *LM_EVAL), 0)
        for i in range(20):
            text = form.format(n=18 if i < 12 else 19)
            for name, _, is_right in readings(text):
                right[name] += is_right
        scores[style] = {name: count / 20 for name, count in right.items()}
        print(f"   {style:22s}" + "".join(f"{s:18.0%}" for s in scores[style].values()))
    assert set(scores["copies the examples"].values()) == {0.6}
    assert scores["chats"] == dict(zip((*METHODS, *LM_EVAL), (0, 0.6, 0, 0), strict=True))
    assert set(scores["goes on talking"].values()) == {0}
    print("""
   Nothing here is about arithmetic. A stop string ("Question:", a blank line) helps the third, and
   a prompt that asks for the form helps all. Compare models by one rule, and look at the texts.
""")


def part_3_equal_numbers():
    print("3. Which numbers are equal?\n")
    for one, other in [("10", "10."), ("10", "10.0"), ("1/2", ".5"), ("1,000", "1000")]:
        a, b = (extract_answer(f"#### {number}", "strict") for number in (one, other))
        theirs = lm_eval_equal(lm_eval_answer(f"#### {one}", "strict-match"), f"#### {other}")
        print(f"   {one:>6s} and {other:<6s}  as numbers {same_number(a, b)!s:6s} as text {theirs}")
    assert same_number("10", "10.0") and not same_number(None, None)
    print("\n   No number equals nothing, not even no number: a broken row scores no points.")


def main():
    part_1_tricky_answers()
    part_2_three_models()
    part_3_equal_numbers()


if __name__ == "__main__":
    main()
