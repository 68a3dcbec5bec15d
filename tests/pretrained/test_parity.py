"""GPT-2 and the Llama family against transformers: logits and every gradient, on random weights."""

import numpy as np
import pytest
from transformers_models import ALL_MODELS, build, exact

from autograd import use_kernels
from tinygrad_llm.model import GPT
from tinygrad_llm.pretrained import load_pretrained, save_llama, save_model
from tinygrad_llm.pretrained.gpt2 import CONV1D, PREFIX
from tinygrad_llm.pretrained.llama import layout
from tinygrad_llm.pretrained.llama_config import read_config

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
pytest.importorskip("transformers", reason="transformers is not installed: nothing to compare with")

RNG = np.random.default_rng(0)
IDS, TARGETS = RNG.integers(0, 67, (2, 20)), RNG.integers(0, 67, (2, 20))
TARGETS[1, :7] = -100


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module", params=ALL_MODELS)
def case(request, tmp_path_factory):
    """(directory, logits, loss, gradients by the names of the file), in float64."""
    directory = tmp_path_factory.mktemp("model")
    with exact():
        model = build(request.param)
        model.save_pretrained(directory)
        logits = model(torch.tensor(IDS)).logits
        assert logits.dtype == torch.float64
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(TARGETS).flatten()
        )
        loss.backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    return directory, logits.detach().numpy(), loss.item(), gradients


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_logits(case, dtype, tolerance, kernels):
    directory, expected, _, _ = case
    model, tokenizer = load_pretrained(directory, dtype)
    with use_kernels(kernels):
        logits = model(IDS).data
        last = model.next_token_logits(IDS).data
    assert logits.dtype == dtype and tokenizer is None and not model.training
    assert relative(logits, expected) < tolerance
    assert relative(last, expected[:, -1]) < tolerance


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-3)])
def test_loss_and_every_gradient(case, dtype, tolerance):
    directory, _, expected, gradients = case
    model, _ = load_pretrained(directory, dtype)
    loss = model.loss(IDS, TARGETS)
    loss.backward()
    assert abs(loss.item() - expected) < tolerance * expected
    ours = by_names_of_the_file(model, directory)
    assert set(ours) == set(gradients)
    for name, found in ours.items():
        assert relative(found, gradients[name]) < tolerance, name


def by_names_of_the_file(model, directory):
    """Every gradient of a model, as transformers names it and lays it out."""
    ours = {name: p.grad.data for name, p in model.named_parameters()}
    if isinstance(model, GPT):  # Conv1D's weights are transposed
        return {PREFIX + name: g.T if name.endswith(CONV1D) else g for name, g in ours.items()}
    files = layout(model.config, read_config(directory / "config.json")[0])
    assert sorted(part.name for parts in files.values() for part in parts) == sorted(ours)
    return {
        name: np.concatenate([ours[part.name] for part in parts]) for name, parts in files.items()
    }


# --- how the numbers are stored ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Phi-3", "Gemma 3", "GPT-2"])
def test_shards(name, tmp_path):
    """Of each layout: query, key and value in one tensor; a tied head; Conv1D."""
    with exact():
        theirs = build(name)
        theirs.save_pretrained(tmp_path, max_shard_size="40KB")
        expected = theirs(torch.tensor(IDS)).logits.detach().numpy()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert not (tmp_path / "model.safetensors").exists()
    model, _ = load_pretrained(tmp_path, "float64")
    assert relative(model(IDS).data, expected) < 1e-10


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_smaller_types_are_read_exactly(tmp_path, dtype):
    with exact():
        theirs = build("SmolLM2")
    theirs.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    model, _ = load_pretrained(tmp_path)
    ours = dict(model.named_parameters())
    for name, (part,) in layout(model.config, "llama").items():
        found = ours[part.name].data
        assert found.dtype == np.float32
        stored = theirs.get_parameter(name).detach().float().numpy()
        np.testing.assert_array_equal(found, stored, name)


# --- saving --------------------------------------------------------------------------------------


def test_transformers_opens_what_we_save(case, tmp_path):
    import transformers

    model, _ = load_pretrained(case[0])
    save = save_model if isinstance(model, GPT) else save_llama
    save(model, tmp_path, bos_token_id=1, eos_token_id=[2, 3])
    opened, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], kind
    assert opened.config.bos_token_id == 1 and opened.config.eos_token_id == [2, 3]
    with torch.no_grad():
        expected = opened(torch.tensor(IDS)).logits.numpy()
    assert relative(model(IDS).data, expected) < 1e-4
    again, _ = load_pretrained(tmp_path)
    assert again.config == model.config
    for one, other in zip(again.parameters(), model.parameters(), strict=True):
        assert one.data.tobytes() == other.data.tobytes()
