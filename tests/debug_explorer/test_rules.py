"""Every number on the page follows from others by the rule that is named next to it."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.tape import record
from autograd.samples import SAMPLES
from tinygrad_llm.inspect.explorable import EXPLORABLE

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "autograd" / "debug" / "explorer"
NOT_TAKEN_APART = {
    "Cholesky", "Cofactors", "Det", "EigenValues", "EigenVectors", "Inv", "LeftVectors",
    "LogAbsDet", "PInv", "Product", "QFactor", "RFactor", "RightVectors", "SingularValues", "Solve",
}  # fmt: skip

node = shutil.which("node")
needs_node = pytest.mark.skipif(node is None, reason="needs node, which runs the page's modules")


def explain_every_cell(graphs, path, unknown=False):
    """What check_cells.mjs found in these graphs. With ``unknown`` terms may be missing."""
    data, arrays = pack({"graphs": graphs})
    path.write_text(f"{data}\n{base64.b64encode(arrays).decode()}")
    command = [node, HERE / "check_cells.mjs", MODULES, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    if unknown:
        result["wrong"] = [w for w in result["wrong"] if w["agrees"] is False]
    return result


def graph_of_sample(sample, dtype):
    xs = [Tensor(a, requires_grad=True) for a in sample.inputs(0, dtype)]

    def loss():
        y = sample.call(*xs)
        weights = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
        return ops.sum(y * weights)

    return graph_document(record(loss), sample.name, parts={})


@needs_node
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_cell_of_every_operation_follows_from_its_terms(tmp_path, dtype):
    samples = [s for s in SAMPLES if np.dtype(dtype).type in s.dtypes]
    result = explain_every_cell([graph_of_sample(s, dtype) for s in samples], tmp_path / "data")
    assert result["wrong"] == []
    assert result["silent"] == []
    assert result["strays"] == [] and result["uses"] > 3_000
    assert result["cells"] > 50_000
    assert set(result["opaque"]) <= NOT_TAKEN_APART
    if dtype == "float32":  # to the last bit, but for libraries that differ in exp and the like
        assert result["equal"] > 0.98 * result["cells"]
        assert len(result["rules"]) >= 18


@needs_node
def test_every_cell_of_the_built_in_graphs_follows_from_its_terms(tmp_path):
    graphs = []
    for name, make in BUILTIN.items():
        b = make()
        graphs.append(graph_document(record(b.loss, names=b.names), name, parts={}))
    for name, make in EXPLORABLE.items():
        e = make()
        graphs.append(graph_document(record(e.loss, e.model), name, parts={}))
    result = explain_every_cell(graphs, tmp_path / "data")
    assert result["wrong"] == []
    assert result["opaque"] == {}
    assert result["silent"] == []
    assert result["strays"] == [] and result["uses"] > 3_000
    assert result["lost"] == [], "the way along the largest terms ends at the loss"
    assert result["cells"] > 50_000
    assert result["equal"] > 0.99 * result["cells"]


@needs_node
def test_numbers_of_a_fast_kernel_agree_with_the_lines_of_its_definition(tmp_path):
    """A loss that was computed before, and so not by the reference implementations."""
    graphs = []
    for sample in (s for s in SAMPLES if s.kernel):
        xs = [Tensor(a, requires_grad=True) for a in sample.inputs(0, np.float32)]
        y = sample.call(*xs)
        weights = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
        graphs.append(graph_document(record(ops.sum(y * weights)), sample.name, parts={}))
    result = explain_every_cell(graphs, tmp_path / "data", unknown=True)
    assert result["wrong"] == []
    assert result["cells"] > 1_000


@needs_node
def test_a_wrong_number_is_noticed_in_every_kind_of_rule(tmp_path):
    """One element of one tensor of each rule is changed by a hundredth of the largest."""
    planted, graphs, seen = [], [], set()
    for sample in SAMPLES:
        if np.float32 not in sample.dtypes:
            continue
        graph = graph_of_sample(sample, "float32")
        for id, tensor in enumerate(graph["tensors"]):
            if tensor is None or tensor["line"] is None or tensor["data"].size == 0:
                continue
            rule = graph["lines"][tensor["line"]]["rule"]
            array = tensor["data"]
            if rule in seen or rule == "opaque" or array.dtype.kind != "f":
                continue
            seen.add(rule)
            changed = array.copy()
            at = tuple(n // 2 for n in array.shape)
            changed[at] += max(0.01, 0.01 * np.abs(array).max())
            tensor["data"] = changed
            planted.append((len(graphs), id, list(at)))
            graph["name"] = str(len(graphs))
            graphs.append(graph)
            break
    result = explain_every_cell(graphs, tmp_path / "data")
    found = [(int(w["graph"]), w["id"], w["cell"]) for w in result["wrong"]]
    assert len(planted) >= 18
    assert [p for p in planted if p not in found] == []


@needs_node
def test_formulas_and_sums_in_the_arithmetic_of_their_type():
    code = """
    const { readFormula, erf } = await import(process.argv[1] + "/formula.js");
    const p = await import(process.argv[1] + "/precision.js");
    const at = (text, values = {}, dtype = "float64") => readFormula(text).evaluate(values, dtype);
    let refused = "";
    try { at("a + foo(b)"); } catch (error) { refused = error.message; }
    console.log(JSON.stringify([
      at("-a ** 2 + b * 3", { a: 2, b: 1 }), at("2 ^ 3 ^ 2"), at("a - b - c", { a: 1, b: 2, c: 3 }),
      at("where((a > 0) & ~(b == 1), a, -inf)", { a: 1, b: 1 }) === -Infinity,
      at("0.1 + a", { a: 0 }, "float32") === Math.fround(0.1),
      at("remainder(a, b)", { a: -1, b: 3 }),
      [0.3, 2.4, 2.6, -5].map(erf), refused,
      p.ulpsApart(1, 1 + 2 ** -23, "float32"), p.ulpsApart(1, 1 - 2 ** -24, "float32"),
      p.spacingAt(3, "float32"), p.roundTo(0.1, "float16"), p.sumExactly([1, 1e100, 1, -1e100]),
      p.sumInOrder([1, 2 ** -24, 2 ** -24], "float32"), p.sumExactly([1, 2 ** -24, 2 ** -24]),
    ]));
    """
    command = [node, "--input-type=module", "-e", code, MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *numbers, erfs, refused, up, down, step, half, exact, rounded, unrounded = json.loads(
        done.stdout
    )
    assert numbers == [-1, 512, -4, True, True, 2]
    np.testing.assert_allclose(erfs, ops.erf(np.array([0.3, 2.4, 2.6, -5])).data, rtol=1e-14)
    assert refused == 'the formula "a + foo(b)" cannot be read at "foo"'
    assert (up, down, step, exact) == (1, 1, 2**-22, 2)
    assert half == float(np.float16(0.1))
    assert rounded == 1 and unrounded == 1 + 2**-23
