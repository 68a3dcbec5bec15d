"""What every task must say about the models whose score is known."""

import math

from tinygrad_llm.evals.known import KnownModel, known_model
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items

NO_LIMITS = KnownModel("no limits", [])


def score_of(name, task, folder, metric=None, seed=0, **settings):
    """The score of a known model, and the items that it has answered."""
    items = prepare(task, folder, Settings(**settings), NO_LIMITS)
    samples = run_items(task, known_model(name, task, items, seed), items)
    total = task.total([metrics_of(sample) for sample in samples])
    return total[metric or task.main], items


def check_known_scores(task, folder, **settings):
    """The oracle is perfect, random is at chance, and first has the share that the data says."""
    for metric in run_metrics(task, folder, **settings):
        assert score_of("oracle", task, folder, metric, **settings)[0] == 1, metric
    score, items = score_of("random", task, folder, **settings)
    deviation = math.sqrt(task.chance * (1 - task.chance) / len(items))
    assert abs(score - task.chance) <= 4 * deviation
    score, items = score_of("first", task, folder, **settings)
    golds = [item.document.gold for item in items]
    assert score == golds.count(0) / len(golds)


def run_metrics(task, folder, **settings):
    """The names of a task's metrics."""
    items = prepare(task, folder, Settings(**settings), NO_LIMITS)
    (sample, *_) = run_items(task, known_model("oracle", task, items), items)
    return sample["metrics"]
