r"""Competition problems (MATH, Hendrycks et al. 2021) whose solution ends with "\boxed{answer}".

    math       for base models: "Problem:\n{p}\n\nSolution:" after four solved examples
    math_chat  the problem as a user's turn, through the model's chat template

The answer of a text is what its last \boxed contains. Two answers are equal if they are written
alike once everything is gone that only concerns how they look: \dfrac and \frac are the same, and
so are \frac12 and 1/2, 50\% and 50, 90^\circ and 90, 5\text{ cm} and 5, x = 5 and 5. The list is
that of the paper's own comparison, but numbers are compared as numbers here: 2.50 = 2.5 = 5/2.

Data: math-test.jsonl and math-train.jsonl (for the examples) in DATA, or test.jsonl and train.jsonl
in DATA/math, with rows {"problem", "solution", "level", "type"}. Every type has a score of its own.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document, Verdict
from tinygrad_llm.evals.written_answer import WrittenAnswer

SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
    "prealgebra", "precalculus",
)  # fmt: skip
_ROW = {"problem": str, "solution": str, "level": (str, int), "type": str}


def boxed_answer(text: str) -> str | None:
    r"""The content of the last \boxed{...} (or \fbox{...}) of a text, braces within it included, or
    None if there is none or it is not closed. "\boxed 5" ends at a space or dollar sign."""
    found = list(re.finditer(r"\\(?:boxed|fbox)(?![A-Za-z])\s*", text))
    if not found:
        return None
    rest = text[found[-1].end() :]
    if not rest.startswith("{"):
        bare = re.match(r"[^\s${}]+", rest)
        return bare[0] if bare else None
    depth = 0
    for i, c in _characters(rest):
        depth += (c == "{") - (c == "}")
        if depth == 0:
            return rest[1:i].strip()
    return None


def _characters(text: str) -> list[tuple[int, str]]:
    r"""The characters with their places; \{ and \} are one, and no brace."""
    return [(m.start(), m[0]) for m in re.finditer(r"\\.|.", text, re.DOTALL)]


_LINE_END_OR_DROPPED = re.compile(
    r"(\\\\)|\\(?:left|right|degree|displaystyle)(?![a-z])|\\[!,;: $%]|[$%\u00b0~]"
    r"|\^\{\\circ\}|\^\\circ(?![a-z])"
)
_WORDS = r"\\(?:text|mbox|mathrm|textrm|textbf|mathbf)\s*\{([^{}]*)\}"
_UNIT = re.compile(rf"(?<=[\d}}]){_WORDS}(?:\^(?:\d|\{{\d\}}))?$")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NUMBER = re.compile(r"(-?)(\d*\.?\d+|\d+\.)|(-?)\\frac\{(-?\d+)\}\{(-?\d+)\}")
MAX_DIGITS = 1000
"""Of an answer that is compared as a number."""


def normalized(answer: str) -> str:
    """The form that all ways to write an answer have in common. A number becomes "7" or "5/2"."""
    s = re.sub(r"\\[dt]frac(?![a-z])", r"\\frac", answer).replace("{,}", ",")
    s = _LINE_END_OR_DROPPED.sub(lambda found: found[1] or "", s).strip().removesuffix(".")
    s = re.sub(_WORDS, r"\1", _UNIT.sub("", re.sub(r"\s+(?=\\)", "", s)))
    s = re.sub(r"\s+", "", s)
    s = re.sub(r"^[A-Za-z]\w?=(?=[^=]+$)", "", s)  # "x = 5"
    s = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", s)
    s = re.sub(r"\\frac(?:(\w)|\{([^{}]*)\})(?:(\w)|\{([^{}]*)\})", _fraction, s)
    s = re.sub(r"^(-?)(\d+)/(\d+)$", r"\1\\frac{\2}{\3}", s)
    if _THOUSANDS.fullmatch(s):
        s = s.replace(",", "")
    number = _value(s)
    return s if number is None else str(number)


def _fraction(found: re.Match[str]) -> str:
    a, b, c, d = found.groups()
    return f"\\frac{{{a or b}}}{{{c or d}}}"


def _value(s: str) -> Fraction | None:
    found = _NUMBER.fullmatch(s)
    if found is None or len(s) > MAX_DIGITS:
        return None
    sign, decimal, sign_of_fraction, numerator, denominator = found.groups()
    if decimal is not None:
        return Fraction(f"{sign}{decimal}")
    if int(denominator) == 0:
        return None
    return Fraction(int(f"{sign_of_fraction}1") * int(numerator), int(denominator))


def same_answer(one: str | None, other: str | None) -> bool:
    """Whether two results of ``boxed_answer`` are equal; None equals nothing."""
    return one is not None and other is not None and normalized(one) == normalized(other)


def _on_hub(split: str) -> tuple[str, ...]:
    return tuple(f"{subject}/{split}" for subject in SUBJECTS)


@dataclass(frozen=True)
class MATH(WrittenAnswer):
    """The solution follows "Solution:"."""

    until: tuple[str, ...] = ("Problem:",)
    max_new_tokens: int = 512

    name = "math"
    about = "MATH, boxed answers after four examples; DATA/math-{test,train}.jsonl"
    n_shots = 4
    main = "exact_match"
    chat_form = "math_chat"
    test = ("math-test", "math/test")
    train = ("math-train", "math/train")
    hub = HubData(
        "EleutherAI/hendrycks_math",
        "21a5633873b6a120296cce3e2df9d5550074f4a3",
        test=_on_hub("test"),
        train=_on_hub("train"),
    )

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        fields = {**values, "target": boxed_answer(values["solution"])}
        return Document(values["problem"], fields=fields, group=values["type"])

    def prompt(self, document: Document) -> str:
        return f"Problem:\n{document.question}\n\nSolution:"

    def solution(self, document: Document) -> str:
        return document.fields["solution"]

    def reading(self, document: Document, text: str) -> Verdict:
        found = boxed_answer(text)
        return Verdict({"exact_match": float(same_answer(found, document.target))}, found)


@dataclass(frozen=True)
class MATHChat(MATH):
    """The problem is a user's turn, and so is what form the answer must have."""

    until: tuple[str, ...] = ()
    max_new_tokens: int = 1024

    name = "math_chat"
    about = "MATH through the chat template; DATA/math-{test,train}.jsonl"
    n_shots = 0
    needs_chat = True

    def prompt(self, document: Document) -> str:
        return f"{document.question}\n\nWrite the final answer as \\boxed{{answer}}."
