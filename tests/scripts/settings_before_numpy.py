"""The last stage sets how BLAS's threads sleep, and nothing before it imports NumPy."""

import os
import sys

from tinygrad_llm.machine.stages import STAGES, set_up_process

set_up_process(len(STAGES) - 2)
assert "OPENBLAS_THREAD_TIMEOUT" not in os.environ
set_up_process(len(STAGES) - 1)
assert "OPENBLAS_THREAD_TIMEOUT" in os.environ
assert "numpy" not in sys.modules
