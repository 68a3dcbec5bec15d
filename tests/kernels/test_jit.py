"""How kernels are compiled: with 512-bit vectors where there are any, unless the user says else."""

import runpy

import llvmlite.binding
import numba
import numpy as np
import pytest

from autograd.kernels import _jit


def add_three(x):
    for i in range(x.size):
        x[i] += 3


def compiled(function):
    """(LLVM's code, assembly) of a kernel, compiled now and not loaded."""
    function._cache.disable()
    x = np.zeros(100, np.float32)
    function(x)
    np.testing.assert_array_equal(x, 3)
    return *function.inspect_llvm().values(), *function.inspect_asm().values()


def test_kernels_ask_for_long_vectors_and_other_code_does_not(monkeypatch):
    monkeypatch.setattr(_jit, "WIDE", True)
    code, assembly = compiled(_jit.jit(add_three))
    assert '"prefer-vector-width"="512"' in code
    if llvmlite.binding.get_host_cpu_features().get("avx512f"):
        assert "zmm" in assembly
    assert "prefer-vector-width" not in compiled(numba.njit(add_three))[0]


def test_vectors_as_the_user_says_are_in_the_key_of_the_disk_cache(monkeypatch):
    keys = []
    for wide in (True, False):
        monkeypatch.setattr(_jit, "WIDE", wide)
        _jit._helpers_hash.cache_clear()
        keys.append(_jit._helpers_hash(_jit._package(_jit.jit)))
    assert keys[0] != keys[1]
    assert "prefer-vector-width" not in compiled(_jit.jit(add_three))[0]  # WIDE is False
    monkeypatch.undo()
    _jit._helpers_hash.cache_clear()


@pytest.mark.parametrize("value, wide", [(None, True), ("", False)])
def test_numbas_own_setting_is_respected(value, wide, monkeypatch):
    monkeypatch.setattr(numba.config, "CPU_FEATURES", value)
    assert runpy.run_path(_jit.__file__)["WIDE"] is wide
