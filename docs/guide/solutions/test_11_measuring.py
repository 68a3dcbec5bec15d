"""Solutions of chapter 11: the context of each token, two models on one test, a better rule."""

import math
import random
import re
from fractions import Fraction

import numpy as np
from evaluate import NUMBER, band, extract_number


def scored_context(n, window, stride):
    """For each token of a text of n, in order: (its place, how many tokens it is scored after)."""
    done, found = 1, []  # the first token has no context and is not scored
    while done < n:
        stop = min(n, max(window, done + stride))
        start = max(0, stop - window)
        found += [(place, place - start) for place in range(done, stop)]
        done = stop
    return found


def test_exercise_11_1():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, window = rng.integers(1, 80), rng.integers(2, 30)
        stride = rng.integers(1, window)  # at most window - 1: the first of a window is not scored
        found = scored_context(n, window, stride)
        assert [place for place, _ in found] == list(range(1, n))
        for place, context in found:
            assert context == place or context >= window - stride
            assert 1 <= context < window
    # The same from the definition: the window that a token is scored in is the first that ends
    # behind it, and windows end at max(window, 1 + stride), then every stride.
    ends = [8, 12, 16, 20]
    for place, context in scored_context(18, 8, 4):
        stop = min(18, next(end for end in ends if end > place))
        assert context == place - max(0, stop - 8)


def mcnemar(b, c):
    """How likely a split as uneven as b and c is, or more, if every difference is a fair coin."""
    n, k = b + c, min(b, c)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return min(1.0, 2 * tail)


def test_exercise_11_2():
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(0, 1) == 1.0  # one coin proves nothing
    assert math.isclose(mcnemar(0, 5), 2 / 32)
    # 200 questions. The second model has all that the first has right, and twelve more.
    first, second = range(0, 120), range(0, 132)
    (low, _), (_, high) = band(len(second), 200), band(len(first), 200)
    assert low < high  # the bands overlap: 0.53 to 0.67 and 0.59 to 0.72
    b, c = len(set(first) - set(second)), len(set(second) - set(first))
    assert (b, c) == (0, 12) and mcnemar(b, c) < 0.001
    # The same two scores, won on other questions: now the difference may well be chance.
    second = range(68, 200)
    b, c = len(set(first) - set(second)), len(set(second) - set(first))
    assert c - b == 12 and mcnemar(b, c) > 0.2
    # Is the test honest? Two equally good models differ "significantly" in at most 5 % of trials.
    rng = random.Random(0)
    alarms = 0
    for _ in range(1000):
        splits = [rng.random() < 0.5 for _ in range(30)]
        alarms += mcnemar(sum(splits), 30 - sum(splits)) < 0.05
    assert alarms < 65


def better(text):
    """The number after ####, or in \\boxed{}, or after "answer is", ...; at last the last."""
    text = text.split("Question:")[0].replace("$", "")
    for pattern in (
        rf"####\s*({NUMBER})",
        rf"\\boxed\{{\s*({NUMBER})",
        rf"answer is\s*({NUMBER})",
        rf"earns\s*({NUMBER})",
        rf"^({NUMBER}),",
    ):
        if found := re.search(pattern, text):
            return Fraction(found[1].replace(",", ""))
    if found := re.search(r"(\d+)/(\d+)", text):
        return Fraction(int(found[1]), int(found[2]))
    return extract_number(text)


def test_exercise_11_3():
    texts = [
        "2 + 16 = 18\n#### 18",
        "#### 18.00",
        "####18",
        "#### $18",
        "The answer is 18.",
        "She earns 18 dollars in 5 days.",
        "18, since 16 + 2 = 18 and 16 - 2 = 14",
        "It is 36/2",
        "It is 1,018 - 1,000 = 18",
        "It is 18.\n\nQuestion: What is 3 + 4?",
    ]
    assert sum(extract_number(text) == 18 for text in texts) == 6
    assert [better(text) for text in texts] == [18] * len(texts)
    # Every rule that was made for these texts is a list of these texts. The next ones break it:
    assert better("The answer is 9 times 2, that is 18.") == 9
    assert better("She earns 3 dollars an hour for 6 hours, so 18.") == 3
    # So a better rule does not make a score true. It makes the score of models that write as the
    # rule's author does a little higher. What helps is to say the rule, to give the shots that
    # show the form, and to read the texts on which two rules differ.
