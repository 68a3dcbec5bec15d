"""The table of all tasks. A new one is a short file (task.py shows one) and a line here."""

from tinygrad_llm.evals import (
    arc,
    docstrings,
    gsm8k,
    hellaswag,
    humaneval,
    math_answers,
    mmlu,
    next_word,
    perplexity,
    piqa,
    winogrande,
)
from tinygrad_llm.evals.task import Task

_ALL: tuple[Task, ...] = (
    perplexity.Perplexity(),
    mmlu.MMLU(),
    mmlu.MMLUCompletion(),
    mmlu.MMLUChat(),
    arc.ARCEasy(),
    arc.ARCChallenge(),
    hellaswag.HellaSwag(),
    piqa.PIQA(),
    winogrande.WinoGrande(),
    gsm8k.GSM8K(),
    gsm8k.GSM8KChat(),
    math_answers.MATH(),
    math_answers.MATHChat(),
    humaneval.HumanEval(),
    humaneval.HumanEvalChat(),
    docstrings.Docstrings(),
    docstrings.DocstringsChat(),
    docstrings.SignaturesChat(),
    next_word.NextWord(),
)

TASKS = {task.name: task for task in _ALL}
"""Name -> task."""
