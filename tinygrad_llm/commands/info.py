"""``tinygrad-llm info [MODEL]``: what this machine computes with, or what a model is.

The former is the first thing that a bug report needs.

The BLAS matters most: OpenBLAS picks its kernels by the processor, and those for an older one can
halve the speed of every matrix product.
"""

import ctypes
import glob
import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from autograd.kernels import product
from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.models import find_parts
from tinygrad_llm.commands.options import InfoOptions
from tinygrad_llm.config import PRESETS, TrainConfig
from tinygrad_llm.data import cache_folder
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.precision import why_slow
from tinygrad_llm.machine.process import keep_freed_memory
from tinygrad_llm.machine.speed import bf16_limit, gemm_limit, tokens_at_limit, training_rate
from tinygrad_llm.machine.warmup import compile_kernels
from tinygrad_llm.training.runs import versions

BF16 = "bf16 products"


def run(options: InfoOptions) -> int:
    """Print the table, or that of a model."""
    if options.model is not None:
        from tinygrad_llm.finetune.describe import describe_adapter
        from tinygrad_llm.pretrained.describe import describe

        path, adapters = find_parts(options.model, options.adapter)
        facts = describe(path, options.sha256)
        for adapter in adapters:
            facts += describe_adapter(path, adapter)
        make_console().entries(facts)
        return 0
    if options.adapter is not None:
        raise UserError("--adapter is for a model: name the one that it belongs to")
    if options.sha256:
        raise UserError("--sha256 is for a model: name one, as in `tinygrad-llm info MODEL`")
    rows = [("system", f"{platform.system()} {platform.machine()}, {processors()}")]
    rows += versions().items()
    rows += [
        ("BLAS", blas()),
        ("large products", large_products()),
        ("kernels", kernels()),
        ("GPU", gpu()),
        ("cache", cache()),
    ]
    rows += [
        (name, os.environ[name])
        for name in sorted(os.environ)
        if name.startswith(("OPENBLAS_", "OMP_NUM", "NUMBA_", "MKL_NUM", "TINYGRAD_LLM_"))
    ]
    console = make_console()
    width = console.entries(rows, len(BF16))
    limit = gemm_limit()
    console.entries([("speed", speed(limit))], width)
    console.entries([(BF16, bf16_products(limit))], width)
    return 0


def speed(limit: float) -> str:
    """The rate of matrix products, ``limit``, and the share of it that AdamW reaches on the default
    model."""
    keep_freed_memory()  # as training does
    preset = TrainConfig.preset
    config = PRESETS[preset]
    compile_kernels(config)
    rate = training_rate(config, batch_size=4)
    return (
        f"matrix products {limit / 1e9:.0f} GFLOP/s in float32 (the peak); training {preset} "
        f"{rate:,.0f} tokens/s, {rate / tokens_at_limit(config, limit):.0%} of peak"
    )


def bf16_products(limit: float) -> str:
    """How the processor computes bf16 products and how fast, or why it has none.

    ``limit`` is the rate of those in float32.
    """
    if (reason := why_slow()) is not None:
        return f"none: {reason}"
    rate = bf16_limit()
    how = str(product.method()).upper()
    return f"{how}, {rate / 1e9:.0f} GFLOP/s ({rate / limit:.1f} times float32)"


def processors() -> str:
    """The number of processors, and how many of them this process may use."""
    total = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        return f"{len(os.sched_getaffinity(0))} of {total} processors"
    return f"{total} processors"


def blas() -> str:
    """Name and version of NumPy's BLAS; its core type and threads if it is OpenBLAS."""
    config = np.show_config(mode="dicts") or {}
    build = config.get("Build Dependencies", {}).get("blas", {})
    text = f"{build.get('name', 'unknown')} {build.get('version', '')}".strip()
    library = _openblas()
    if library is None:
        return f"{text}; core type and threads unknown"
    handle, prefix, suffix = library
    core_type = getattr(handle, f"{prefix}openblas_get_corename{suffix}")
    core_type.restype = ctypes.c_char_p
    threads = getattr(handle, f"{prefix}openblas_get_num_threads{suffix}")
    return f"{text}; core type {core_type().decode()}, {threads()} threads"


def large_products() -> str:
    """What multiplies large float32 and float64 matrices."""
    from autograd.kernels import _mkl, _threads, product

    if _mkl.chosen() == "mkl":
        return f"{_mkl.version()}, {_mkl.threads(_threads.n_threads())} threads"
    if _mkl.chosen() == "kernel":
        return "a kernel of this project in float32, NumPy's BLAS in float64"
    if _mkl.chosen() == "auto" and product.method("float32") is not None:
        return (
            "a kernel of this project in float32, for results no wider than high; else NumPy's BLAS"
        )
    return "NumPy's BLAS"


def _openblas() -> tuple[ctypes.CDLL, str, str] | None:
    """The OpenBLAS in NumPy's wheel, with the prefix and suffix of its functions' names, or None.

    The wheel has it in numpy.libs (numpy/.dylibs on macOS). It is already loaded, so opening it
    again gives the one in use.
    """
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in glob.glob(str(folder / "*openblas*")):
            try:
                handle = ctypes.CDLL(path)
            except OSError:
                continue
            for prefix in ("scipy_", ""):
                for suffix in ("64_", ""):
                    if hasattr(handle, f"{prefix}openblas_get_corename{suffix}"):
                        return handle, prefix, suffix
    return None


def kernels() -> str:
    """The fused operations, and which of them have a numba or a CuPy kernel."""
    import autograd.kernels

    folder = Path(autograd.kernels.__file__).parent
    ops = sorted(path.parent.name for path in folder.glob("*/reference.py"))
    text = f"{len(ops)} fused operations"
    for file, kind in (("cpu.py", "numba"), ("cuda.py", "CuPy")):
        fast = [op for op in ops if (folder / op / file).is_file()]
        text += f"; {kind}: {', '.join(fast) or 'none'}"
    return text


def gpu() -> str:
    """The GPUs that CuPy finds."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
    except Exception as error:  # CuPy has its own types, and none may spoil the table
        return f"CuPy finds none ({str(error).splitlines()[0] if str(error) else type(error)})"
    return f"CuPy {_version('cupy')}: {', '.join(names) or 'none'}"


def _version(package: str) -> str:
    import cupy

    try:
        return version(package)
    except PackageNotFoundError:  # its wheels are called cupy-cuda12x and the like
        return getattr(cupy, "__version__", "unknown")


def cache() -> str:
    """The cache folder, and how many entries of each kind it has."""
    try:
        folder = cache_folder()
    except UserError as error:
        return str(error)

    def count(kind: str) -> int:
        path = folder / kind
        return sum(1 for p in path.iterdir() if p.name[0] != ".") if path.is_dir() else 0

    return (
        f"{folder}: {count('tokens')} prepared corpora, {count('tokenizers')} tokenizers, "
        f"{count('downloads')} downloads, {count('kernels')} compiled kernels"
    )
