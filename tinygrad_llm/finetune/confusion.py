"""The scores of a classifier in a file, as a table for a terminal and as a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.counts import counted
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import Whole, read_json
from tinygrad_llm.finetune.curves import picture
from tinygrad_llm.finetune.scores import accuracy, f1_scores
from tinygrad_llm.terminal import one_line
from tinygrad_llm.training.plot import INK

SCORES_FILE = "scores.json"
_SCHEMA = {"split": str, "labels": [str], "confusion": [[Whole(0)]], ...: object}


def write_scores(run: Path, split: str, labels: tuple[str, ...], matrix: np.ndarray) -> None:
    """Write what was found in an evaluation into scores.json of a run's folder.

    ``matrix`` (K, K) counts the texts by label and predicted class.
    """
    f1 = f1_scores(matrix)
    content = {
        "split": split,
        "labels": list(labels),
        "texts": int(matrix.sum()),
        "accuracy": accuracy(matrix),
        "f1_macro": float(f1.mean()),
        "f1": dict(zip(labels, f1.tolist(), strict=True)),
        "confusion": matrix.tolist(),
    }
    write_atomically(run / SCORES_FILE, (json.dumps(content, indent=2) + "\n").encode())


def scores_table(labels: tuple[str, ...], matrix: np.ndarray) -> str:
    """Precision, recall and F1 of each class, as lines of text."""
    width = max(5, *(len(one_line(label)) for label in labels))
    lines = [f"{'class':<{width}}   texts  precision  recall      F1"]
    found, taken, are = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    for i, (label, f1) in enumerate(zip(labels, f1_scores(matrix), strict=True)):
        precision, recall = found[i] / max(1, taken[i]), found[i] / max(1, are[i])
        lines.append(
            f"{one_line(label):<{width}}  {are[i]:>6,}  {precision:>9.4f}  {recall:.4f}  {f1:.4f}"
        )
    return "\n".join(lines)


def draw_confusion(run: Path, path: Path) -> None:
    """Draw the matrix in a run's scores.json: a row for each label, a column for each prediction.

    A cell's color is its share of the row. Raises UserError if there is no such file.
    """
    content = read_json(run / SCORES_FILE, _SCHEMA)
    labels = [one_line(label)[:24] for label in content["labels"]]
    matrix = np.array(content["confusion"])
    right = f"{accuracy(matrix):.2%} of {counted(int(matrix.sum()), 'text')}"
    side = min(12.0, max(3.6, 1.6 + 0.45 * len(labels)))

    def draw(all_axes: list[Any]) -> None:
        _draw(all_axes[0], matrix, labels)

    content = picture(side, 1, draw, f"{content['split']}: {right}", width=side + 1.4)
    write_atomically(path, content)


def _draw(axes: Any, matrix: np.ndarray, labels: list[str]) -> None:
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))  # (K, K)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(labels) <= 12:
        for (i, j), count in np.ndenumerate(matrix):
            color = "white" if shares[i, j] > 0.6 else INK
            axes.text(j, i, f"{count:,}", ha="center", va="center", color=color)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=45 if len(labels) > 4 else 0, parse_math=False)
    axes.set_yticks(places, labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
