"""Every kernel against its reference at the sizes where loops go wrong.

Around the widths of vectors and tiles, one row, one column, no rows; with the rows cut into parts
for several threads, the last part short; and in blocks. The inputs are those of
tests/helpers/kernel_cases.py, forward and backward in float32 and float64.
"""

from functools import partial
from pathlib import Path

import kernel_checks
import numpy as np
import pytest
from kernel_cases import CASES, attention, every_case
from kernel_checks import (
    assert_same,
    both_dtypes,
    fast,
    flat,
    normal,
    reference,
    room,
    root_mean_square,
    xp,
)

from autograd import kernels
from autograd.kernels import _threads

BORDERS = [15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 255, 257]
SIZES = [(1, 1), (1, 5), (2, 3), (5, 1), (0, 5), (257, 1), (65, 3), (129, 65)]
SIZES += [(3, n) for n in BORDERS] + [(n, 3) for n in BORDERS]


same = partial(assert_same, typical=root_mean_square)
compared = partial(kernel_checks.compared, typical=root_mean_square)


def test_every_kernel_is_in_the_table():
    folders = {path.parent.name for path in Path(kernels.__file__).parent.glob("*/cpu.py")}
    assert {case.op for case in CASES} == folders - {"product"}  # test_product.py has its own


@pytest.mark.parametrize(
    "case, rows, columns",
    [
        pytest.param(case, *size, id=f"{case.name}-{size[0]}-{size[1]}")
        for case in CASES
        for size in SIZES
        if size[1] > 1 or case.op not in ("layer_norm", "rms_norm")
    ],
)
@both_dtypes
def test_sizes(case, dtype, rows, columns):
    case.run(compared(case.op, dtype), **case.inputs(rows, columns, dtype))


ROWS_ONLY = (
    "attention", "grouped_query_attention", "cross_entropy", "linear_cross_entropy", "muon"
)  # fmt: skip


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.op not in ROWS_ONLY], ids=lambda case: case.name
)
@both_dtypes
@pytest.mark.parametrize("lead", [(), (1,), (2, 3), (2, 1, 3), (0, 3)], ids=str)
def test_any_number_of_axes(case, dtype, lead):
    case.run(compared(case.op, dtype), **case.inputs(lead, 5, dtype))


