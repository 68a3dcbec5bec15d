"""One call by NumPy and by us: do they agree?

They agree if both give the same values, shape and type, or if both raise and our error is one clear
sentence. If we accept the call, its gradient is compared with finite differences of NumPy's.
"""

import re
import warnings
from dataclasses import dataclass

import numpy as np

from autograd import Tensor, grad

ERRORS = (TypeError, ValueError, IndexError, OverflowError)
"""What a function may raise: AxisError and LinAlgError are ValueErrors, and an OverflowError says
that a number does not fit into the integers of an array."""

PYTHONS = re.compile(
    "has no attribute|not iterable|to unpack|(tuple|list) index|unsupported operand|NoneType"
    "|not subscriptable|not callable|modulo by zero|can only concatenate|cannot unpack|has no len"
    "|not supported between|bad operand|interpreted as an integer|scalar arrays can be"
)
"""Messages of Python that describe a failure inside, and not the mistake in the call."""

NEAR = {"e": 1e-2, "f": 2e-5, "d": 1e-11}


@dataclass
class Call:
    """One function with operands and options, for NumPy and for us."""

    name: str
    theirs: object
    ours: object
    operands: list
    options: dict
    kinks: str | None
    """Where its derivative jumps: nowhere (None), at "ties" of elements, or at "many" points."""
    coarse: bool
    """Whether it may compute in the smallest of its operands' types, though the result is wider."""

    def run(self, function, operands):
        return function(*operands, **self.options)

    def __str__(self):
        def described(x):
            if isinstance(x, np.ndarray):
                return f"{x.dtype}{x.shape}"
            return repr(x)

        shown = [described(x.theirs) for x in self.operands]
        shown += [f"{k}={v!r}" for k, v in self.options.items()]
        return f"{self.name}({', '.join(shown)})"


