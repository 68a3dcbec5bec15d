"""``plot RUN RUN ...``: what is drawn, the table, and what is refused."""

import json

import numpy as np
import pytest

from tinygrad_llm import cli
from tinygrad_llm.training import plot

LINES = [
    {"step": 1, "train_loss": 4.0},
    {"step": 2, "train_loss": 3.0, "val_loss": 3.5},
    {"step": 3, "train_loss": None},
    {"step": 4, "train_loss": 2.0, "val_loss": 3.75},
    {"step": 4, "val_loss": 3.875, "final": True},
]
FINE_TUNING = [{"step": 1, "loss": 1.5, "eval_loss": 1.25}, {"step": 2, "loss": 1.0}]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the metrics of three runs."""
    for folder, lines in (
        ("a", LINES), ("other/a", LINES), ("tuned", FINE_TUNING), ("empty", [])
    ):  # fmt: skip
        (tmp_path / folder / "checkpoints").mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / folder / "metrics.jsonl").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: (points, label) of each line."""
    from matplotlib.axes import Axes

    calls = []

    def record(axes, x, y, *style, **options):
        calls.append((np.column_stack([x, y]).tolist(), options.get("label")))
        return original(axes, x, y, *style, **options)

    original = Axes.plot
    monkeypatch.setattr(Axes, "plot", record)
    monkeypatch.setattr(plot, "smooth", lambda losses: losses)
    return calls


def test_the_picture_and_the_table(here, drawn, capsys):
    assert cli.main(["plot", "a", "tuned", "--out", "p.png"]) == 0
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")
    assert drawn == [
        ([[1, 4.0], [2, 3.0], [4, 2.0]], None),
        ([[2, 3.5], [4, 3.75]], "a"),
        ([[1, 1.5], [2, 1.0]], None),
        ([[1, 1.25]], "tuned"),
    ]
    assert capsys.readouterr().out.splitlines() == [
        "run    steps  training  validation    best at",
        "a          4    2.0000      3.8750  3.5000 2",
        "tuned      2    1.0000      1.2500  1.2500 1",
        "plot        p.png",
    ]


def test_runs_of_one_name_are_told_apart(here, drawn, capsys):
    assert cli.main(["plot", "a", "other/a"]) == 0
    assert [label for _, label in drawn if label] == ["a", "other/a"]
    assert (here / "losses.png").exists()


def test_a_name_with_signs_of_mathematics_is_shown_literally(here, drawn):
    (here / "tuned").rename(here / "_$x^{$")
    assert cli.main(["plot", "_$x^{$"]) == 0


@pytest.mark.parametrize(
    "argv, words",
    [
        ("", "plot needs the folder of at least one run"),
        ("a a", "a is named twice"),
        ("a nowhere", "the run nowhere does not exist"),
        ("empty", "empty has no losses yet"),
        ("a --out other", "cannot write other: it is not a file"),
        ("a --out p.svg", "the picture is a PNG, but its name ends in .svg"),
        ("a --out nowhere/p.png", "cannot write nowhere/p.png"),
    ],
)
def test_refusals(here, capsys, argv, words):
    assert cli.main(["plot", *argv.split()]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
