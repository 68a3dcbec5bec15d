"""llama.cpp runs the GGUF files that we write: its ids, its logits and its greedy text are ours.

Skipped where the package llama-cpp-python is missing. Two models are trained for a few steps first:
greedy text of random weights would hang on differences of rounding. The variable
TINYGRAD_LLM_TEST_MODELS names a folder with .gguf files of real models, which are written again.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from gguf_lists import from_metadata
from small_models import KINDS, TEXT, small_model, small_tokenizer

from tinygrad_llm.generation import generate
from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.pretrained.gguf_model import load_gguf
from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.training.optim import AdamW

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

FOLDER = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
SMOLLM2 = sorted(Path(FOLDER).glob("**/SmolLM2*.gguf")) if FOLDER else []
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n",
    "Once upon a time, there was",
    "Question: What is 2 + 2?\nAnswer:",
    "  The r\u00e9sum\u00e9 says: \u201cna\u00efve\u201d, 3.14159 and\n\n",
]


def opened(path):
    """llama.cpp's model with float32 keys and values, so that it rounds as little as it can."""
    f32 = llama_cpp.GGML_TYPE_F32
    return llama_cpp.Llama(
        str(path), n_ctx=256, n_batch=256, logits_all=True, verbose=False, type_k=f32, type_v=f32,
        n_threads=1, n_threads_batch=1,
    )  # fmt: skip


def their_ids(theirs, text, special=False):
    return theirs.tokenize(text.encode(), add_bos=False, special=special)


def their_logits(theirs, ids):
    theirs.reset()
    theirs.eval(list(ids))
    return np.array(theirs.scores[: len(ids)])


def their_continuation(theirs, ids, n):
    """Greedy ids, by the logits alone: no rule of a sampler comes in between."""
    theirs.reset()
    found = []
    theirs.eval(list(ids))
    for _ in range(n):
        found.append(int(np.argmax(theirs.scores[theirs.n_tokens - 1])))
        theirs.eval(found[-1:])
    return found


def our_continuation(model, ids, n):
    steps = generate(model, np.array([ids]), n, temperature=0)
    return [int(new[0]) for new in steps]


@pytest.mark.parametrize("kind", KINDS)
def test_logits(kind, tmp_path):
    """In float32. llama.cpp reads GELU from a table of float16, in GPT-2 and Gemma."""
    model = small_model(kind)
    save_gguf(model, small_tokenizer(), tmp_path / "model.gguf")
    ids = small_tokenizer().encode(TEXT)[:40]
    found = their_logits(opened(tmp_path / "model.gguf"), ids)
    expected = model(np.array([ids])).data[0]
    bound = 2e-3 if kind in ("gpt2", "gemma3") else 3e-6
    assert np.abs(found - expected).max() < bound * np.abs(expected).max()


def a_trained_model(kind):
    """40 steps on one text: every continuation is then clear."""
    model = small_model(kind).train()
    optimizer = AdamW(model.named_parameters(), 3e-3)
    ids = np.array(small_tokenizer().encode(TEXT * 8))
    for step in range(40):
        begin = step % 8
        batch = ids[begin : begin + 128].reshape(2, 64)
        targets = ids[begin + 1 : begin + 129].reshape(2, 64)
        loss = model.loss(batch, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_greedy_text_of_a_model_trained_here(kind, dtype, tmp_path):
    save_gguf(a_trained_model(kind), small_tokenizer(), tmp_path / "model.gguf", dtype)
    theirs, ours = opened(tmp_path / "model.gguf"), load_gguf(tmp_path / "model.gguf")
    tokenizer = from_metadata(read_gguf(tmp_path / "model.gguf").metadata)
    for prompt in ("the cat", "1234 cats", "It's"):
        ids = tokenizer.encode(prompt)
        assert their_ids(theirs, prompt) == ids == small_tokenizer().encode(prompt)
        found = their_continuation(theirs, ids, 24)
        assert found == our_continuation(ours, ids, 24)
        text = theirs.detokenize(found).decode()
        assert text == tokenizer.decode(found) and len({*found}) > 5


@pytest.mark.parametrize("path", SMOLLM2 or [None], ids=lambda path: path and path.name)
@pytest.mark.parametrize("dtype", ["f32", "q8_0"])
def test_smollm2_written_again(path, dtype, tmp_path):
    """Ids and greedy text. In Q8_0 llama.cpp also rounds activations to 8 bits, and may drift."""
    if path is None:
        pytest.skip("TINYGRAD_LLM_TEST_MODELS names no folder with a SmolLM2 .gguf file")
    original = read_gguf(path)
    model, tokenizer = load_gguf(original), from_metadata(original.metadata)
    save_gguf(model, tokenizer, tmp_path / "model.gguf", dtype)
    for key, value in read_gguf(tmp_path / "model.gguf").metadata.items():
        if key.startswith("tokenizer.") and key in original.metadata:
            np.testing.assert_array_equal(value, original.metadata[key], err_msg=key)
    theirs, ours = opened(tmp_path / "model.gguf"), load_gguf(tmp_path / "model.gguf")
    same = 0
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt)
        assert their_ids(theirs, prompt) == ids
        found, expected = their_logits(theirs, ids), ours(np.array([ids])).data[0]
        bound = 1e-4 if dtype == "f32" else 0.1
        assert np.abs(found - expected).max() < bound * np.abs(expected).max()
        found, expected = (their_continuation(theirs, ids, 48), our_continuation(ours, ids, 48))
        agree = next(
            (i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b), 48
        )
        print(f"{dtype}: {prompt!r}: {agree} of 48 tokens agree: {tokenizer.decode(expected)!r}")
        same += found == expected
    assert same == len(PROMPTS) or dtype != "f32"
