"""Do two results differ, or is it chance? ``tinygrad-llm eval compare A B``.

Both must be of the same protocol. Documents that both have answered are compared one by one.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.bands import mcnemar, paired_bootstrap
from tinygrad_llm.evals.results import read_results, samples_file
from tinygrad_llm.evals.runner import Sample, metrics_of, read_samples

PROTOCOL = ("protocol", "num_fewshot", "options")


class Difference(NamedTuple):
    """A metric of two results. band: of b - a. p: McNemar's, None unless all values are 0 or 1."""

    task: str
    metric: str
    n: int
    a: float
    b: float
    band: tuple[float, float]
    only_a: int
    only_b: int
    p: float | None


def compare(a: Path, b: Path) -> list[Difference]:
    """Every metric of every task that both folders have results of.

    Raises UserError if there is none, and for tasks of different protocols or documents.
    """
    first, second = read_results(a), read_results(b)
    common = [task for task in first["configs"] if task in second["configs"]]
    if not common:
        raise UserError(
            f"{a} and {b} have no task in common: {', '.join(first['configs'])} and "
            f"{', '.join(second['configs'])}"
        )
    differences = []
    for task in common:
        _check_protocol(task, a, b, first, second)
        _check_data(task, a, b, first, second)
        pairs = _pairs(task, a, b)
        reported = {name.removesuffix(",none") for name in first["results"][task]}
        for metric in [name for name in metrics_of(pairs[0][0]) if name in reported]:
            values = [(x[metric], y[metric]) for x, y in pairs]
            differences.append(_difference(task, metric, values))
    return differences


def _check_data(
    task: str, a: Path, b: Path, first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    """The files may have other names, but must have the same contents."""
    sums = [content["configs"][task].get("data_sha256") for content in (first, second)]
    if None in sums or set(sums[0].values()) == set(sums[1].values()):
        return  # an older result has no sums: its documents are compared all the same
    (name, place) = next(
        (name, place)
        for own, others, place in ((sums[0], sums[1], a), (sums[1], sums[0], b))
        for name, value in own.items()
        if value not in others.values()
    )
    raise UserError(
        f"{task} was evaluated on different data in {a} and {b}: the file {name} of {place} is not "
        "among those of the other; evaluate both on the same files"
    )


def _check_protocol(
    task: str, a: Path, b: Path, first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    def of(content: Mapping[str, Any]) -> dict[str, Any]:
        facts = {name: content["configs"][task].get(name) for name in PROTOCOL}
        return {**facts, "control": content["config"].get("control")}

    ours, theirs = of(first), of(second)
    for name, value in ours.items():
        if value != theirs[name]:
            raise UserError(
                f"{task} has another protocol in {b} than in {a}: {name} is {theirs[name]!r} and "
                f"{value!r}; evaluate both in the same way"
            )


def _pairs(task: str, a: Path, b: Path) -> list[tuple[Sample, Sample]]:
    """The samples of the documents that both have."""

    def by_document(folder: Path) -> dict[tuple[str, int], Sample]:
        samples = read_samples(folder / samples_file(task))
        return {(sample["group"], sample["doc_id"]): sample for sample in samples}

    ours, theirs = by_document(a), by_document(b)
    pairs = [(sample, theirs[key]) for key, sample in ours.items() if key in theirs]
    if not pairs:
        raise UserError(f"{a} and {b} have no document of {task} in common")
    for x, y in pairs:
        if x["metrics"] != y["metrics"]:
            raise UserError(
                f"document {x['doc_id']} of {task} has the metrics {', '.join(y['metrics'])} in "
                f"{b}, and {', '.join(x['metrics'])} in {a}"
            )
        if x["doc_hash"] != y["doc_hash"]:
            raise UserError(
                f"document {x['doc_id']} of {task} is another in {b} than in {a}: they come from "
                "different data"
            )
    return pairs


def _difference(task: str, metric: str, values: list[tuple[float, float]]) -> Difference:
    a, b = ([pair[i] for pair in values] for i in (0, 1))
    is_share = {*a, *b} <= {0, 1}
    return Difference(
        task,
        metric,
        len(values),
        fmean(a),
        fmean(b),
        paired_bootstrap(a, b),
        sum(x > y for x, y in values),
        sum(y > x for x, y in values),
        mcnemar([x == 1 for x in a], [y == 1 for y in b]) if is_share else None,
    )


def difference_table(differences: list[Difference], names: tuple[str, str]) -> str:
    """The differences as lines of text."""
    lines = []
    for d in differences:
        low, high = d.band
        line = (
            f"{d.task} {d.metric}, {d.n:,} documents: {names[0]} {d.a:.4f}, {names[1]} {d.b:.4f}; "
            f"difference {d.b - d.a:+.4f} (95 % band {low:+.4f} to {high:+.4f})"
        )
        if d.p is not None:
            line += (
                f"; only {names[0]} right {d.only_a}, only {names[1]} {d.only_b}, McNemar p = "
                f"{d.p:.3g}"
            )
        lines.append(f"{line}: {_verdict(d)}")
    return "\n".join(lines)


def _verdict(d: Difference) -> str:
    chance = d.p >= 0.05 if d.p is not None else d.band[0] <= 0 <= d.band[1]
    return "this can be chance" if chance else "this is not chance"
