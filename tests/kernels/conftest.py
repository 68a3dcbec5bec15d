"""What the tests of the kernels share beside tests/helpers."""

import numpy as np
import pytest


@pytest.fixture
def quiet():
    """NumPy warns where a formula meets infinity; in some tests that is on purpose."""
    with np.errstate(all="ignore"):
        yield
