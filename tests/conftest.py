"""Settings of the whole test run, and the device that tests use besides the CPU."""

import os

import pytest

# The tests' matrices are small, and threads that meet after each product cost more than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture
def device():
    """The name of a device that is not "cpu": the stand-in's (on a GPU see tests/cuda)."""
    import standin  # tests/helpers

    from autograd.device import namespaces, register

    if standin.ndarray not in namespaces:
        register(standin.ndarray, standin.namespace)
    return "standin"
