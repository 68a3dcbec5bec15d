"""The terms of a cell, read in Python: they give the cell, also where the page lacks its line."""

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer.document import Builder
from autograd.debug.explorer.tape import record
from autograd.debug.explorer.terms import NoTermsError, terms_of
from tinygrad_llm.inspect.explorable import EXPLORABLE


def value_from(found, shape):
    """The cell, computed from its terms."""
    rule, attrs = found["line"]["rule"], found["line"]["attrs"]
    factors = [[f.get("value", f.get("number")) for f in term] for term in found["terms"]]
    if rule == "elementwise":
        names = dict(zip("abcdef", factors[0], strict=False)) | {
            k: v for k, v in attrs.items() if len(k) == 1
        }
        if "(" in attrs["formula"]:  # functions: the page's tests evaluate them
            return found["stored"]
        return eval(attrs["formula"].replace("^", "**"), {}, names)  # noqa: S307 (ours)
    values = [float(np.prod(term)) for term in factors]
    return {
        "max": lambda: max(values), "mean": lambda: np.mean(values), "seed": lambda: 1.0,
        "prod": lambda: np.prod(values), "logsumexp": lambda: np.log(np.sum(np.exp(values))),
    }.get(rule, lambda: sum(values))()  # fmt: skip


def check_terms(made, per_tensor=2, **limits):
    """Check the terms of some cells of every tensor; returns the rules that were seen."""
    builder = Builder(made, **limits)
    rng, rules = np.random.default_rng([14, 17]), set()
    for item in list(builder.items):
        if item.array is None or item.array.dtype.kind != "f" or item.array.size == 0:
            continue
        for flat in rng.choice(item.array.size, min(per_tensor, item.array.size), replace=False):
            cell = tuple(int(i) for i in np.unravel_index(flat, item.array.shape))
            try:
                found = terms_of(builder, item, cell)
            except NoTermsError as error:  # an inner variable of a graph that keeps no maps
                assert "from where to where" in str(error)
                assert item.kind in ("inner", "contribution")
                continue
            assert found["stored"] == item.array[cell].item()
            if found["line"] is None or found["line"]["rule"] == "opaque":
                continue
            rules.add(found["line"]["rule"])
            expected = value_from(found, item.array.shape)
            largest = max([abs(expected), *(abs(v) for v in numbers_of(found))])
            if np.isfinite(found["stored"]):
                gap = abs(expected - found["stored"])
                assert gap <= 1e-5 * largest + 1e-7, str(found)[:500]
            else:
                assert expected == found["stored"]
            for factor in (f for term in found["terms"] for f in term):
                if factor.get("id") is not None:
                    source = builder.items[factor["id"]].array
                    assert source[tuple(factor["cell"])].item() == factor["value"]
    return rules


def numbers_of(found):
    return [f["value"] for term in found["terms"] for f in term if "value" in f]


def test_the_terms_of_a_cell_give_the_cell():
    rng = np.random.default_rng([14, 19])
    x = Tensor(rng.standard_normal((100, 60)).astype(np.float32), requires_grad=True)
    w = Tensor(rng.standard_normal((60, 80)).astype(np.float32), requires_grad=True)
    tape = record(lambda: (ops.tanh(x @ w) ** 2).mean())
    assert {"matmul", "elementwise", "mean", "add"} <= check_terms(tape)
    made = EXPLORABLE["gpt"]()
    rules = check_terms(record(made.loss, made.model))
    assert {"matmul", "sum", "move", "scatter", "add", "seed", "elementwise"} <= rules


def test_the_terms_of_a_graph_too_large_for_the_page_are_found_when_asked():
    made = EXPLORABLE["gpt"]()
    tape = record(made.loss, made.model)
    builder = Builder(tape, everything=10)  # the lines of one call of each kind are on the page
    unexplained = [i for v, i in builder.value_items.items() if v.call and i.line is None]
    assert len(unexplained) > 5
    before = [item.id for item in builder.items]
    rules = check_terms(tape, everything=10)
    assert {"matmul", "elementwise", "add"} <= rules
    for item in unexplained:
        found, kept = terms_of(builder, item, (0,) * item.array.ndim), item.line
        assert found["line"] is not None and found["terms"]
        assert kept is None
    assert [item.id for item in builder.items] == before


def test_too_many_terms_are_not_listed():
    x = Tensor(np.ones((200, 200), np.float32), requires_grad=True)
    tape = record(lambda: x.sum())
    builder = Builder(tape)
    with pytest.raises(NoTermsError, match="this cell has 40,000 terms; at most 20,000"):
        terms_of(builder, builder.value_items[tape.loss], ())
