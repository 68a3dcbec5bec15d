"""What a graph keeps in memory, and when it lets go of it."""

import gc
import weakref

import numpy as np
import pytest
from leaves import leaf

from autograd import grad, ops, use_kernels


def test_an_intermediate_that_is_not_saved_is_freed_during_forward():
    x = leaf(10)
    intermediate = x + 1.0
    alive = weakref.ref(intermediate)
    y = intermediate.sum()
    gc.disable()
    try:
        del intermediate
        assert alive() is None
        y.backward()
        node = weakref.ref(y._node)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_a_leaf_without_references_is_skipped():
    x = leaf(3)
    y = (x * 2.0).sum()
    del x
    y.backward()


def test_a_node_is_released_when_it_has_run():
    x = leaf(3)
    y = ops.exp(x)
    z = y.sum()
    z.backward()
    assert y._node.saved is None and z._node.inputs is None


def test_second_backward_says_what_to_do():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"Sum \(made at .*test_release.py:\d+\).*retain_graph"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_cache_that_a_loss_gives_away_is_computed_again(kernels):
    h, weight = leaf(6, 5), leaf(7, 5, seed=1)
    with use_kernels(kernels):
        loss = ops.linear_cross_entropy(h, weight, np.arange(6))
        first = grad(loss, (h, weight), retain_graph=True)
        kept = [g.data.copy() for g in first]
        second = grad(loss, (h, weight), np.asarray(2.0), retain_graph=True)
        loss.backward()
    for one, before, two, x in zip(first, kept, second, (h, weight), strict=True):
        assert not np.shares_memory(one.data, two.data)
        np.testing.assert_array_equal(one.data, before)
        np.testing.assert_allclose(two.data, 2 * before, rtol=1e-12)
        np.testing.assert_allclose(x.grad.data, before, rtol=1e-12)
