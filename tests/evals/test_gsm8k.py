"""Which number a text gives as its answer."""

import pytest

from tinygrad_llm.evals.gsm8k import extract_answer, same_number

ANSWERS = [  # text, strict, flexible
    ("#### 72", "72", "72"),
    ("So it is 48.\n#### 72\nIs it? 3 times.", "72", "72"),
    ("####72", "72", "72"),
    ("#### 7 #### 8", "7", "7"),
    ("#### is the sign. #### 8", "8", "8"),
    ("The answer is 10.", None, "10"),
    ("#### 10.", "10", "10"),
    ("She has 1,000 apples", None, "1000"),
    ("#### 1,234,567.50", "1234567.50", "1234567.50"),
    ("#### -3", "-3", "-3"),
    ("it cost $18", None, "18"),
    ("#### $18", "18", "18"),
    ("a loss of -$18 or $-19", None, "-19"),
    ("a loss of -$18", None, "-18"),
    ("#### 1/2", "1/2", "1/2"),
    ("#### 3.50", "3.50", "3.50"),
    ("half is .5", None, ".5"),
    ("#### \u2212\uff11\u0662", "-12", "-12"),  # a minus sign, a fullwidth and an Arabic digit
    ("5 m\u00b2", None, "5"),  # an exponent is no digit
    ("from 3-5 people", None, "5"),
    ("(7)-2", None, "2"),
    ("one, two, 3, 4", None, "4"),
    ("48/2 = 24 clips in May", None, "24"),
    ("no number", None, None),
    ("####", None, None),
    ("", None, None),
]


@pytest.mark.parametrize("text, strict, flexible", ANSWERS)
def test_the_answer_of_a_text(text, strict, flexible):
    assert extract_answer(text, "strict") == strict
    assert extract_answer(text, "flexible") == flexible


def test_numbers_are_compared_as_numbers():
    for one, other in (("10", "10.0"), ("3.50", "3.5"), ("1/2", "0.5"), ("-0", "0"), (".5", "1/2")):
        assert same_number(one, other), (one, other)
    for one, other in (("10", "-10"), ("10", None), (None, None), ("1/0", "1/0"), ("1", "1.01")):
        assert not same_number(one, other), (one, other)
    assert not same_number("1" * 5000, "2")


def test_another_method_is_refused():
    with pytest.raises(ValueError, match="method is 'last', expected one of strict, flexible"):
        extract_answer("1", "last")
