"""GSM8K (Cobbe et al. 2021): word problems whose answer is a number.

    gsm8k       for base models: "Question: {q}\nAnswer:" after five solved examples
    gsm8k_chat  the question as a user's turn, through the model's chat template

A solution in the data ends with "#### 72". What a model has written is read in four ways, and all
scores are reported, since they can be far apart:

    strict            the number after the first "####" that one follows
    flexible          the same where there is one, otherwise the last number of the text
    strict-match      lm-evaluation-harness's filters of these names, which compare the texts of
    flexible-extract  numbers: there "10.0" is not "10", "..." is a number, and "####42" is no match

The first two compare numbers as numbers: 10. = 10 = 10.0 = 20/2.

Data: the original's files (https://github.com/openai/grade-school-math): gsm8k-test.jsonl or
test.jsonl, and gsm8k-train*.jsonl or train.jsonl for the examples, in DATA or DATA/gsm8k.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document, Verdict
from tinygrad_llm.evals.written_answer import WrittenAnswer

METHODS = ("strict", "flexible")
PROTOCOL_STOPS = ("Question:", "\n\n")

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


# --- lm-evaluation-harness --------------------------------------------------------------------

_LM_EVAL = {
    "strict-match": re.compile(r"#### (-?[0-9.,]+)"),
    "flexible-extract": re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+"),
}
_IGNORED = re.compile(r"[,$]"), re.compile(r".*#### ", re.DOTALL), re.compile(r"\.$")


def lm_eval_answer(text: str, name: str) -> str | None:
    """What the filter ``name`` takes from a text: strict-match the first, flexible-extract the last
    of what looks like a number; None where lm-evaluation-harness has "[invalid]"."""
    found = _LM_EVAL[name].findall(text)
    return (found[0] if name == "strict-match" else found[-1]).strip() if found else None


def lm_eval_equal(answer: str | None, gold: str) -> bool:
    """Whether an answer is the same text as a solution from its mark on, the ignored aside."""
    return answer is not None and _compared(answer) == _compared(gold)


def _compared(text: str) -> str:
    for pattern in _IGNORED:
        text = pattern.sub("", text)
    return text.lower()


# --- tasks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GSM8K(WrittenAnswer):
    """The answer follows "Answer:", and is read in all four ways."""

    until: tuple[str, ...] = PROTOCOL_STOPS

    name = "gsm8k"
    about = "GSM8K, solutions after five examples; DATA/gsm8k-{test,train}.jsonl"
    n_shots = 5
    main = "exact_match,flexible"
    chat_form = "gsm8k_chat"
    test = ("gsm8k-test", "gsm8k/test", "gsm8k/gsm8k-test", "test")
    train = ("gsm8k-train*.jsonl", "gsm8k/gsm8k-train*.jsonl", "gsm8k/train", "train")
    hub = HubData(
        "openai/gsm8k",
        "740312add88f781978c0658806c59bc2815b9866",
        test=("main/test",),
        train=("main/train",),
    )

    def document(self, row: Row) -> Document:
        values = row.fits({"question": str, "answer": str})
        target = extract_answer(values["answer"], "strict")
        return Document(values["question"], fields={**values, "target": target})

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\nAnswer:"

    def solution(self, document: Document) -> str:
        return solution(document)

    def reading(self, document: Document, text: str) -> Verdict:
        found = {method: extract_answer(text, method) for method in METHODS}
        right = {method: same_number(found[method], document.target) for method in METHODS}
        for name in _LM_EVAL:
            found[name] = lm_eval_answer(text, name)
            right[name] = lm_eval_equal(found[name], document.fields["answer"])
        return Verdict({f"exact_match,{name}": float(r) for name, r in right.items()}, found)


@dataclass(frozen=True)
class GSM8KChat(GSM8K):
    """The question is a user's turn; examples, if any, are turns before it."""

    until: tuple[str, ...] = ()
    max_new_tokens: int = 512

    name = "gsm8k_chat"
    about = "GSM8K through the chat template; DATA/gsm8k-{test,train}.jsonl"
    n_shots = 0
    needs_chat = True

    def prompt(self, document: Document) -> str:
        return document.question


def solution(document: Document) -> str:
    """The solution without the calculator's spans, such as <<48/2=24>>."""
    return re.sub(r"<<.*?>>", "", document.fields["answer"])
