"""Rewards: functions that give each answer a number, the more the better.

    gsm8k_strict, gsm8k_flexible    1 if the answer to a word problem is right (evals/gsm8k.py)
    format:REGEX                    1 if the regular expression is found in the answer
    length:N                        minus the distance of the answer's length from N characters
    FILE.py:NAME                    the function NAME of a file of your own

A function is called as TRL calls it: with lists ``prompts``, ``completions`` and ``completion_ids``
of the same length, and a list for every other column of the data, by its name. It returns a number
for each answer, or None for one that is not its concern:

    def short(completions, **columns):
        return [-len(text) for text in completions]

The reward of an answer is the sum over the functions, each with its weight.
"""

import math
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.gsm8k import extract_answer, same_number
from tinygrad_llm.files import user_path

GSM8K = {"gsm8k_strict": "strict", "gsm8k_flexible": "flexible"}
KINDS = "gsm8k_strict, gsm8k_flexible, format:REGEX, length:N, FILE.py:NAME"


@dataclass(frozen=True)
class Reward:
    """A reward function, its name, and the file that it is from, if it is none of ours."""

    name: str
    function: Callable[..., Any]
    file: str | None = None

    def __call__(self, arguments: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """The reward of each answer (N,), float64; NaN where the function returned None.

        Raises UserError for a function that raises, and for a result that is not N numbers: one
        sentence with file, line and name.
        """
        n = len(arguments["completions"])
        begin = getattr(getattr(self.function, "__code__", None), "co_firstlineno", 0)
        try:
            found = self.function(**arguments)
        except UserError:
            raise
        except Exception as error:
            place = self._place(_line(error, self.file) or begin)
            raise UserError(f"{place} {_raised(error)}") from None
        where = self._place(begin)
        try:
            values = list(found)
        except TypeError:
            raise UserError(
                f"{where} returned {_short(found)}, expected a list of {n} numbers"
            ) from None
        if len(values) != n:
            raise UserError(f"{where} returned {len(values)} rewards for {n} answers")
        return np.array([self._number(value, i, where) for i, value in enumerate(values)])

    def _number(self, value: Any, i: int, where: str) -> float:
        if value is None:
            return math.nan
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError(
                f"{where} returned {_short(value)} for answer {i + 1}, expected a finite number, "
                "or None for an answer that is not its concern"
            )
        return number

    def _place(self, line: int) -> str:
        if self.file is None:
            return f"the reward {self.name}"
        return f"{self.file}{f', line {line}' if line else ''}: the reward function {self.name}"


class Rewards:
    """Several reward functions with their weights, which are 1 by default."""

    def __init__(self, functions: Sequence[Reward], weights: Sequence[float] = ()) -> None:
        if weights and len(weights) != len(functions):
            raise UserError(
                f"there are {len(weights)} reward weights for {len(functions)} reward functions"
            )
        self.functions, self.names = functions, _different([one.name for one in functions])
        self.weights = np.array(weights or [1.0] * len(functions))

    def __call__(
        self, arguments: Mapping[str, Sequence[Any]]
    ) -> tuple[np.ndarray, dict[str, float]]:
        """The reward of each of N > 0 answers (N,), and ``rewards/NAME/mean`` and ``/std``.

        Raises UserError as a Reward does, and for an answer that no function gave a number.
        """
        found = np.stack([function(arguments) for function in self.functions])  # (functions, N)
        concern = ~np.isnan(found)
        if not concern.any(axis=0).all():
            number = 1 + int(concern.any(axis=0).argmin())
            raise UserError(
                f"{', '.join(self.names)}: no reward function returned a number for answer {number}"
            )
        metrics = {}
        for name, values, own in zip(self.names, found, concern, strict=True):
            if own.any():
                metrics[f"rewards/{name}/mean"] = float(values[own].mean())
                deviation = values[own].std(ddof=1) if own.sum() > 1 else 0.0
                metrics[f"rewards/{name}/std"] = float(deviation)
        return np.where(concern, found, 0.0).T @ self.weights, metrics


def load_reward(spec: str) -> Reward:
    """The reward that the command line names so; the forms are at the top of this file.

    Raises UserError, one sentence, for one that does not exist or cannot be loaded.
    """
    if spec in GSM8K:
        return Reward(spec, _gsm8k(spec))
    kind, _, argument = spec.partition(":")
    if kind == "format" and argument:
        return Reward("format", _format(argument))
    if kind == "length" and argument.isdecimal():
        return Reward("length", _length(int(argument)))
    if file_of(spec) is not None:
        return _from_file(spec)
    raise UserError(f"the reward {spec!r} is not known, expected one of {KINDS}")


def file_of(spec: str) -> Path | None:
    """The file of a reward FILE.py:NAME; None for one of ours."""
    path, _, name = spec.rpartition(":")
    is_file = path.endswith(".py") and name.isidentifier() and not spec.startswith("format:")
    return user_path(path) if is_file else None


def with_file(spec: str, path: Path) -> str:
    """The same function of the file ``path``."""
    return f"{path}:{spec.rpartition(':')[2]}"


def _from_file(spec: str) -> Reward:
    path, name = file_of(spec), spec.rpartition(":")[2]
    module = ModuleType("reward")
    module.__file__ = file = str(path)
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), vars(module))
    except OSError as error:
        raise UserError(f"cannot read {file} ({error.strerror})") from None
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, file)
        place = f"{file}{f', line {line}' if line else ''}"
        raise UserError(f"{place}: reading the reward functions {_raised(error)}") from None
    if not callable(getattr(module, name, None)):
        raise UserError(f"{file} has no function {name}")
    return Reward(name, getattr(module, name), file)


# --- ours -----------------------------------------------------------------------------------------


def _gsm8k(name: str) -> Callable[..., list[float]]:
    def reward(completions: Sequence[Any], answer: Any = None, **_: Any) -> list[float]:
        if answer is None:
            raise UserError(
                f'the reward {name} needs a column answer, with solutions such as "... #### 72"'
            )
        return [
            float(same_number(extract_answer(text_of(one), GSM8K[name]), _gold(solution)))
            for one, solution in zip(completions, answer, strict=True)
        ]

    return reward


def _gold(solution: Any) -> str | None:
    return extract_answer(str(solution), "flexible")


def _format(pattern: str) -> Callable[..., list[float]]:
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(
            f"format:{pattern} is not a regular expression of Python: {error}"
        ) from None

    def reward(completions: Sequence[Any], **_: Any) -> list[float]:
        return [float(bool(expression.search(text_of(one).strip()))) for one in completions]

    return reward


def _length(characters: int) -> Callable[..., list[float]]:
    def reward(completions: Sequence[Any], **_: Any) -> list[float]:
        return [-float(abs(characters - len(text_of(one)))) for one in completions]

    return reward


def text_of(completion: Any) -> str:
    """The text of an answer, which is a list of messages where the prompt is one."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


# --- in words -------------------------------------------------------------------------------------


def _different(names: Sequence[str]) -> list[str]:
    """The names; the second of two equal ones gets _2, and so on."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _line(error: BaseException, file: str | None) -> int:
    """The line of ``file`` in which an error arose, the innermost one; 0 if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == file), 0)


def _raised(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"raised {type(error).__name__}{f': {text}' if text else ''}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
