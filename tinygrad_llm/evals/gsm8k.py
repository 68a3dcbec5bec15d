"""GSM8K (Cobbe et al. 2021): word problems whose answer is a number.

A solution in the data ends with "#### 72". What a model has written is read in one of two ways:

    strict      the number after the first "####" that one follows
    flexible    the same where there is one, otherwise the last number of the text

Numbers are compared as numbers: 10. = 10 = 10.0 = 20/2.
"""

import re
import unicodedata
from fractions import Fraction

METHODS = ("strict", "flexible")

# A minus counts where nothing stands directly before it that could be subtracted from.
_SIGN = r"(?:(?<![\w.)])-\$?|\$-?)?"
_NUMBER = _SIGN + r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+|(?=\.\d))(?:\.\d+)?(?:/\d+)?"
_ANY = re.compile(_NUMBER, re.ASCII)
_MARKED = re.compile(rf"####\s*({_NUMBER})", re.ASCII)


def extract_answer(text: str, method: str) -> str | None:
    """The number that a text gives as its answer, or None if it gives none.

    method: one of METHODS. The number is returned without currency and thousands separators, with
    the digits 0 to 9 and "-", whatever the text writes: "-1,000.50" gives "-1000.50". A fraction
    such as 1/2 is one number. Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    text = "".join(map(_plain, text))
    marked = _MARKED.search(text)
    if marked is not None:
        number = marked[1]
    elif method == "strict" or not (numbers := _ANY.findall(text)):
        return None
    else:
        number = numbers[-1]
    return number.replace("$", "").replace(",", "")


def same_number(one: str | None, other: str | None) -> bool:
    """Whether two results of ``extract_answer`` are equal as numbers; None equals nothing."""
    if one is None or other is None:
        return False
    value = _value(one)
    return value is not None and value == _value(other)


def _value(number: str) -> Fraction | None:
    numerator, _, denominator = number.partition("/")
    try:
        return Fraction(numerator) / Fraction(denominator or 1)
    except (ValueError, ZeroDivisionError):  # ValueError: thousands of digits
        return None


def _plain(c: str) -> str:
    """The ASCII form of a digit of any script, and of a minus sign; other characters as they
    are."""
    if c in "\u2212\ufe63\uff0d":
        return "-"
    return c if c.isascii() else str(unicodedata.decimal(c, c))
