"""What the tests of the kernels share, apart from tests/helpers."""

import numpy as np
import pytest


@pytest.fixture
def quiet():
    """Without NumPy's warnings about infinity and NaN, which these tests compute on purpose."""
    with np.errstate(all="ignore"):
        yield
