"""Settings of the whole test run."""

import os

# The tests' matrices are small, and threads that meet after each product cost more than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
