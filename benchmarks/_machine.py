"""Shared by the benchmarks: the machine, timing, peak memory, and results as a table or as JSON."""

import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "numpy", "numba", "torch", "jax", "transformers", "llama_cpp_python", "tokenizers", "tiktoken",
)  # fmt: skip
MATTERS = (
    "OPENBLAS_", "OMP_", "MKL_", "NUMBA_", "KMP_", "GOMP_", "LD_PRELOAD", "MALLOC_",
    "TINYGRAD_LLM_",
)  # fmt: skip


def processor():
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores():
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_type():
    """The instruction set that NumPy's OpenBLAS chose for this machine."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    import numpy  # noqa: F401 (loads its BLAS)

    return ", ".join(sorted({str(lib.get("architecture")) for lib in threadpool_info()}))


def environment():
    """Versions, processor, cores, BLAS and the variables that affect speed, as a dictionary."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "versions": versions,
        "blas_core_type": core_type(),
        "kernel_threads": int(os.environ.get("NUMBA_NUM_THREADS") or cores()),
        "threading_layer": "the kernels' own threads (autograd/kernels/_threads.py)",
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(MATTERS)},
    }


def say_environment(about, say=print):
    """Print the dictionary of ``environment`` in a few lines."""
    packages = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    say(f"Python {about['python']}, {about['processor']}, {about['cores']} cores")
    say(f"{packages}; BLAS core type {about['blas_core_type']}")
    say(f"threads of the kernels: {about['kernel_threads']}, {about['threading_layer']}")
    for name, value in about["variables"].items():
        say(f"{name}={value}")


def say_method(about, say=print):
    """Say how bf16 products are computed; ``about`` has the product's method and why_not."""
    if about["method"] is None:
        say(f"bf16 products: in float32, of rounded operands: {about['why_not']}")
    else:
        say(f"bf16 products: {about['method']}")


def spread(values):
    """Median, lowest and highest of some numbers, as a dictionary."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def seconds_of(call, seconds=0.2, calls=3):
    """The median time of ``call``, measured for at least ``seconds`` and ``calls`` calls.

    One call before these is not timed.
    """
    call()
    times = []
    begun = time.perf_counter()
    while len(times) < calls or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_rss():
    """The largest resident memory of this process so far, in bytes; see ``forget_peak_rss``."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def forget_peak_rss():
    """Let ``peak_rss`` start again here, so that it leaves out compiling (Linux only)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def table(rows, right=1):
    """Rows of cells as text, a rule below the first; columns from ``right`` on align right."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            str(cell).rjust(w) if i >= right else str(cell).ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def add_json_option(parser):
    """Add ``--json``, whose value is the path for ``write_json``, and "-" if it has none."""
    about = "write the figures to PATH; - is standard output"
    parser.add_argument("--json", nargs="?", const="-", metavar="PATH", help=about)


def write_json(content, path):
    """Write ``content`` to a file, to standard output if ``path`` is "-", nowhere if it is None."""
    text = json.dumps(content, indent=2)
    if path == "-":
        print(text)
    elif path is not None:
        Path(path).write_text(text + "\n")
