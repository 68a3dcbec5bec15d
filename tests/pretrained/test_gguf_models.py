"""Real GGUF files: every tensor as the gguf library decodes it.

The variable TINYGRAD_LLM_TEST_MODELS names a folder with .gguf files; without it, nothing is
compared.
"""

import numpy as np
import pytest
from real_models import MODELS, needs_models, their_reader

from tinygrad_llm.pretrained.gguf_file import read_gguf

pytestmark = needs_models
every_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)


@every_model
def test_every_tensor(path):
    """Up to two million weights from the beginning of each, and as many from the end."""
    ours, theirs = read_gguf(path), their_reader(path)
    import gguf

    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        name = tensor.name
        assert ours.tensors[name].shape == tuple(reversed(tensor.shape.tolist()))
        np.testing.assert_array_equal(ours.stored(name), tensor.data.view(np.uint8))
        found = ours.read(name)
        many = max(1, 2_000_000 // found.shape[-1])
        for rows in (slice(many), slice(-many, None)):
            data = tensor.data if tensor.data.ndim == 1 else tensor.data[rows]
            part = found if found.ndim == 1 else found[rows]
            np.testing.assert_array_equal(part, gguf.quants.dequantize(data, tensor.tensor_type))


@every_model
def test_metadata(path):
    ours, theirs = read_gguf(path).metadata, their_reader(path).fields
    assert set(ours) == {key for key in theirs if not key.startswith("GGUF.")}
    for key, value in ours.items():
        value = value.tolist() if isinstance(value, np.ndarray) else value
        assert value == theirs[key].contents(), key
