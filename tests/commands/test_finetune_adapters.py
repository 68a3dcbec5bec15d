"""A run of LoRA as the model of another: DPO after SFT, and whatever takes a model after both."""

import json
import shutil

import numpy as np
import pytest
from caches import new_cache
from finetune_rows import DPO, SFT, completions, preferences
from small_models import TEXT, small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.commands.models import find_parts, open_model
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.finetune.lora import load_adapter, merge_lora
from tinygrad_llm.pretrained import load_pretrained, save_pretrained
from tinygrad_llm.training.checkpoint import resolve
from tinygrad_llm.training.metrics import read_metrics

IDS = np.array([small_tokenizer().encode(TEXT)[:40]])
LORA = "--lora-r 2 --lr 1e-2 --steps 4 --samples 0".split()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder with runs/sft, and runs/dpo on top of it."""
    folder = tmp_path_factory.mktemp("both")
    save_pretrained(small_model("llama"), small_tokenizer(), folder / "model")
    cache = new_cache(folder)
    (folder / "sft.json").write_text(json.dumps(completions()))
    (folder / "dpo.jsonl").write_text("".join(json.dumps(r) + "\n" for r in preferences()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TINYGRAD_LLM_CACHE", cache)
        assert cli.main([*SFT, *LORA]) == 0
        assert cli.main(["finetune", "dpo", "runs/sft", *DPO[3:], *LORA]) == 0
    return folder


@pytest.fixture
def here(both, monkeypatch):
    monkeypatch.chdir(both)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(both / "cache"))
    return both


def logits(folder, *adapters):
    """Those of a model with adapters, put together by hand."""
    model, _ = load_pretrained(folder)
    for adapter in adapters:
        load_adapter(model, resolve(adapter))
        merge_lora(model)
    return model(IDS).data


def expected(here):
    return logits(here / "model", here / "runs" / "sft", here / "runs" / "dpo")


def opened(name, adapter=None, **options):
    return open_model(name, ModelOptions(adapter=adapter, **options))[0](IDS).data


def test_each_run_has_an_effect(here):
    sft = logits(here / "model", here / "runs" / "sft")
    assert np.abs(sft - logits(here / "model")).max() > 1e-2
    assert np.abs(sft - expected(here)).max() > 1e-2
    first, *_ = read_metrics(here / "runs" / "dpo" / "metrics.jsonl")
    assert first["loss"] == pytest.approx(np.log(2), abs=1e-5)  # the reference is the model of SFT


@pytest.mark.parametrize(
    "names", [("runs/dpo",), ("model", "runs/dpo"), ("runs/sft", "runs/dpo")], ids=str
)
def test_the_second_adapter_brings_the_first(here, names):
    np.testing.assert_array_equal(opened(*names), expected(here))


@pytest.mark.parametrize("weights, error", [("as-stored", 1e-5), ("int8", 0.1)])
def test_other_weights(here, weights, error):
    found = opened("runs/dpo", weights=weights)
    assert np.abs(found - expected(here)).max() < error


def test_it_can_be_fused_and_exported(here, tmp_path):
    assert cli.main(["fuse", "runs/dpo", "--out", str(tmp_path / "fused")]) == 0
    np.testing.assert_array_equal(logits(tmp_path / "fused"), expected(here))
    out = str(tmp_path / "model.gguf")
    assert cli.main(["export", "runs/dpo", "--format", "gguf", "--out", out]) == 0
    assert np.abs(logits(tmp_path / "model.gguf") - expected(here)).max() < 1e-5


def test_info_shows_both(here, capsys):
    assert cli.main(["info", "runs/dpo"]) == 0
    lines = [x.split(maxsplit=1) for x in capsys.readouterr().out.splitlines()]
    folders = [words[1] for words in lines if words[0] == "adapter"]
    assert folders == [str(resolve(here / "runs" / "sft")), str(resolve("runs/dpo"))]


def test_a_third_run_starts_from_both(here, tmp_path, capsys):
    out = str(tmp_path / "run")
    argv = ["finetune", "reward", "model", "--adapter", "runs/dpo", *DPO[3:-2]]
    assert cli.main([*argv, "--steps", "1", "--lora-r", "2", "--out", out]) == 0
    said = capsys.readouterr().out
    for run in ("sft", "dpo"):
        assert f"adapter     {resolve(here / 'runs' / run)}, merged into the model" in said
    options = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    assert options["model"] == str(here / "model")
    assert options["adapter"] == str(resolve(here / "runs" / "dpo"))


def test_a_run_does_not_continue_on_another_adapter(here, tmp_path, capsys):
    shutil.copytree(here, tmp_path / "copy")
    sft = resolve(tmp_path / "copy" / "runs" / "sft")
    argv = ["finetune", "sft", str(sft), *SFT[3:], *LORA, "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 0
    shutil.copy(resolve(here / "runs" / "dpo") / "adapter_model.safetensors", sft)
    (tmp_path / "run" / "metrics.jsonl").unlink()  # as if it had not come to its end
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--no-verify"]) == 2
    assert "the model has changed since" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["generate", "runs/dpo", "--adapter", "runs/sft"], "is an adapter itself"),
        (["classify", "runs/dpo", "sft.json"], "is the adapter of a model, not a model"),
    ],
)
def test_mistakes(here, capsys, argv, sentence):
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


def test_an_adapter_that_names_itself(here, tmp_path, capsys):
    folder = tmp_path / "loop"
    shutil.copytree(resolve(here / "runs" / "sft"), folder)
    path = folder / "adapter_config.json"
    options = {**json.loads(path.read_text()), "base_model_name_or_path": str(folder)}
    path.write_text(json.dumps(options))
    assert cli.main(["generate", str(folder)]) == 2
    assert "names itself as the model that it belongs to" in capsys.readouterr().err


def test_the_lowest_adapter_comes_first(here):
    base, adapters = find_parts("runs/dpo")
    assert base == here / "model"
    assert [folder.parts[-3] for folder in adapters] == ["sft", "dpo"]
