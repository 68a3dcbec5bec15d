"""docs/differences.md: every row has its test, and every rule of the oracle its row."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracle.choices import CHOICES

from autograd import Tensor, ops

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "differences.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
ROWS = [row for row in ROWS if not row.startswith(("| what", "| ---"))]


def test_every_row_names_a_test_that_exists():
    assert len(ROWS) > 45
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4 and all(cells), row
        found = re.fullmatch(r"(test_\w+\.py)::(test_\w+)", cells[3])
        assert found, row
        (file,) = (ROOT / "tests").rglob(found[1])
        source = file.read_text()
        assert f"def {found[2]}(" in source, row


def test_every_rule_of_the_oracle_has_its_row():
    for rule in CHOICES:
        assert rule in PAGE, rule


# --- Rows that nothing else tests ----------------------------------------------------------------


def test_a_number_stays_weak_where_numpys_functions_widen():
    x = np.ones(3, "f4")
    for name in ("outer", "kron", "inner", "append", "dot"):
        assert getattr(ops, name)(x, 2.0).dtype == "f4"
    assert ops.diff(x, prepend=1.0).dtype == "f4"
    assert np.outer(x, 2.0).dtype == np.kron(x, 2.0).dtype == np.append(x, 2.0).dtype == "f8"


def test_a_number_in_a_list_is_an_array():
    x = np.ones(3, "f4")
    assert ops.concatenate([x, 2.0], axis=None).dtype == "f8"
    assert ops.stack([x[0], 2.0]).dtype == np.stack([x[0], 2.0]).dtype == "f8"


def test_the_reciprocal_of_an_integer_is_a_float():
    assert ops.reciprocal(np.array([2, 4])).data.tolist() == [0.5, 0.25]
    assert np.reciprocal(np.array([2, 4])).tolist() == [0, 0]


def test_the_variance_divides_by_n():
    x = [1.0, 2.0, 6.0]
    assert ops.var(x).item() == np.var(x)
    torch = pytest.importorskip("torch", reason="PyTorch divides by N - 1")
    assert ops.var(x, ddof=1).item() == pytest.approx(torch.var(torch.tensor(x)).item())


def test_classes_are_the_last_axis():
    torch = pytest.importorskip("torch", reason="compares with PyTorch, where they are the second")
    logits = np.random.default_rng(0).standard_normal((2, 3, 4))
    targets = np.array([[0, 1, 3], [2, 2, 0]])
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits).transpose(1, 2), torch.tensor(targets)
    )
    assert ops.cross_entropy(logits, targets).item() == pytest.approx(theirs.item())


def test_an_array_of_axes():
    x = np.ones((2, 1, 3))
    axes = np.array([0, 2])
    assert ops.flip(x, axes).shape == np.flip(x, axes).shape
    assert ops.expand_dims(x, axes).shape == (1, 2, 1, 1, 3)
    with pytest.raises(TypeError, match="axis"):
        ops.sum(x, axes)


@pytest.mark.parametrize("argument", ["out", "dtype", "where", "initial"])
def test_arguments_that_would_write_or_leave_out_are_refused(argument):
    for name in ("sum", "mean", "prod", "max", "std", "cumsum", "add", "exp", "clip"):
        with pytest.raises(TypeError, match=f"{name}.*'{argument}'"):
            getattr(ops, name)(*[Tensor(1.0)] * (2 if name == "add" else 1), **{argument: None})


def test_random_numbers_come_from_a_generator_that_is_passed():
    with pytest.raises(ValueError, match="so that runs can repeat"):
        ops.dropout(np.ones(3))
