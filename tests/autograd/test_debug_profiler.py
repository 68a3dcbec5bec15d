"""The profiler counts calls, bytes, operations; the tape's peak; the trace is a valid one."""

import gc
import json

import numpy as np
import pytest

from autograd import Op, Parameter, Tensor, no_grad, ops
from autograd.debug import profile
from autograd.functional import recompute


def leaf(*shape, dtype=np.float64):
    return Tensor(np.ones(shape, dtype=dtype), requires_grad=True)


def test_it_counts_calls_forward_and_backward():
    x = leaf(4, 3)
    with profile() as p:
        for _ in range(3):
            y = ops.tanh(x)
            (y * y).sum().backward()
        with no_grad():
            ops.tanh(x)
    rows = p.rows()
    assert {name: (r.calls, r.backward_calls) for name, r in rows.items()} == {
        "Tanh": (4, 3),
        "Multiply": (3, 3),
        "Sum": (3, 3),
    }
    assert all(r.forward > 0 and r.backward > 0 for r in rows.values())
    assert 0 < sum(r.seconds for r in rows.values()) <= p.seconds
    ops.tanh(x)
    assert p.rows()["Tanh"].calls == 4  # it is over


def test_it_counts_operations_of_products_exactly():
    a, b = leaf(5, 7), leaf(7, 3)
    with profile() as p:
        ops.matmul(a, b).sum().backward()
    assert p.rows()["MatMul"].flops == 3 * 2 * 5 * 7 * 3  # one product forward, two backward
    with profile() as p:
        ops.matmul(a, np.ones((7, 3))).sum().backward()
    assert p.rows()["MatMul"].flops == 2 * 2 * 5 * 7 * 3
    with profile() as p:  # one multiplication and one addition for each of 5 x 7 x 3 terms
        ops.matmul(a, b)
    assert p.rows()["MatMul"].flops == 2 * 5 * 7 * 3
    x, w = leaf(2, 5, 7), leaf(3, 7)
    with profile() as p:
        ops.linear(x, w).sum().backward()
    assert p.rows()["Linear"].flops == 3 * 2 * (2 * 5) * 7 * 3
    with profile() as p:
        (ops.reshape(a, (35,)) * 2.0).sum().backward()
    assert p.rows()["Reshape"].flops == 0 and p.rows()["Multiply"].flops == 2 * 35


def test_rows_by_line_name_the_callers():
    x = leaf(3)
    first = test_rows_by_line_name_the_callers.__code__.co_firstlineno
    with profile() as p:
        y = ops.exp(x) + ops.sin(x)  # line 4
        y.sum().backward()
    found = {int(name.rpartition(":")[2]) - first: row.ops for name, row in p.rows("line").items()}
    assert found == {4: {"Exp", "Sin", "Add"}, 5: {"Sum"}}
    assert all("test_debug_profiler.py" in name for name in p.rows("line"))
    with pytest.raises(ValueError, match='by "op" or by "line"'):
        p.rows("file")


def test_saved_bytes_leave_leaves_out_and_count_masks_and_caches():
    x = leaf(100, dtype=np.float32)
    with profile() as p:
        h = ops.exp(x)  # keeps its output
        loss = (h * x).sum()  # keeps h and x: x is a leaf
    assert p.rows()["Exp"].saved == 400 and p.rows()["Multiply"].saved == 400
    assert p.peak.bytes == 400  # the same array, once
    with profile() as p:
        y = ops.dropout(x, 0.5, rng=np.random.default_rng(0))
    assert p.rows()["Dropout"].saved == 100 and p.peak.holders[0][0] == "Dropout"
    del loss, y


def test_peak_memory_names_what_holds_it():
    x = leaf(1000)
    with profile() as p:
        y = ops.exp(x)  # 8000 bytes
        z = ops.exp(ops.reshape(y, (10, 100))[:1])  # 800 bytes
        del y
        z.sum().backward()
        small = ops.exp(leaf(10))
    peak = p.peak
    assert peak.bytes == 8800
    assert [(op, n) for op, _, n in peak.holders] == [("Exp", 8000), ("Exp", 800)]
    assert peak.holders[0][1].file.endswith("test_debug_profiler.py")
    sizes = np.cumsum([change for _, change, _ in p._tape.changes])
    assert sizes[-1] == 80 and small.shape == (10,)  # backward released the rest