def judge(call, rng, choices):
    """ "same", "refused" or "chosen" (by a rule of ``choices``); AssertionError if we disagree."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _judge(call, rng, choices)


def _judge(call, rng, choices):
    try:
        expected, refusal = _arrays(call.run(call.theirs, [x.theirs for x in call.operands])), None
    except Exception as error:  # whatever NumPy raises
        expected, refusal = None, error
    try:
        found = call.run(call.ours, [x.ours for x in call.operands])
    except Exception as error:
        _assert_a_sentence(call, error, refusal)
        if refusal is not None:
            wrong_axis = isinstance(refusal, np.exceptions.AxisError)
            other = type(error) is TypeError or "takes matrices" in str(error)
            if wrong_axis and not other and np.ndim(call.operands[0].theirs):
                assert isinstance(error, np.exceptions.AxisError), f"{call}: NumPy's is AxisError"
            return "refused"
        assert chosen(choices, call, error), f"{call}: NumPy accepts it, we say: {error!r}"
        return "chosen"
    if refusal is not None:
        assert chosen(choices, call, None), f"{call}: we accept it, NumPy says: {refusal!r}"
    else:
        _assert_equal(call, _arrays(found), expected)
    _check_gradients(call, found, rng, refusal is None)
    return "same" if refusal is None else "chosen"


def chosen(choices, call, error):
    """Whether one of the rules says that we differ here on purpose."""
    return any(
        re.fullmatch(names, call.name)
        and (re.search(message, str(error)) if error and message else error is message)
        and applies(call)
        for names, message, applies in choices.values()
    )


def _assert_a_sentence(call, error, refusal):
    text = str(error)
    assert isinstance(error, ERRORS), f"{call}: {error!r} is of the wrong kind ({refusal!r})"
    one_line = "\n" not in text and len(text) > 8
    ours = not PYTHONS.search(text)
    assert one_line and ours, f"{call}: this is no clear sentence: {error!r} (NumPy: {refusal!r})"


def _arrays(result):
    results = result if isinstance(result, (list, tuple)) else [result]
    return [np.asarray(y.data if isinstance(y, Tensor) else y) for y in results]


def _assert_equal(call, found, expected):
    assert len(found) == len(expected), f"{call}: {len(found)} results, NumPy has {len(expected)}"
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape, f"{call}: shape {a.shape}, NumPy's is {b.shape}"
        assert a.dtype == b.dtype, f"{call}: type {a.dtype}, NumPy's is {b.dtype}"
        if a.dtype.kind == "f":
            size = np.abs(b[np.isfinite(b)]).max(initial=0)
            near = NEAR[a.dtype.char]
            if call.coarse:
                types = {np.asarray(x.theirs).dtype.char for x in call.operands}
                near = max(NEAR.get(c, 0) for c in types | {a.dtype.char})
            floor = near * max(float(size), 0.1 if a.dtype == "f2" else 1e-3)
            same = np.allclose(a, b, rtol=near, atol=floor, equal_nan=True)
        else:
            same = np.array_equal(a, b)
        assert same, f"{call}: {a.tolist()}, NumPy gives {b.tolist()}"


def _check_gradients(call, found, rng, compare):
    """Both ways to the gradient agree, and so do finite differences where they exist."""
    ys = list(found) if isinstance(found, (list, tuple)) else [found]
    which = [i for i, y in enumerate(ys) if isinstance(y, Tensor) and y.requires_grad]
    ys = [ys[i] for i in which]
    wanting = [x for x in call.operands if x.wants_gradient]
    xs = [x.ours for x in wanting]
    if not ys or not xs:
        return
    ws = [np.asarray(rng.standard_normal(y.shape)).astype(y.dtype) for y in ys]
    first = grad(ys, xs, ws, retain_graph=True, allow_unused=True)
    again = grad(ys, xs, ws, create_graph=True, allow_unused=True)
    kept = [g for g in again if g is not None and g.requires_grad]
    if kept:  # the values of the second derivatives are for the samples: here they must exist
        grad(kept, xs, kept, allow_unused=True)
    for x, g, h in zip(xs, first, again, strict=True):
        if g is None:
            continue
        assert (g.shape, g.dtype) == (x.shape, x.dtype), f"{call}: a gradient of {g.dtype}{g.shape}"
        near = 10 * NEAR[x.dtype.char]
        size = np.abs(g.data[np.isfinite(g.data)]).max(initial=0)
        floor = near * max(float(size), 0.1)  # what cancels keeps its rounding
        same = np.allclose(h.data, g.data, rtol=near, atol=floor, equal_nan=True)
        assert same, f"{call}: {g.data.tolist()}, and with create_graph {h.data.tolist()}"
    exact = compare and all(y.dtype == "f8" for y in ys) and all(x.dtype == "f8" for x in xs)
    ties = call.kinks == "ties" and any(x.alike for x in wanting)
    if exact and not ties and call.kinks != "many":
        _compare_with_differences(call, wanting, first, which, ys, ws, rng)


def _compare_with_differences(call, wanting, gradients, which, ys, ws, rng):
    ds = [np.asarray(rng.standard_normal(np.shape(x.theirs))) for x in wanting]

    def along(step):
        at = {id(x): x.theirs + step * d for x, d in zip(wanting, ds, strict=True)}
        results = _arrays(call.run(call.theirs, [at.get(id(x), x.theirs) for x in call.operands]))
        return sum(float((w * results[i]).sum()) for w, i in zip(ws, which, strict=True))

    predicted = sum(
        float((g.data * d).sum()) for g, d in zip(gradients, ds, strict=True) if g is not None
    )
    rough, measured = ((along(step) - along(-step)) / (2 * step) for step in (4e-6, 1e-6))
    if not np.isfinite(measured):
        return  # outside of the function's domain
    size = sum(float(np.abs(w * y.data).sum()) for w, y in zip(ws, ys, strict=True))
    near = 1e-5 * (abs(measured) + abs(predicted)) + 1e-7 * (1 + size) + 2 * abs(rough - measured)
    assert abs(predicted - measured) <= near, (
        f"{call}: the gradient says {predicted}, finite differences {measured}"
    )
