"""``finetune --optimizer``: each trains and is saved, and what does not belong together."""

import json
from dataclasses import asdict

import pytest
from small_models import small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.commands.finetune_options import ClassifyOptions
from tinygrad_llm.commands.finetune_row_options import SFTOptions
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.pretrained.tensor_file import read_tensors
from tinygrad_llm.training.checkpoint import resolve

SFT = """
finetune sft model --data rows.jsonl --template plain --max-length 40 --batch-size 2 --steps 2
--samples 0
""".split()
NEW = ("optimizer", "momentum", "nesterov", "muon_factor", "adamw_lr_ratio")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pretrained(small_model("gpt2"), small_tokenizer(), "model")
    rows = [{"prompt": "say the cat", "completion": f"the dog {i}"} for i in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = [f"{'cat' if i % 2 else 'dog'}\tthe mat {i}" for i in range(20)]
    (tmp_path / "texts.tsv").write_text("\n".join(["label\ttext", *table]))
    return tmp_path


@pytest.mark.parametrize(
    "optimizer, kept, words",
    [
        ("adamw", {"m", "v"}, "gradients and AdamW's two moments"),
        ("muon", {"momentum", "m", "v"}, "gradients and Muon's momentum and AdamW's two moments"),
        ("sgd", {"momentum"}, "gradients and SGD's momentum"),
    ],
)
def test_each_optimizer_trains_and_is_saved(here, capsys, optimizer, kept, words):
    assert cli.main([*SFT, "--optimizer", optimizer]) == 0
    assert words in capsys.readouterr().out
    run = here / "runs" / "sft"
    assert json.loads((run / "run.json").read_text())["options"]["optimizer"] == optimizer
    arrays = read_tensors(resolve(run) / "training_state.safetensors")
    assert {name.rpartition(".")[2] for name in arrays} >= kept
    assert not {"m", "v", "momentum"} - kept & {name.rpartition(".")[2] for name in arrays}


def test_a_run_of_an_earlier_version_goes_on_with_adamw(here):
    assert cli.main([*SFT, "--save-every", "1"]) == 0
    file = here / "runs" / "sft" / "run.json"
    content = json.loads(file.read_text())
    for name in NEW:
        del content["options"][name]
    file.write_text(json.dumps(content))
    assert cli.main(["finetune", "resume", "runs/sft"]) == 0


def test_defaults_are_those_of_the_kind():
    sft, classify = SFTOptions("m", data="d"), ClassifyOptions("m", data="d", optimizer="sgd")
    assert (sft.weight_decay, sft.beta2, classify.weight_decay) == (0.0, 0.999, 0.1)
    assert set(NEW) <= asdict(sft).keys()


@pytest.mark.parametrize(
    "argv, words",
    [
        ([*SFT, "--momentum", "0.5"], "momentum is 0.5 and the optimizer adamw: only muon and sgd"),
        ([*SFT, "--optimizer", "sgd", "--beta2", "0.9"], "beta2 is 0.9 and the optimizer sgd"),
        (
            "finetune classify model --data texts.tsv --train-layers 0 --optimizer muon".split(),
            "muon trains the matrices of the blocks, and none of them is trained here: use --opti",
        ),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(capsys, argv, words):
    assert cli.main(argv) == 2
    assert words in capsys.readouterr().err
