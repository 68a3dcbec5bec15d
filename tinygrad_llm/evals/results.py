"""results.json and results.md: what an evaluation has found, and everything needed to repeat it.

The JSON has the fields of lm-evaluation-harness, so that its readers can read it: a metric is
"acc,none", its standard error "acc_stderr,none". It also has the 95 % band of each share, the macro
average (the mean of the groups' scores, where "acc" is the mean over all documents), the chance
level, and the sha256 of the model, of each data file, of the documents and of the prompts.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinygrad_llm.evals.bands import share_band, standard_error
from tinygrad_llm.evals.runner import Sample, metrics_of
from tinygrad_llm.evals.task import Task
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import Whole, read_json

RESULTS, TABLE, CARD = "results.json", "results.md", "card.png"
SCHEMA = {
    "results": {...: dict},
    "configs": {...: {"data_sha256?": {...: str}, ...: object}},
    "config": dict,
    "n-samples": {...: {"original": Whole(0), "effective": Whole(0)}},
    ...: object,
}
MAX_BYTES = 1 << 26


@dataclass(frozen=True)
class TaskResult:
    """A task's samples. n_original: documents in the data, before a limit, by group. data: the
    sha256 of each file that was read."""

    task: Task
    n_shots: int
    samples: Sequence[Sample]
    n_original: Mapping[str, int]
    data: Mapping[str, str]

    def groups(self) -> dict[str, list[Sample]]:
        """Samples by group; none if the task has no groups."""
        names = dict.fromkeys(sample["group"] for sample in self.samples)
        return {
            name: [sample for sample in self.samples if sample["group"] == name]
            for name in names
            if name
        }


def samples_file(task: str) -> str:
    """The name of a task's file of samples."""
    return f"samples_{task}.jsonl"


def scores(task: Task, samples: Sequence[Sample]) -> dict[str, Any]:
    """The metrics of some samples by their names in JSON, with standard errors and bands."""
    verdicts = [metrics_of(sample) for sample in samples]
    found: dict[str, Any] = {}
    for name, value in task.total(verdicts).items():
        metric, _, filtered = name.partition(",")
        end = filtered or "none"
        found[f"{metric},{end}"] = value
        if task.means:
            values = [verdict[name] for verdict in verdicts]
            error = standard_error(values)
            found[f"{metric}_stderr,{end}"] = "N/A" if math.isnan(error) else error
            draws = task.draws(name)
            if {*values} <= {0, 1} or draws > 1:
                found[f"{metric}_band,{end}"] = list(share_band(values, draws))
    return found


def to_json(results: Sequence[TaskResult], config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results.json; ``config`` says which model, and which options."""
    content: dict[str, Any] = {
        name: {}
        for name in (
            "results", "groups", "group_subtasks", "configs", "versions", "n-shot",
            "higher_is_better", "n-samples",
        )
    }  # fmt: skip
    for result in results:
        task, groups = result.task, result.groups()
        subtasks = {f"{task.name}_{group}": group for group in groups}
        content["group_subtasks"][task.name] = list(subtasks)
        whole = {"alias": task.name, **scores(task, result.samples)}
        parts = {
            name: {"alias": f" - {group}", **scores(task, groups[group])}
            for name, group in subtasks.items()
        }
        if parts:
            for metric in [name for name in whole if is_metric(name)]:
                values = [part[metric] for part in parts.values()]
                base, _, end = metric.partition(",")
                whole[f"{base}_macro,{end}"] = math.fsum(values) / len(values)
            content["groups"][task.name] = whole
        content["results"] |= {task.name: whole, **parts}
        content["configs"][task.name] = _configuration(result)
        for name, group in {task.name: None, **subtasks}.items():
            n = len(result.samples) if group is None else len(groups[group])
            original = result.n_original
            total = sum(original.values()) if group is None else original[group]
            content["n-samples"][name] = {"original": total, "effective": n}
            content["versions"][name] = task.version
            content["n-shot"][name] = result.n_shots
            content["higher_is_better"][name] = {
                metric: metric not in task.lower_is_better for metric in _metric_names(whole)
            }
    return {**content, "config": dict(config)}


def _configuration(result: TaskResult) -> dict[str, Any]:
    """What a task's score depends on, apart from the model."""
    task = result.task
    return {
        "task": task.name,
        "protocol": f"{task.name}/{task.version}",
        "num_fewshot": result.n_shots,
        "options": asdict(task),  # type: ignore[call-overload]
        "chance": task.chance,
        "main": task.main,
        "data_sha256": dict(result.data),
        "documents_sha256": _sha256(result.samples, "doc_hash"),
        "prompts_sha256": _sha256(result.samples, "prompt_hash"),
        "metadata": {"version": task.version},
    }


def _sha256(samples: Sequence[Sample], name: str) -> str:
    """sha256 of the samples' own hashes, in order."""
    return hashlib.sha256("\n".join(sample[name] for sample in samples).encode()).hexdigest()


def _metric_names(scored: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name.split(",")[0] for name in scored if is_metric(name)))


def is_metric(name: str) -> bool:
    """Whether an entry of a task's results is a metric, not its error or band."""
    base, comma, _ = name.partition(",")
    return bool(comma) and not base.endswith(("_stderr", "_band", "_macro"))


def write_results(folder: Path, content: Mapping[str, Any]) -> None:
    """Write results.json and results.md."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / RESULTS, text.encode("utf-8", "backslashreplace"))
    write_atomically(folder / TABLE, f"{table(content)}\n".encode("utf-8", "backslashreplace"))


def read_results(folder: Path) -> dict[str, Any]:
    """The content of a folder's results.json. Raises UserError for anything else."""
    return read_json(folder / RESULTS, SCHEMA, max_bytes=MAX_BYTES)


def table(content: Mapping[str, Any]) -> str:
    """The results in Markdown: a line for each metric of each task and group."""
    rows = [("task", "shots", "documents", "metric", "value", "95 % band", "chance")]
    for name, scored in content["results"].items():
        config = content["configs"].get(name, {})
        for metric in filter(is_metric, scored):
            band = scored.get(metric.replace(",", "_band,"))
            chance = config.get("chance") if band else None
            rows.append(
                (
                    scored["alias"],
                    str(content["n-shot"][name]),
                    f"{content['n-samples'][name]['effective']:,}",
                    metric.removesuffix(",none"),
                    f"{scored[metric]:.4f}",
                    f"{band[0]:.4f} to {band[1]:.4f}" if band else "",
                    f"{chance:.2f}" if chance else "",
                )
            )
            if (macro := scored.get(metric.replace(",", "_macro,"))) is not None:
                rows.append(
                    (*rows[-1][:3], f"{rows[-1][3]}, macro average", f"{macro:.4f}", "", "")
                )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)
