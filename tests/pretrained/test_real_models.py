"""Pretrained models write what transformers writes with the same numbers.

The variable TINYGRAD_LLM_TEST_MODELS names a folder with .gguf files; without it, nothing is
compared. transformers decodes the files with the gguf library. The larger models take minutes:
``pytest -m soak`` has them.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from autograd import no_grad
from tinygrad_llm.generation import Decoder, generate
from tinygrad_llm.pretrained import load_pretrained

FOLDER = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
MODELS = sorted(Path(FOLDER).glob("**/*.gguf")) if FOLDER else []
pytestmark = pytest.mark.skipif(
    not MODELS, reason="TINYGRAD_LLM_TEST_MODELS names no folder with .gguf files"
)
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
    pytest.importorskip("gguf", reason="gguf is not installed")
    pytest.importorskip("accelerate", reason="accelerate, which transformers needs, is missing")
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


@every_model
def test_greedy_text_is_that_of_transformers(path):
    """Each token read once, by the cache, and the weights as numbers and as the file has them."""
    theirs = their_model(path)
    import torch

    models = [load_pretrained(path, weights=weights) for weights in ("float32", "as-stored")]
    gaps = []
    for text in PROMPTS:
        ids = models[0][1].add_bos_eos(models[0][1].encode(text))
        found = theirs.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False,
            min_new_tokens=N_NEW, max_new_tokens=N_NEW, eos_token_id=[],
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        expected = found.sequences[0, len(ids) :].tolist()
        assert len(expected) == N_NEW
        best = torch.cat(found.logits).topk(2).values  # (N_NEW, 2)
        gaps.append((best[:, 0] - best[:, 1]).min().item())
        for model, _ in models:
            steps = generate(model, np.array([ids]), N_NEW, temperature=0)
            assert [int(token) for (token,) in steps] == expected, (text, gaps[-1])
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
