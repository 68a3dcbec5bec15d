"""``--adapter`` wherever a command takes a model, and ``fuse``."""

import json
import shutil

import numpy as np
import pytest
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.finetune.lora import add_lora, merge_lora, save_adapter
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.model.quantize import quantize_model, stored_matrices
from tinygrad_llm.pretrained import load_pretrained, save_pretrained

IDS = np.array([small_tokenizer().encode(TEXT)[:40]])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a model and two adapters, one of them for another model."""
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "llama")
    for kind in ("llama", "gpt2"):
        save_adapter(adapted(kind), tmp_path / f"for-{kind}", base=kind)
    save_adapter(adapted(), tmp_path / "nameless")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def adapted(kind="llama"):
    model = add_lora(small_model(kind), 4, use_dora=True)
    rng = np.random.default_rng(3)
    for _, parameter in trainable_parameters(model):
        parameter.assign_(parameter.data + 0.2 * rng.standard_normal(parameter.shape))
    return model


def output(capsys, *words):
    assert cli.main(list(words)) == 0
    return capsys.readouterr().out


def test_fuse(here, capsys):
    out = output(capsys, "fuse", "llama", "--adapter", "for-llama", "--out", "fused")
    assert "safetensors: fused" in out
    model, tokenizer = load_pretrained(here / "fused")
    expected = merge_lora(adapted())(IDS).data
    np.testing.assert_array_equal(model(IDS).data, expected)
    assert tokenizer.fingerprint() == small_tokenizer().fingerprint()
    output(capsys, "fuse", "llama", "--adapter", "for-llama", "--dtype", "bf16")
    model, _ = load_pretrained(here / "llama-fused")
    assert 0 < np.abs(model(IDS).data - expected).max() < 0.1


def test_export(here, capsys):
    words = ("llama", "--adapter", "for-llama", "--format", "gguf", "--out", "model.gguf")
    output(capsys, "export", *words)
    model, _ = load_pretrained(here / "model.gguf")
    assert np.abs(model(IDS).data - merge_lora(adapted())(IDS).data).max() < 1e-5


def test_generate(here, capsys):
    words = ("generate", "--prompt", "the cat", "--temperature", "0", "--max-new-tokens", "12")
    base = output(capsys, *words, "llama")
    fused = output(capsys, *words, "llama", "--adapter", "for-llama")
    assert fused != base
    output(capsys, "fuse", "llama", "--adapter", "for-llama", "--out", "fused")
    assert output(capsys, *words, "fused") == fused
    # A draft model has no part in it.
    assert output(capsys, *words, "llama", "--adapter", "for-llama", "-md", "llama") == fused


@pytest.mark.parametrize("weights, stored", [("float32", 0), ("as-stored", 2), ("int8", 16)])
def test_the_weights_of_a_model_with_an_adapter(here, weights, stored):
    """int8 is rounded after merging; as stored is what the adapter does not change."""
    model, _ = open_model("llama", ModelOptions(weights=weights, adapter="for-llama"))
    assert len(stored_matrices(model)) == stored
    if weights == "int8":
        expected = quantize_model(merge_lora(adapted()))(IDS).data
        np.testing.assert_array_equal(model(IDS).data, expected)
    else:
        expected = merge_lora(adapted())(IDS).data
        assert np.abs(model(IDS).data - expected).max() < 1e-5 * np.abs(expected).max()


def test_info(here, capsys):
    lines = output(capsys, "info", "llama", "--adapter", "for-llama").splitlines()
    width = lines[0].index("llama")
    facts = {line[:width].strip(): line[width:] for line in lines}
    assert facts["adapter"] == "for-llama" and facts["method"] == "LoRA and DoRA, r 4, alpha 16"
    assert facts["layers"].startswith("14: layers.*.self_attn.q_proj, layers.*.self_attn.k_proj,")
    trained = sum(p.size for _, p in trainable_parameters(adapted()))
    assert facts["trained"].startswith(f"{trained:,} parameters, 7.")
    assert facts["trained on"] == "llama" and "parameters" in facts


def test_an_adapter_or_its_run_stands_for_the_model_with_it(here, capsys):
    """The model is the one that its files name; of a run, the best checkpoint counts."""
    words = ("generate", "--prompt", "the cat", "--temperature", "0", "--max-new-tokens", "12")
    expected = output(capsys, *words, "llama", "--adapter", "for-llama")
    assert output(capsys, *words, "for-llama") == expected
    checkpoints = here / "run" / "checkpoints"
    shutil.copytree(here / "for-llama", checkpoints / "step-000002")
    shutil.copytree(here / "for-gpt2", checkpoints / "step-000003")
    index = {"last": "step-000003", "best": "step-000002"}
    (checkpoints / "index.json").write_text(json.dumps(index))
    for run in (["run"], ["llama", "--adapter", "run"]):
        assert output(capsys, *words, *run) == expected
    output(capsys, "fuse", "run", "--out", "fused")
    assert output(capsys, *words, "fused") == expected
    best = output(capsys, "info", "llama", "--adapter", "run/checkpoints/step-000002")
    assert output(capsys, "info", "run") == best


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("fuse llama", "fuse needs the folder of an adapter: --adapter DIR"),
        ("fuse llama --adapter llama", "there is no file llama/adapter_config.json: is llama the "
         "folder of an adapter?"),
        ("fuse llama --adapter for-gpt2", "has no linear layer of this name"),
        ("generate llama --adapter for-gpt2", "the adapter belongs to another base, \"gpt2\""),
        ("info llama --adapter for-gpt2", "the adapter belongs to another base"),
        ("info --adapter for-llama", "--adapter is for a model: name the one that it belongs to"),
        ("chat for-llama --adapter for-llama", "for-llama is an adapter itself, so --adapter "
         "for-llama would be a second one"),
        ("generate nameless", "nameless/adapter_config.json does not name the model that the "
         "adapter belongs to: use that model with --adapter nameless"),
        ("fuse llama --adapter for-llama --out llama", "llama already exists: choose another"),
    ],
)  # fmt: skip
def test_mistakes(here, words, sentence, capsys):
    before = sorted(here.rglob("*"))
    assert cli.main(words.split()) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_an_option_that_is_not_supported(here, capsys):
    """An option that changes the result stops the command, by its name."""
    path = here / "for-llama" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_qalora": True}))
    assert cli.main(["fuse", "llama", "--adapter", "for-llama"]) == 2
    assert 'the option "use_qalora" is true' in capsys.readouterr().err
