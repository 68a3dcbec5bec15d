"""Pretrained models write what transformers writes with the same numbers.

The variable TINYGRAD_LLM_TEST_MODELS names a folder with .gguf files; without it, nothing is
compared. transformers decodes the files with the gguf library. The larger models take minutes:
``pytest -m soak`` has them.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from real_models import MODELS, needs_models, their_reader

from autograd import no_grad
from tinygrad_llm.generation import Decoder, generate
from tinygrad_llm.inspect.lens import attention_maps, layer_logits, residual_stream
from tinygrad_llm.pretrained import load_pretrained

pytestmark = needs_models
SMALL = 1 << 27  # bytes
every_model = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path.stat().st_size < SMALL else pytest.mark.soak)
        for path in MODELS
    ],
    ids=lambda path: path.name,
)
PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees. Ice",
    "1, 1, 2, 3, 5, 8,",
)
N_NEW = 64
PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


@cache
def their_model(path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    pytest.importorskip("accelerate", reason="accelerate, which transformers needs, is missing")
    with pytest.MonkeyPatch.context() as patch:  # it would open the file twice
        patch.setattr(gguf, "GGUFReader", lambda name: their_reader(Path(name)))
        return transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()


@every_model
def test_greedy_text_is_that_of_transformers(path):
    """Each token read once, by the cache, and the weights as numbers and as the file has them.

    transformers reads the text at once. Where it, too, finds each token the most likely after those
    before it, its own greedy text is this one: the first token is the same, and if n are, so is the
    next.
    """
    theirs = their_model(path)
    import torch

    models = [load_pretrained(path, weights=weights) for weights in ("float32", "as-stored")]
    gaps = []
    for text in PROMPTS:
        ids = models[0][1].add_bos_eos(models[0][1].encode(text))
        found, as_stored = (
            [int(token) for (token,) in generate(model, np.array([ids]), N_NEW, temperature=0)]
            for model, _ in models
        )
        assert len(found) == N_NEW
        with torch.no_grad():
            logits = theirs(torch.tensor([ids + found[:-1]]), logits_to_keep=N_NEW).logits[0]
        best = logits.topk(2)  # (N_NEW, 2)
        gaps.append((best.values[:, 0] - best.values[:, 1]).min().item())
        assert found == best.indices[:, 0].tolist(), (text, gaps[-1])
        assert as_stored == found, (text, gaps[-1])
    print(f"{path.name}: the two best logits are at least {min(gaps):.5f} apart")


@every_model
def test_logits_beyond_a_window(path):
    """700 tokens of text: Gemma's sliding layers see 512. Read at once, and by the cache in parts.

    The last part is one token at a time.
    """
    theirs = their_model(path)
    import torch

    model, tokenizer = load_pretrained(path)
    ids = tokenizer.add_bos_eos(tokenizer.encode(PAGE.read_text()))[:700]
    with torch.no_grad():
        expected = theirs(torch.tensor([ids]), logits_to_keep=20).logits[0].numpy()  # (20, V)
    with no_grad():
        at_once = model.logits(model.hidden(np.array([ids]))[:, -20:]).data[0]
    decoder = Decoder(model)
    cache = decoder.cache(max_length=700)
    by_cache = [decoder([ids[:681]], cache)[0]]
    by_cache += [decoder([[token]], cache)[0] for token in ids[681:]]
    for found in (at_once, np.array(by_cache)):
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_logits_of_any_ids(path):
    theirs = their_model(path)
    import torch

    ids = np.random.default_rng(0).integers(0, 10_000, (2, 40))
    with torch.no_grad():
        expected = theirs(torch.tensor(ids)).logits.numpy()
    found = load_pretrained(path)[0](ids).data
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@every_model
def test_each_layers_state_and_attention(path):
    """What ``inspect --prompt`` shows: the residual stream, and where each head looks."""
    theirs = their_model(path)
    import torch

    model, tokenizer = load_pretrained(path)
    ids = np.array(tokenizer.add_bos_eos(tokenizer.encode(PROMPTS[1])))
    with torch.no_grad():
        out = theirs(torch.tensor(ids[None]), output_hidden_states=True, output_attentions=True)
    stream = residual_stream(model, ids)
    for (name, found), expected in zip(stream[:-1], out.hidden_states[:-1], strict=True):
        expected = expected[0].numpy()
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max(), name
    maps = attention_maps(model, ids)
    assert maps.difference < 1e-4 * maps.largest
    for layer, expected in enumerate(out.attentions):
        np.testing.assert_allclose(maps.weights[layer], expected[0].numpy(), atol=1e-3)
    *_, (_, last) = layer_logits(model, ids)
    expected = out.logits[0].numpy()
    assert np.abs(last - expected).max() < 1e-4 * np.abs(expected).max()