def test_a_frozen_parameter_is_no_part_of_the_tape():
    x, w = Tensor(np.ones((2, 50)), requires_grad=True), Parameter(np.ones((9, 50)))
    w.requires_grad = False
    with profile() as p:
        y = ops.linear(x, w)
    assert p.peak.bytes == 0
    del y


def test_a_graph_that_is_dropped_without_backward_leaves_the_tape():
    x = leaf(1000)
    gc.disable()
    try:
        with profile() as p:
            for _ in range(3):
                ops.exp(ops.exp(x * 0.1)).sum()
    finally:
        gc.enable()
    assert p.peak.bytes < 2 * 3 * 8000
    assert sum(change for _, change, _ in p._tape.changes) == 0


def test_what_recomputation_keeps_is_on_the_tape():
    w = Parameter(np.full((8, 8), 0.1, np.float32))
    x = Tensor(np.ones((4, 8), np.float32), requires_grad=True)

    def block(x):
        return ops.tanh(ops.tanh(ops.tanh(x @ w)))

    with profile() as p:
        y = x
        for _ in range(5):
            y = recompute(block, y)
        assert p.rows()["Recompute"].saved == 4 * x.nbytes  # the first input is a leaf
        after_forward = p.peak.bytes
        ops.sum(y).backward()
    assert after_forward >= 4 * x.nbytes
    assert sum(change for _, change, _ in p._tape.changes) == 0  # all freed


def test_retain_graph_keeps_the_tape():
    x = leaf(100)
    with profile() as p:
        y = ops.exp(x).sum()
        y.backward(retain_graph=True)
        before = sum(change for _, change, _ in p._tape.changes)
        y.backward()
    assert before == 800 and sum(change for _, change, _ in p._tape.changes) == 0


def test_ops_inside_a_backward_are_not_counted_twice():
    x = leaf(50)
    with profile() as p:
        (x * x * x).sum().backward(create_graph=True)
    inner = [e for e in p.events if e.kind == "forward"]
    assert len(inner) > 3  # backward was recorded as well
    assert sum(r.seconds for r in p.rows().values()) <= p.seconds


def test_an_exception_inside_an_op_leaves_the_profile_usable():
    class Fails(Op):
        def forward(self, xp, x):
            raise ZeroDivisionError

    x = leaf(3)
    with profile() as p:
        with pytest.raises(ZeroDivisionError):
            Fails()(x)
        ops.exp(x)
    assert set(p.rows()) == {"Exp"}


def test_the_table_reads_well():
    x = leaf(64, 64)
    with profile() as p:
        (ops.matmul(x, x) ** 2.0).sum().backward()
    lines = p.table().splitlines()
    assert lines[0].split()[:3] == ["op", "calls", "forward"]
    assert len({len(line) for line in lines[2:5]}) == 1  # aligned
    assert "3 ops" in lines[-3] and lines[-2] == "peak memory of the tape: 32.0 KiB"
    assert lines[-1].endswith("of it")
    assert "... and 2 more" in p.table(limit=1)
    assert "MatMul" in p.table("line")


def test_the_chrome_trace_is_complete_json(tmp_path):
    x = leaf(3)
    with profile() as p:
        ops.exp(ops.sin(x)).sum().backward()
    path = p.chrome_trace(tmp_path / "trace.json")
    trace = json.loads(path.read_text())
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["cat"]) for e in spans] == [
        ("Sin", "forward"), ("Exp", "forward"), ("Sum", "forward"),
        ("Sum", "backward"), ("Exp", "backward"), ("Sin", "backward"),
    ]  # fmt: skip
    for a, b in zip(spans, spans[1:], strict=False):
        assert a["ts"] + a["dur"] <= b["ts"] + 1e-3
    assert all({"pid", "tid", "ts", "dur", "args"} <= set(e) for e in spans)
    assert [e["args"]["bytes"] for e in trace["traceEvents"] if e["ph"] == "C"][-1] == 0
