"""What a report tells: everything is read from the files of a pipeline's folder."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinygrad_llm.evals.compare import Difference, compare
from tinygrad_llm.evals.results import read_results
from tinygrad_llm.files.json_file import parse_json, read_json
from tinygrad_llm.pipeline.state import STATE_FILE
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import Metrics, read_metrics

MODELS = {"untrained": "untrained", "pretrain": "base", "sft": "SFT", "dpo": "DPO"}
"""The stages that make a model, in order, with the name that the report gives the model."""


@dataclass(frozen=True)
class Facts:
    """The files of a pipeline in ``folder``, read when they are asked for."""

    folder: Path

    @cached_property
    def state(self) -> dict[str, Any]:
        """The content of pipeline.json."""
        return read_json(self.folder / STATE_FILE, {...: object}, file_names=True)

    def seconds(self, *stages: str) -> float:
        """How long stages have taken; without names, all of them."""
        records = self.state["stages"]
        return sum(records[name]["seconds"] for name in stages or records)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The report of the corpus."""
        return read_json(self.folder / "data" / "report.json", {...: object}, file_names=True)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file in data/."""
        return read_lines(self.folder / "data" / f"{name}.jsonl")

    def run(self, stage: str) -> dict[str, Any]:
        """The content of a training's run.json."""
        return runs.read_run_file(self.folder / stage)

    def metrics(self, stage: str) -> list[Metrics]:
        """The lines of a training's metrics.jsonl; the last is the final evaluation."""
        return read_metrics(self.folder / stage / runs.METRICS_FILE)

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Results of evaluations by stage."""
        return {stage: read_results(self.folder / "evals" / stage) for stage in MODELS}

    @cached_property
    def differences(self) -> list[tuple[str, str, list[Difference]]]:
        """(stage before, stage, what has changed between them) for each model but the first; at the
        end, what SFT and DPO have changed together."""
        pairs = [*pairwise(MODELS), ("pretrain", "dpo")]
        evals = self.folder / "evals"
        return [(a, b, compare(evals / a, evals / b)) for a, b in pairs]

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """The prompts, each with "answers": stage -> what its model wrote."""
        found = {s: read_lines(self.folder / "evals" / s / "answers.jsonl") for s in MODELS}
        first = next(iter(found.values()))
        return [
            {**row, "answers": {s: rows[i]["answer"] for s, rows in found.items()}}
            for i, row in enumerate(first)
        ]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file of ours."""
    lines = path.read_bytes().splitlines()
    return [
        parse_json(line, f"line {n} of {path}", {...: object}) for n, line in enumerate(lines, 1)
    ]


def to_lines(rows: Any) -> str:
    """Rows as the text of such a file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
