"""The table of all tasks. A new one is a short file (task.py shows one) and a line here."""

from tinygrad_llm.evals import mmlu
from tinygrad_llm.evals.task import Task

_ALL: tuple[Task, ...] = (
    mmlu.MMLU(),
    mmlu.MMLUCompletion(),
    mmlu.MMLUChat(),
)

TASKS = {task.name: task for task in _ALL}
"""Name -> task."""
