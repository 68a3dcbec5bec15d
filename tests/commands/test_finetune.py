"""``finetune classify`` and ``classify``: what they write, and one sentence for what is wrong."""

import io
import json
import os
import sys

import numpy as np
import pytest
from small_models import small_model, small_tokenizer

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.finetune.scores import accuracy
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.training.checkpoint import resolve
from tinygrad_llm.training.metrics import is_finished, read_metrics

FINETUNE = "finetune classify model --data texts.tsv --out run --seed 7".split()
QUICK = "--epochs 8 --batch-size 8 --lr 0.01 --eval-every 6 --save-every 6".split()
ANIMALS = {"pet": ("the cat sat", "a dog sat"), "wood": ("on the log", "a mat of wood")}


def texts():
    kinds = [(label, text) for label, texts in ANIMALS.items() for text in texts]
    rows = [f"{label}\t{text} {i}" for i in range(24) for label, text in kinds]
    return "\n".join(["label\ttext", *rows]) + "\n"


def run(argv, capsys):
    """(exit code, output, errors) of the command line, with the reference kernels."""
    with use_kernels("reference"):
        code = cli.main(argv)
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model, data, and a finished run."""
    folder = tmp_path_factory.mktemp("world")
    save_pretrained(small_model("llama"), small_tokenizer(), folder / "model")
    (folder / "texts.tsv").write_text(texts())
    before = os.getcwd()
    os.chdir(folder)
    try:
        with use_kernels("reference"):
            assert cli.main([*FINETUNE, *QUICK]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(world, monkeypatch):
    monkeypatch.chdir(world)
    return world


def refused(argv, capsys, *words):
    code, _, err = run(argv, capsys)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


# --- a run -------------------------------------------------------------------------------------


def test_what_a_run_leaves(here):
    names = {path.name for path in (here / "run").iterdir()} - {".lock"}
    assert names == {
        "run.json", "metrics.jsonl", "scores.json", "loss.png", "confusion.png", "checkpoints"
    }  # fmt: skip
    content = json.loads((here / "run/run.json").read_text())
    assert content["task"] == "classify"
    assert content["options"]["model"] == str(here / "model")
    assert content["options"]["steps"] == 8 * 68 // 8  # 70 % of 96 texts, both classes rounded
    assert content["inputs"].keys() == {"model", "data"}
    lines = read_metrics(here / "run/metrics.jsonl")
    assert is_finished(here / "run/metrics.jsonl")
    assert {"loss", "learning_rate", "grad_norm", "accuracy"} < lines[0].keys()
    assert {"eval_loss", "eval_accuracy", "eval_f1"} < lines[5].keys()
    scores = json.loads((here / "run/scores.json").read_text())
    assert scores["split"] == "test" and scores["labels"] == ["pet", "wood"]
    assert scores["accuracy"] == lines[-1]["test_accuracy"] > 0.9
    assert scores["accuracy"] == accuracy(np.array(scores["confusion"]))


def test_what_is_said(here, capsys):
    (here / "copies.csv").write_text("text,label\nx,a\ny,b\nx,a\n ,a\n" + "z1 z,a\nz2,b\n" * 40)
    argv = "finetune classify model --data copies.csv --out said --steps 2 --batch-size 2".split()
    argv += "--validation-share 0.5 --test-share 0 --max-length 1".split()
    code, out, _ = run(argv, capsys)
    assert code == 0
    for line in (
        "copies.csv: 84 rows",
        "dropped     79: a text that occurs twice",
        "dropped     1: an empty text",
        "training    2 texts: a 1, b 1",
        "validation  2 texts: a 1, b 1",
        "test        0 texts: a 0, b 0",
        "note: of 2 texts of more than 1 token, the beginning is read",
        "parameters are trained",
        "validation, 2 texts: loss",
        "tinygrad-llm classify said",
    ):
        assert line in out, out


def test_files_of_validation_and_test(here, capsys):
    for name, count in (("validation", 5), ("test", 3)):
        rows = [f"pet\tcat {name} {i}\nwood\tlog {name} {i}\n" for i in range(count)]
        (here / f"{name}.tsv").write_text("label\ttext\n" + "".join(rows))
    argv = [*FINETUNE[:-2], "--steps", "1", "--validation-data", "validation.tsv"]
    argv[argv.index("run")] = "files"
    code, out, _ = run([*argv, "--test-data", "test.tsv"], capsys)
    assert code == 0
    for line in ("training    96 texts", "validation  10 texts", "test        6 texts"):
        assert line in out, out


def test_a_finished_run_gets_its_pictures_back(here, capsys):
    before = {name: (here / "run" / name).read_bytes() for name in ("loss.png", "confusion.png")}
    assert all(content.startswith(b"\x89PNG") for content in before.values())
    for name in before:
        (here / "run" / name).unlink()
    code, out, _ = run(["finetune", "resume", "run"], capsys)
    assert code == 0 and "is finished" in out
    assert {name: (here / "run" / name).read_bytes() for name in before} == before
    code, out, _ = run(["finetune", "classify", "--resume", "run"], capsys)
    assert code == 0 and "picture" not in out


# --- classify ------------------------------------------------------------------------------------


def test_a_line_for_every_text(here, capsys, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"the cat sat 3\r\non the log 99"))
    monkeypatch.setattr(sys, "stdin", stdin)
    code, out, err = run(["classify", "run"], capsys)
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and err == ""
    assert [(line[0], line[2]) for line in lines] == [
        ("pet", "the cat sat 3"), ("wood", "on the log 99")
    ]  # fmt: skip
    assert all(0.5 < float(line[1]) <= 1 for line in lines)
    (here / "lines.txt").write_text("the cat sat 3\non the log 99\n")
    assert run(["classify", str(resolve("run")), "lines.txt"], capsys) == (0, out, "")


def test_only_line_ends_separate_texts(here, capsys):
    (here / "lines.txt").write_bytes("the cat\u2028sat\x0b3\r\non the log\n".encode())
    code, out, _ = run(["classify", "run", "lines.txt", "--json"], capsys)
    texts = [json.loads(line)["text"] for line in out.splitlines()]
    assert code == 0 and texts == ["the cat\u2028sat\x0b3", "on the log"]


def test_json(here, capsys):
    (here / "lines.txt").write_text("the cat sat 3\n\u00e9\n")
    code, out, _ = run(["classify", "run", "lines.txt", "--json"], capsys)
    first, second = map(json.loads, out.splitlines())
    assert code == 0 and first["label"] == "pet" and second["text"] == "\u00e9"
    assert first["probabilities"].keys() == {"pet", "wood"}
    assert sum(first["probabilities"].values()) == pytest.approx(1)


def test_a_table_is_compared_with_its_labels(here, capsys):
    argv = ["classify", "run", "texts.tsv", "--text-column", "text"]
    code, out, err = run(argv, capsys)
    assert code == 0 and out.count("\n") == 96 and err == ""
    code, _, err = run([*argv, "--label-column", "label"], capsys)
    assert code == 0 and err.startswith("accuracy ")
    assert float(err.split()[1].rstrip("%")) > 90
    assert "pet" in err and "precision" in err


def test_a_text_does_not_depend_on_the_others(here, capsys):
    (here / "one.txt").write_text("the cat\n")
    (here / "two.txt").write_text("the cat\n" + "on the log " * 5 + "\n")
    one, two = (run(["classify", "run", name], capsys)[1] for name in ("one.txt", "two.txt"))
    assert two.splitlines()[0] == one.strip()


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "has no rows"),
        ("label\ttext\n", "has no rows"),
        ("label\ttext\na\t \n", "has no row with a text"),
        ("label\ttext\na\tx\na\ty\n", "has the label 'a': a classifier needs at least two"),
        ("Label\ttext\na\tx\n", "line 2 of * has no column 'label'"),
        ("label\ttext\na\tx\n\ty\n", "line 3 of *: label is empty"),
        ("label\ttext\na\tx\nb\ty\n", "too few texts of each class"),
        ("label\ttext\na\tx\tz\n", "line 2 of * has 3 columns"),
    ],
)
def test_data_that_cannot_be(here, capsys, content, words):
    (here / "bad.tsv").write_text(content)
    argv = ["finetune", "classify", "model", "--data", "bad.tsv", "--out", "none"]
    refused(argv, capsys, "bad.tsv", *words.split("*"))
    assert not (here / "none").exists()


def test_a_validation_label_that_is_unknown(here, capsys):
    (here / "bad.tsv").write_text("label\ttext\npet\tx\nfish\ty\n")
    argv = [*FINETUNE, "--validation-data", "bad.tsv"]
    refused(argv, capsys, "line 3 of", "the label 'fish' is unknown: known are pet, wood")


@pytest.mark.parametrize(
    "options, words",
    [
        ("--data none.tsv", "none.tsv does not exist"),
        ("--data .", "is not a file"),
        ("--epochs 0", "epochs is 0.0, but must be above 0"),
        ("--lr nan", "lr is nan"),
        ("--test-share 0.9", "must leave something to train on"),
        ("--train-layers -1", "train_layers is -1"),
        ("--lora-r 4", "add --train-layers all"),
        ("--lora-r 4 --train-layers all --weights int8", "in float32"),
        ("--lora-r 400 --train-layers all", "LoRA: r is 400"),
        ("--weights int8", "add --lora-r 16"),
        ("--no-such-option", "no-such-option"),
    ],
)
def test_options_that_cannot_be(here, capsys, options, words):
    refused([*FINETUNE, *options.split()], capsys, words)


def test_what_is_missing(here, capsys):
    refused(["finetune", "classify"], capsys, "MODEL is missing")
    refused(["finetune", "classify", "model"], capsys, "--data is missing")


@pytest.mark.parametrize(
    "argv, words",
    [
        ("classify model lines.txt", "is not a classifier"),
        ("classify run empty.txt", "empty.txt is empty"),
        ("classify run blank.txt", "line 2 of blank.txt is empty"),
        ("classify run latin.txt", "line 2 of latin.txt is not UTF-8 text"),
        ("classify run none.txt", "none.txt"),
        ("classify run texts.tsv --text-column Text", "line 2 of texts.tsv has no column 'Text'"),
        ("classify run fish.csv --text-column text --label-column label", "'fish' is unknown"),
        ("classify run --text-column text", "--text-column needs a FILE"),
        ("classify run lines.txt --label-column label", "needs a --text-column"),
        ("generate run", "is a classifier"),
    ],
)
def test_a_file_that_cannot_be_classified(here, capsys, argv, words):
    (here / "lines.txt").write_text("x\n")
    (here / "empty.txt").write_text("")
    (here / "blank.txt").write_text("x\n\ny\n")
    (here / "latin.txt").write_bytes(b"x\n\xe9\n")
    (here / "fish.csv").write_text("text,label\nx,pet\ny,fish\n")
    refused(argv.split(), capsys, words)


def test_continuing_takes_no_other_options(here, capsys):
    argv = ["finetune", "classify", "--resume", "run", "--lr", "0.1"]
    refused(argv, capsys, "leave out --lr")


@pytest.mark.parametrize(
    "name, words", [("texts.tsv", "--data has changed"), ("model/config.json", "the model has")]
)
def test_what_a_run_depends_on_must_not_change(here, capsys, name, words):
    argv = [*FINETUNE, *"--steps 2 --save-every 1".split()]
    argv[argv.index("run")] = "changing"
    assert run(argv, capsys)[0] == 0
    (folder,) = here.glob("changing")
    metrics = folder / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    path = here / name
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\n")
        refused(["train", "--resume", str(folder)], capsys, words, "has changed since")
    finally:
        path.write_bytes(before)
    assert run(["train", "--resume", str(folder)], capsys)[0] == 0
    os.rename(folder, here / f"changed-{path.stem}")
