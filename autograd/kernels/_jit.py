"""How kernels are compiled: serial numba functions, which release the GIL and are cached on disk.

Three things are here because kernels went wrong, or slowly, without them:

- The flags. ``fastmath=True`` lets the compiler assume that there is no NaN and no infinity, and
  then gelu(inf) is NaN. Only the flags that reorder and contract arithmetic are set.
- The cache key. Whether a compiled kernel on disk may be used depends on its own file and on those
  of the helpers that it calls: the hash of all of them is in the key, and so is which BLAS the
  matrix product calls.
- The vectors. LLVM compiles loops for Intel's processors with 256 bits, although those with AVX-512
  have twice as many: longer vectors once slowed the clock down. OpenBLAS's products use 512 bits
  anyway, and so do the kernels between them. Each function asks for it, so numba code of others in
  this process stays as it is. Where LLVM prefers 512 bits (AMD), or has none, nothing changes.
"""

import functools
import hashlib
import inspect
import re
from pathlib import Path

import numba
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

from autograd import _erf
from autograd.kernels import _blas
from autograd.kernels._disk_cache import DiskCache

# Never nnan or ninf. Nor arcp: with it 1 / sqrt(x) becomes an estimate and a Newton step, which is
# NaN where x is infinite. A kernel that needs one reciprocal for many quotients computes it.
FLAGS = {"reassoc", "contract", "nsz"}
WIDE = numba.config.CPU_FEATURES is None
"""False if NUMBA_CPU_FEATURES is set: then the vectors are as the user says."""


class _Lower(Lower):
    """numba's translation of a function to LLVM's language, with one attribute more."""

    def setup_function(self, fndesc):
        super().setup_function(fndesc)
        if WIDE:  # set.add: llvmlite does not list attributes with a value
            set.add(self.function.attributes, '"prefer-vector-width"="512"')


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    _name = "autograd_lowering"
    lowering_class = _Lower


class _Compiler(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (_Lowering if step is NativeLowering else step, description)
            for step, description in passes.passes
        ]
        passes.finalize()
        return [passes]


KERNEL = {
    "fastmath": FLAGS, "error_model": "numpy", "nogil": True, "pipeline_class": _Compiler
}  # fmt: skip
# Helpers keep the order in which they are written, and are inlined into the loop that calls them.
HELPER = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}

COMPILING = not numba.config.DISABLE_JIT
"""False if NUMBA_DISABLE_JIT is set. Then no kernel runs: their helpers exist only compiled."""


def jit(function):
    """Compile a serial kernel: no GIL, NaN and infinities respected, cached by _disk_cache.py."""
    dispatcher = numba.njit(**KERNEL)(function)
    dispatcher._cache = DiskCache(function, _helpers_hash(_package(function)))
    return dispatcher


def part(function):
    """Compile a function into each kernel that calls it: it has no compiled version of its own.

    Otherwise a kernel would call it by name, and run the copy of whichever kernel was compiled or
    loaded first. Copies that were optimized in different places add up in different orders, so the
    first process, which compiles, would not have the bits of the next, which reads from the disk.
    """
    return numba.njit(**KERNEL, forceinline=True)(function)


def inner_part(function):
    """The same for a function that Python never calls: such a call would crash.

    It has no wrapper for it, which takes longer to compile than a small function itself.
    """
    no_wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(**KERNEL, **no_wrappers, forceinline=True)(function)


def _package(function):
    """The folder of the package that a function belongs to: ``autograd``, or one that uses it."""
    depth = function.__module__.count(".")
    return Path(inspect.getsourcefile(function)).parents[max(depth - 1, 0)]


def _sources(package):
    """All files with compiled code or its constants: a kernel may call a helper in any of them.

    These are the files of this folder, and those of ``package`` that mention numba or this module.
    """
    folder = Path(__file__).parent
    ours = {Path(_erf.__file__), *folder.glob("_*.py"), *folder.glob("*/*.py")}
    if package == folder.parent:
        return sorted(ours)
    files = (file for file in package.rglob("*.py") if _COMPILES.search(file.read_bytes()))
    return sorted(ours | set(files))


_COMPILES = re.compile(
    rb"^ *(from|import) (numba|llvmlite|autograd\.kernels\._jit)\b", re.MULTILINE
)


@functools.cache
def _helpers_hash(package):
    digest = hashlib.sha256()
    for file in _sources(package):
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} {_blas.integer_bits()} {WIDE}"
