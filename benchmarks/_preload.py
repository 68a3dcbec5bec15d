"""A library to preload, with which PyTorch's MKL runs its fastest kernels on any processor.

MKL otherwise asks for the processor's vendor, and runs slower kernels on processors that are not
Intel's.
"""

import subprocess

VENDOR_CHECK = """
int mkl_serv_intel_cpu_true(void) { return 1; }
int mkl_serv_intel_cpu(void) { return 1; }
"""


class NoCompiler(Exception):
    """The library cannot be built; the message says why."""


def vendor_library(folder):
    """The path of the library, built in ``folder`` with ``cc`` unless it is there already."""
    library = folder / "vendor.so"
    if not library.exists():
        source = folder / "vendor.c"
        source.write_text(VENDOR_CHECK)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise NoCompiler("its library needs a C compiler called cc") from None
        except subprocess.CalledProcessError as error:
            raise NoCompiler(f"cc failed: {error.stderr.strip()}") from None
    return library