@both_dtypes
@pytest.mark.parametrize("rows", [1, 5, 257])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_normalization_of_a_single_column(op, dtype, rows):
    """The result is then a constant (+-1 for rms_norm), and the gradient of x is 0, or nearly.

    That gradient is a difference of two numbers of the size r g w: only their rounding is left.
    """
    (case,) = (case for case in CASES if case.op == op)
    inputs = case.inputs(rows, 1, dtype)
    r = 1 / np.sqrt((0 if op == "layer_norm" else inputs["x"] ** 2) + 1e-5)
    terms = r * np.abs(inputs["g"] * inputs["weight"]) + 10
    found, expected = (case.run(f(op), **inputs) for f in (fast, reference))
    for a, b in zip(flat(found), flat(expected), strict=True):
        if a.shape == (rows, 1):
            assert (np.abs(a - b) <= 4 * np.finfo(dtype).eps * terms).all()
        else:
            same(a, b, dtype)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts too small to be worth a thread: a few rows are divided into up to sixteen."""
    monkeypatch.setattr(_threads, "SMALLEST_PART", 8)
    monkeypatch.setattr(_threads, "n_threads", lambda: 3)
    assert _threads.rows_per_part(33, 5) < 33 / 8


@every_case
@both_dtypes
@pytest.mark.parametrize("rows, columns", [(2, 5), (15, 5), (16, 5), (17, 5), (33, 5), (7, 200)])
def test_sizes_in_many_parts(case, dtype, rows, columns, small_parts):
    case.run(compared(case.op, dtype), **case.inputs(rows, columns, dtype))


@every_case
def test_the_number_of_threads_leaves_no_trace(case, small_parts, monkeypatch):
    inputs = case.inputs(33, 200, "f4")
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(_threads, "n_threads", lambda n=threads: n)
        found.append(flat(case.run(fast(case.op), **inputs)))
    for results in found[1:]:
        for a, b in zip(results, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


@every_case
@both_dtypes
@pytest.mark.parametrize("rows, columns", [(1, 16), (3, 16), (3, 33)])
def test_where_the_arrays_lie_leaves_no_trace(case, dtype, rows, columns, monkeypatch):
    """A loop that reads one array and writes another is vectorized for arrays that lie apart.

    LLVM compiles it a second time, number by number, for an output that begins within a few vectors
    of an input. A sum in such a loop has other bits then, and small arrays are often neighbours.
    """
    inputs = case.inputs(rows, columns, dtype)
    apart = flat(case.run(fast(case.op), **inputs))  # which also compiles: that calls np.empty
    for last in inputs:
        memory = Memory()
        monkeypatch.setattr(np, "empty", memory.empty)
        monkeypatch.setattr(np, "empty_like", memory.empty_like)
        order = sorted(inputs, key=lambda name: name == last)
        close = flat(case.run(fast(case.op), **{n: memory.copy(inputs[n]) for n in order}))
        monkeypatch.undo()
        for a, b in zip(close, apart, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"results right behind {last}")


class Memory:
    """Arrays one behind the other, as malloc often puts small ones."""

    def __init__(self):
        self.bytes = np.zeros(1 << 22, "u1")
        self.used = 0

    def empty(self, shape, dtype=float):
        array = np.ndarray(shape, dtype, buffer=self.bytes, offset=self.used)
        self.used += -(-array.nbytes // 16) * 16
        return array

    def empty_like(self, x, dtype=None):
        return self.empty(x.shape, dtype or x.dtype)

    def copy(self, x):
        array = self.empty_like(x)
        array[...] = x
        return array


@every_case
@both_dtypes
def test_parts_of_the_usual_size(case, dtype):
    # in attention a part is some of the heads: test_attention_around_its_tiles has several parts
    rows, columns = (157, 8) if "attention" in case.op else (1501, 131)
    last_part = 1501 % _threads.rows_per_part(1501, 131)
    assert last_part not in (0, 1501)  # there are several parts, and the last is shorter
    case.run(compared(case.op, dtype), **case.inputs(rows, columns, dtype))


@both_dtypes
@pytest.mark.parametrize("T", [1, 31, 63, 64, 65, 127, 129, 200])
@pytest.mark.parametrize("D", [1, 5, 16, 64])
def test_attention_around_its_tiles(dtype, T, D):
    B, H = (5, 1) if D == 1 else (1, 2)  # at T = 200 five heads are three parts
    check_attention(dtype, B, T, H, D)


@both_dtypes
def test_attention_of_no_sequences_and_of_no_channels(dtype):
    check_attention(dtype, 0, 3, 2, 4)
    check_attention(dtype, 2, 3, 2, 0)


def check_attention(dtype, B, T, H, D):
    qkv = normal(B, T, 3 * H * D, dtype=dtype)
    g = normal(B, T, H * D, dtype=dtype, seed=1)
    attention(compared("attention", dtype), qkv, g, H)


@both_dtypes
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.op == "linear_cross_entropy"], ids=lambda case: case.note
)
def test_linear_cross_entropy_in_blocks(case, dtype):
    # 20 MB of logits, where a block has at most 16
    rows, classes = 1025, 20_000_000 // 1025 // np.dtype(dtype).itemsize
    case.run(compared(case.op, dtype), **case.inputs(rows, classes, dtype))


some_sizes = pytest.mark.parametrize("rows, columns", [(1, 1), (0, 5), (5, 17), (65, 129)])


@both_dtypes
@some_sizes
def test_a_gradient_is_added_to_the_buffer_that_is_claimed(dtype, rows, columns):
    ids, g = np.arange(rows) * 3 % 7, normal(rows, columns, dtype=dtype)
    x, weight = normal(rows, 7, dtype=dtype, seed=1), normal(columns, 7, dtype=dtype)
    into = normal(7, columns, dtype=dtype, seed=2)
    expected = into + reference("embedding").backward(xp, g, ids, into.shape)
    found = fast("embedding").backward(xp, g, ids, into.shape, room=room(into))
    assert found is into
    same(found, expected, dtype)
    into = normal(columns, 7, dtype=dtype, seed=2)
    expected = into + reference("linear").backward(xp, g, x, weight)[1]
    found = fast("linear").backward(xp, g, x, weight, room=room(None, into))[1]
    assert found is into
    same(found, expected, dtype)


@both_dtypes
@some_sizes
def test_layer_norm_in_place(dtype, rows, columns):
    x, g, partial = (normal(rows, columns, dtype=dtype, seed=k) for k in range(3))
    weight, reused, before = normal(columns, dtype=dtype), g.copy(), partial.copy()
    g_x, *others = reference("layer_norm").backward(xp, g, x, weight, 1e-5)
    in_place = room(partial, g=reused)
    found, *more = fast("layer_norm").backward(xp, reused, x, weight, 1e-5, room=in_place)
    assert np.shares_memory(found, reused) or not found.size
    np.testing.assert_array_equal(partial, before)  # it may be borrowed
    same((found, *more), (g_x + partial, *others), dtype)


@both_dtypes
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_in_place(dtype, approximate):
    x, g = (normal(65, 129, dtype=dtype, seed=k) for k in range(2))
    expected, reused = reference("gelu").backward(xp, g, x, approximate)[0], g.copy()
    found = fast("gelu").backward(xp, reused, x, approximate, room=room(g=reused))[0]
    assert np.shares_memory(found, reused)
    same(found, expected, dtype)


@pytest.mark.parametrize(
    "op, note",
    [
        ("softmax", ""),
        ("gelu", "tanh"),
        ("dropout", ""),
        ("adamw", ""),
        ("muon", ""),
        ("sgd", ""),
        ("linear", "with bias"),
    ],
)
@both_dtypes
def test_no_columns(op, note, dtype):
    (case,) = (case for case in CASES if (case.op, case.note) == (op, note))
    case.run(compared(case.op, dtype), **case.inputs(3, 0, dtype))


@both_dtypes
def test_embedding_of_negative_and_unsigned_ids(dtype):
    for ids in [np.array([3, 3, -1, 0]), np.array([[1], [2]], "u2"), np.array(2)]:
        g = normal(*ids.shape, 5, dtype=dtype)
        compared("embedding", dtype).backward(xp, g, ids, (4, 5))
