"""Statistics, slices, trails and origins, as the page computes them."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.statistics import statistics
from autograd.debug.explorer.tape import record

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "autograd" / "debug" / "explorer"
node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="needs node, which runs the page's modules")


@pytest.fixture(scope="module")
def leaves():
    rng = np.random.default_rng(2)
    odd = np.array([[1, 0, -2], [np.nan, 3, np.inf]])
    arrays = {
        "W": rng.standard_normal((3, 50)), "row": rng.standard_normal((4, 3)),
        "vector": rng.standard_normal(150), "number": np.array(2.5), "odd": odd,
        "blocks": rng.standard_normal((2, 3, 4, 5)), "large": rng.standard_normal((90, 80)),
        "zeros": np.zeros(5),
    }  # fmt: skip
    return {name: Tensor(a.astype(np.float32), requires_grad=True) for name, a in arrays.items()}


@pytest.fixture(scope="module")
def result(leaves, tmp_path_factory):
    def loss():
        rows = ops.linear(leaves["row"], ops.transpose(leaves["W"]))  # (4, 50)
        others = [ops.sum(x) for name, x in leaves.items() if name not in ("W", "row")]
        return sum(others, ops.sum(rows))

    graph = graph_document(record(loss, names=leaves), "leaves", parts={})
    data, arrays = pack({"graphs": [graph]})
    path = tmp_path_factory.mktemp("data") / "data"
    path.write_text(f"{data}\n{base64.b64encode(arrays).decode()}")
    command = [node, HERE / "check_views.mjs", MODULES, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_statistics_are_those_of_python(result, leaves):
    found = dict(result["statistics"])
    assert set(found) == set(leaves)
    for name, stats in found.items():
        if name == "large":  # of a sample Python's are shown
            continue
        expected = statistics(leaves[name].data)
        counts = stats.pop("histogram")
        assert sum(counts) == sum(expected["histogram"])
        moved = np.abs(np.subtract(counts, expected.pop("histogram"))).sum()
        assert moved <= 2  # a number at the edge of two bins
        assert stats == pytest.approx(expected, rel=1e-12, abs=1e-12), name


def test_a_place_of_a_slice_is_the_cell_that_it_shows(result, leaves):
    assert {s["key"] for s in result["slices"]} == set(leaves)
    for s in result["slices"]:
        assert s["back"] == s["cell"]
        value = leaves[s["key"]].data[tuple(s["cell"])]
        assert float(s["value"]) == pytest.approx(float(value), nan_ok=True)


def test_arrow_keys_stay_inside(result, leaves):
    for s in result["slices"]:
        shape = leaves[s["key"]].shape
        for cell in s["moved"]:
            assert len(cell) == len(shape)
            assert all(0 <= i < n for i, n in zip(cell, shape, strict=True)), s
    middle = next(s for s in result["slices"] if s["key"] == "blocks" and s["cell"] != [0] * 4)
    b, h, i, j = middle["cell"]
    up, down, left, right, home, end, top, bottom = middle["moved"]
    assert up == [b, h, max(i - 1, 0), j] and down == [b, h, min(i + 1, 3), j]
    assert left == [b, h, i, max(j - 1, 0)] and right == [b, h, i, min(j + 1, 4)]
    assert (home[3], end[3], top[2], bottom[2]) == (0, 4, 0, 3)


def test_a_trail_goes_on_goes_back_and_keeps_where_it_began(result):
    *steps, longest, origin = result["trail"]
    assert steps[:3] == [2, 3, 2]  # loss -> a -> b, and back to a
    assert steps[3:] == [1] * 6  # what leads elsewhere, or is no trail
    assert longest == 200 and origin


def test_the_origin_of_a_moved_element(result):
    name, cell = result["origin"]
    assert (name, cell) == ("transpose", [0, 1])
