"""What the modules of three views make of a page: attention's backward, memory, the bug hunt."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import autograd.debug.explorer as explorer
from autograd import Tensor, ops
from autograd.debug.explorer import heads, memory_parts, planted
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.tape import record
from autograd.device import numpy_namespace as xp
from autograd.kernels.attention import reference
from tinygrad_llm.inspect.explorable import gpt

NODE = shutil.which("node")
FOLDER = Path(explorer.__file__).parent
PARTS = {"heads": heads.part, "memory": memory_parts.part, "bugs": planted.part}

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def seen_by_the_page(tape, folder):
    """What ``check_parts.mjs`` prints for the page of a tape."""
    document = {"graphs": [graph_document(tape, "graph", parts=PARTS)]}
    path = folder / "page.html"
    path.write_text(page(document, "a page"), encoding="utf-8")
    script = Path(__file__).with_name("check_parts.mjs")
    done = subprocess.run(
        [NODE, str(script), str(FOLDER), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tape():
    example = gpt()
    return record(example.loss, example.model)


@pytest.fixture(scope="module")
def seen(tape, tmp_path_factory):
    return seen_by_the_page(tape, tmp_path_factory.mktemp("page"))


def matrices(seen_step, name):
    return np.array(seen_step["shown"][name], float)  # (B H, rows, columns)


def test_the_parts_of_attention_are_those_of_the_reference(tape, seen):
    calls = [c for c in tape.calls if type(c.op).__name__ == "CausalAttention"]
    assert [step["name"] for step in seen["attention"]] == [c.out.key for c in calls]
    for step, call in zip(seen["attention"], calls, strict=True):
        qkv, H = call.args[0].array, call.op.n_head
        Q, K, V = (a[0] for a in reference.split(xp, qkv, H))  # (H, T, D)
        P = reference.weights(xp, *reference.split(xp, qkv, H)[:2])[0][0]
        T, C = call.out.shape[1:]
        dO = call.out.gradient[0].reshape(T, H, C // H).swapaxes(0, 1)
        Y = call.out.array[0].reshape(T, H, C // H).swapaxes(0, 1)
        dP = dO @ V.swapaxes(1, 2)
        dS = P * (dP - (dO * Y).sum(-1, keepdims=True))
        root = np.sqrt(C // H)
        expected = {
            "Q": Q, "K": K, "V": V, "P": P, "Y": Y, "dO": dO, "dP": dP, "dS": dS,
            "dV": P.swapaxes(1, 2) @ dO, "dQ": dS @ K / root, "dK": dS.swapaxes(1, 2) @ Q / root,
        }  # fmt: skip
        for name, array in expected.items():
            size = np.abs(array).max()
            np.testing.assert_allclose(matrices(step, name), array, rtol=0, atol=1e-6 * size)
        (contribution,) = call.args[0].contributions
        parts = contribution.array[0].reshape(T, 3, H, C // H).transpose(1, 2, 0, 3)
        for name, array in zip(("dQ", "dK", "dV"), parts, strict=True):
            np.testing.assert_array_equal(matrices(step, name).astype(np.float32), array)


def test_rows_of_dS_sum_to_zero_within_the_bound(seen):  # noqa: N802
    for step in seen["attention"]:
        assert len(step["rows"]) == 16
        for row in step["rows"]:
            assert row["holds"] and abs(row["sum"]) <= row["bound"]
            tolerance = row["bound"] + 1e-12
            assert abs(row["channels"] - row["r"]) <= tolerance
            assert abs(row["keys"] - row["r"]) <= tolerance
        last = [row for row in step["rows"] if "wrongHolds" in row]
        assert last and not any(row["wrongHolds"] for row in last)  # the diagonal alone is caught


def test_the_mask_and_what_an_element_uses(seen):
    step = seen["attention"][0]
    expected = ~np.tri(8, dtype=bool)
    np.testing.assert_array_equal(np.array(step["masked"]).reshape(2, 8, 8), [expected] * 2)
    assert step["uses"] == [[t >= 1 for t in range(8)]] * 2  # dK[1] reads the queries from 1 on


def test_heads_that_share_keys(tmp_path):
    rng = np.random.default_rng(4)
    q, k, v = (Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
               for shape in ((1, 4, 5, 2), (1, 2, 5, 2), (1, 2, 5, 2)))  # fmt: skip

    def loss():
        y = ops.grouped_query_attention(q, k, v)
        return ops.sum(y * y)

    tape = record(loss, None, {"q": q, "k": k, "v": v})
    (step,) = seen_by_the_page(tape, tmp_path)["attention"]
    assert (step["heads"], step["batches"]) == (4, 1)
    assert all(row["holds"] for row in step["rows"])
    np.testing.assert_array_equal(matrices(step, "Q").astype(np.float32), q.data[0])
    np.testing.assert_array_equal(matrices(step, "K").astype(np.float32), k.data[0][[0, 0, 1, 1]])
    gradient = next(v_ for v_ in tape.values if v_.key == "v").gradient[0]
    summed = matrices(step, "dV").reshape(2, 2, 5, 2).sum(axis=1)
    np.testing.assert_allclose(summed, gradient, rtol=0, atol=1e-6)


def test_memory_is_that_of_python(tape, seen):
    account = memory_parts.series_of_tape(tape)
    memory = seen["memory"]
    kinds = {"tape": 0, "waiting": 1, "grad": 2}
    for name, kind in kinds.items():
        assert memory[name] == account.bytes(kind).tolist()
    assert memory["total"] == account.bytes().tolist()
    forward = len(tape.calls)
    assert memory["retained"][:forward] == memory["tape"][:forward]
    assert set(memory["retained"][forward:]) == {memory["peak"]["bytes"]}  # nothing is freed
    assert memory["again"]["bytes"] < memory["peak"]["bytes"]


def test_the_page_finds_every_planted_bug(tape, seen):
    _, plantings = planted.hunt(tape)
    assert [bug["name"] for bug in seen["zoo"]] == [p.plantable.bug.name for p in plantings]
    for bug in seen["zoo"]:
        assert bug["first"] == bug["at"] != ""
    assert seen["right"] is None
    order = [[n, x.key if kind == "leaf" else x.out.key]
             for n, (kind, x) in enumerate(tape.events)
             if kind in ("backward", "leaf")]  # fmt: skip
    assert seen["steps"] == order


def test_a_graph_without_attention_has_no_such_view(tmp_path):
    built = BUILTIN["neuron"]()
    seen = seen_by_the_page(record(built.loss, None, built.names), tmp_path)
    assert seen["attention"] == [] and len(seen["memory"]["tape"]) == 16


def test_every_row_of_every_head_is_checked(tape, seen):
    found = heads.part(tape)
    assert sorted(found) == ["h.0.attn", "h.1.attn"]
    for step in seen["attention"]:
        check = found[step["name"]]
        assert check["rows"] == check["hold"] == len(step["rows"])
        worst = max(step["rows"], key=lambda row: abs(row["sum"]) / row["bound"])
        assert check["at"] == [worst["batch"], worst["head"], worst["t"]]
        assert check["sum"] == worst["sum"] and check["bound"] == pytest.approx(worst["bound"])


def test_rows_that_do_not_sum_to_zero_are_counted(tape):
    call = next(c for c in tape.calls if type(c.op).__name__ == "CausalAttention")
    P, dP, r, dO, V = heads._matrices(call)
    assert heads.row_sums(P, dP, r, dO, V)["hold"] == 16
    off = r.copy()
    off[0, 1, 5] *= 1.001  # r of one row is wrong in its fourth digit
    found = heads.row_sums(P, dP, off, dO, V)
    assert found["hold"] == 15 and found["at"] == [0, 1, 5]


@pytest.mark.parametrize("options", [{}, {"window": 2}, {"softcap": 3.0}, {"scale": 0.3}])
def test_rows_of_grouped_heads(tmp_path, options):
    rng = np.random.default_rng(5)
    q, k, v = (Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
               for shape in ((2, 4, 5, 3), (2, 2, 6, 3), (2, 2, 6, 3)))  # fmt: skip

    def loss():
        y = ops.grouped_query_attention(q, k, v, **options)
        return ops.sum(y * y)

    tape = record(loss, None, {"q": q, "k": k, "v": v})
    (check,) = heads.part(tape).values()
    assert check["rows"] == check["hold"] == 40
    (step,) = seen_by_the_page(tape, tmp_path)["attention"]
    assert all(row["holds"] for row in step["rows"]) and step["plain"] == (
        "softcap" not in options and "scale" not in options
    )
