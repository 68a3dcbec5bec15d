"""The tests that run on the stand-in, on a real GPU with CuPy's arrays: ``pytest -m cuda``."""

import pytest

from autograd.device import DeviceError, namespace_on

try:
    namespace_on("cuda")
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

from test_debug_on_device import *  # noqa: E402, F403
from test_functional_on_device import *  # noqa: E402, F403
from test_operations_on_device import *  # noqa: E402, F403
from test_training_on_device import *  # noqa: E402, F403

pytestmark = pytest.mark.cuda


@pytest.fixture
def device():
    return "cuda"
