"""``tinygrad-llm inspect``: what it shows of a row, and what it refuses."""

import json
import re

import pytest
from small_models import small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.finetune.lora import add_lora, save_adapter
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.tokenizer import train_bpe

ANSWERS = [{"prompt": "the cat", "completion": f" sat {i}"} for i in range(3)]
PAIRS = [
    {"prompt": "the cat", "chosen": " sat on the mat", "rejected": " sat on the log"},
    {"prompt": "the cat " * 40, "chosen": " sat", "rejected": " ran"},
    {"prompt": "a", "chosen": " b", "rejected": " b"},
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with two models, an adapter and data."""
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "model")
    save_pretrained(small_model("llama", seed=5), small_tokenizer(), tmp_path / "other")
    save_pretrained(small_model("llama"), train_bpe(["a b c a b c"], 260), tmp_path / "foreign")
    model = add_lora(small_model("llama"), 2)
    for _, parameter in trainable_parameters(model):
        parameter.assign_(parameter.data + 0.1)
    save_adapter(model, tmp_path / "adapter", base="model")
    (tmp_path / "sft.json").write_text(json.dumps(ANSWERS))
    (tmp_path / "dpo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(capsys, *words):
    assert cli.main(["inspect", *words]) == 0
    return capsys.readouterr().out


SFT = ("model", "--data", "sft.json")
DPO = ("model", "--data", "dpo.jsonl")


def test_an_answer(here, capsys):
    out = output(capsys, *SFT, "--row", "2", "--html", "page.html")
    assert re.search(r"^the cat\[ s[^\]]* \+\d\]", out, re.M), out
    assert "do not count; their |dL/dz| is 0" in out and "loss " in out and "(sft)" in out
    assert "page: page.html" in out
    text = (here / "page.html").read_text()
    assert "model, row 2 of sft.json" in text and 'data-kind="row"' in text


def test_a_pair_is_recognized_and_starts_at_ln_2(here, capsys):
    out = output(capsys, *DPO)
    assert "loss 0.6931 (sigmoid)" in out and "chosen: dL/dz = -0.05 (e_y - p)" in out
    assert "rewards: chosen +0.0000, rejected +0.0000" in out
    out = output(capsys, *DPO, "--loss-type", "ipo_sum", "--beta", "0.5")
    assert "loss 1.0000 (ipo_sum)" in out


def test_a_reference_and_an_adapter_are_something_else(here, capsys):
    assert "loss 0.6931" not in output(capsys, *DPO, "--reference", "other")
    assert "loss 0.6931" not in output(capsys, *DPO, "--adapter", "adapter")
    assert "loss 0.6931" not in output(capsys, "adapter", *DPO[1:])
    assert "loss 0.6931" in output(capsys, *DPO, "--reference", "model")


def test_a_neighbour_and_the_whole_row(here, capsys):
    out = output(capsys, *SFT, "--neighbor", "3", "--html", "page.html")
    assert "-- the next text of the row --\nthe cat sat 2<|endoftext|>\n" in out
    assert "a neighbour: no label counts" in (here / "page.html").read_text()
    out = output(capsys, *SFT, "--no-completion-only-loss")
    assert re.search(r"row: 1 of \d+ tokens do not count", out)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("model",), "inspect needs a text, --prompt TEXT, or a row of training data: --data"),
        ((*SFT, "--row", "4"), "sft.json has 3 rows, so there is no row 4"),
        ((*SFT, "--row", "0"), "row is 0"),
        ((*SFT, "--neighbor", "1"), "neighbor and row are both 1"),
        ((*SFT, "--neighbor", "9"), "so there is no row 9"),
        ((*SFT, "--reference", "other"), "--reference does not go with --kind sft"),
        ((*DPO, "--neighbor", "2"), "--neighbor does not go with --kind dpo"),
        ((*SFT, "--kind", "dpo"), "expected one of: prompt, chosen and rejected"),
        ((*DPO, "--row", "2"), "line 2 of dpo.jsonl teaches nothing: no token of the answer"),
        ((*DPO, "--row", "3"), "line 3 of dpo.jsonl: chosen and rejected are equal"),
        ((*DPO, "--reference", "foreign"), "the reference foreign has another tokenizer"),
        ((*DPO, "--beta", "0"), "beta is 0.0, but must be above 0"),
        ((*DPO, "--loss-type", "ipo", "--label-smoothing", "0.1"), "works with the loss types"),
        ((*SFT, "--template", "chat"), "chat template"),
        ((*SFT, "--html", "gone/page.html"), "gone"),
        (("gone", *SFT[1:]), "gone"),
        (("model", "--data", "gone.json"), "gone.json"),
    ],
)
def test_bad_input_is_one_sentence(here, capsys, words, sentence):
    assert cli.main(["inspect", *words]) == 2
    err = capsys.readouterr().err.removeprefix("forward and backward ...\n")
    assert sentence in err and err.count("\n") == 1, err


# --- a prompt -------------------------------------------------------------------------------------

PROMPT = ("model", "--prompt", "the cat sat on the mat")


def test_a_prompt(here, capsys):
    out = output(capsys, *PROMPT, "--html", "page.html", "--png", "lens.png")
    for words in ("embedding", "layers.1", "the tokens", "the heads", "by at most 0.0e+00"):
        assert words in out
    text = (here / "page.html").read_text()
    assert "<title>model: the cat sat on the mat</title>" in text
    for name in ("lens.png", "lens-heads.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")


def test_a_prompt_as_json(here, capsys):
    found = json.loads(output(capsys, *PROMPT, "--json", "--top", "2", "--loss", "all"))
    assert found["gradients"]["of"] == "all" and found["gradients"]["loss"] > 0
    texts = [token["text"] for token in found["tokens"]]
    assert "".join(texts) == "the cat sat on the mat"
    assert [len(best) for best in found["states"][-1]["top"]] == [2] * len(texts)
    last = json.loads(output(capsys, *PROMPT, "--json"))["gradients"]
    assert last["of"] == "last" and last["loss"] != found["gradients"]["loss"]


def test_a_prompt_from_a_file_and_its_end(here, capsys):
    (here / "prompt.txt").write_text("the cat sat on the mat " * 30)
    assert cli.main(["inspect", "model", "--prompt-file", "prompt.txt"]) == 2
    assert "the model reads at most 64: shorten it, or use --crop" in capsys.readouterr().err
    out = output(capsys, "model", "-f", "prompt.txt", "--crop", "--json")
    assert len(json.loads(out)["tokens"]) == 64


def test_a_prompt_with_an_adapter_and_with_rounded_weights(here, capsys):
    losses = [
        json.loads(output(capsys, *words, "--json"))["gradients"]["loss"]
        for words in (
            PROMPT,
            (*PROMPT, "--adapter", "adapter"),
            ("adapter", *PROMPT[1:]),
            (*PROMPT, "--weights", "int8"),
        )
    ]
    assert losses[1] == losses[2] != losses[0]
    assert losses[3] == pytest.approx(losses[0], abs=0.05) and losses[3] != losses[0]


def test_a_page_that_holds_some_maps(here, capsys):
    assert cli.main(["inspect", *PROMPT, "--html", "page.html", "--layers", "1"]) == 0
    assert "the page has the attention maps of 1 of 2 layers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("model", "--prompt", ""), "the prompt is empty: give the model a text to read"),
        ((*PROMPT, "--prompt-file", "x"), "prompt and prompt_file are both given"),
        ((*PROMPT, "--data", "sft.json"), "data and a prompt are both given"),
        ((*PROMPT, "--row", "2"), "--row does not go with a prompt: leave it out"),
        ((*PROMPT, "--reference", "other"), "--reference does not go with a prompt"),
        ((*SFT, "--json"), "--json does not go with --data: leave it out"),
        ((*SFT, "--png", "a.png"), "--png does not go with --data"),
        ((*PROMPT, "--top", "0"), "top is 0"),
        ((*PROMPT, "--position", "99"), "position is 99, but the prompt has 7 tokens: choose"),
        ((*PROMPT, "--position", "-1"), "position is -1"),
        ((*PROMPT, "--layers", "2"), "the model has layers 0 to 1, so there is no layer 2"),
        ((*PROMPT, "--png", "lens.svg"), "the name must end in .png"),
        ((*PROMPT, "--html", "gone/page.html"), "gone"),
        (("gone", *PROMPT[1:]), "gone"),
        ((*SFT, "--weights", "int8"), "token table is stored quantized"),
    ],
)
def test_bad_input_to_a_prompt_is_one_sentence(here, capsys, words, sentence):
    assert cli.main(["inspect", *words]) == 2
    err = capsys.readouterr().err.removeprefix("forward and backward ...\n")
    assert sentence in err and err.count("\n") == 1, err
