"""What the processor offers: vector instructions, AMX's tile registers, sizes of its caches.

All of it is asked at run time, from the processor and the system the process is on.
"""

import ctypes
import functools
import platform
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
DEFAULT_CACHE_BYTES = {1: 32 << 10, 2: 1 << 20, 3: 16 << 20}
"""Sizes where the system does not tell: those of a small server processor of today."""

# Linux gives a process the tile registers, 8 KB that have to be saved for each thread, when it asks
# for them (asm/prctl.h): the numbers of the call, of the question, and of the tiles' data.
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA = 158, 0x1023, 18


@functools.cache
def features() -> dict[str, bool]:
    """The instruction sets by LLVM's names ("avx512f", "avx512bf16", "amx-bf16"), if known here."""
    import llvmlite.binding

    try:
        return dict(llvmlite.binding.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on this system
        return {}


def has(*names: str) -> bool:
    """Whether the processor has all of these instruction sets."""
    return all(features().get(name, False) for name in names)


@functools.cache
def is_intel() -> bool:
    """Whether Intel made the processor."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return "Intel" in platform.processor()


@functools.cache
def tiles_granted() -> bool:
    """Ask the system for AMX's tile registers, for this process; whether it grants them."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    ask = ctypes.CDLL(None).syscall
    return ask(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA) == 0


@functools.cache
def cache_bytes(level: int) -> int:
    """The size of a core's data cache of level 1 or 2, or of the shared one of level 3."""
    for folder in sorted(CACHES.glob("index*")):
        try:
            kind = (folder / "type").read_text().strip()
            if kind != "Instruction" and int((folder / "level").read_text()) == level:
                return _bytes((folder / "size").read_text().strip())
        except (OSError, ValueError):  # this file is missing, or says nothing
            continue
    return DEFAULT_CACHE_BYTES[level]


def _bytes(size: str) -> int:
    """Linux writes sizes as 32K or 1M."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)
