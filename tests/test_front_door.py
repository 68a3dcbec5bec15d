"""``from tinygrad_llm import GPT``: the names at the top, and what they load."""

import ast
import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_llm
from tinygrad_llm import cli, load_run
from tinygrad_llm.errors import UserError

ROOT = Path(__file__).parent.parent


def loaded_by(code):
    """The modules that are new after a program has run."""
    program = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing():
    assert loaded_by("import tinygrad_llm") == {"tinygrad_llm", "tinygrad_llm.version"}
    assert loaded_by("import tinygrad_llm; dir(tinygrad_llm)") == {
        "tinygrad_llm", "tinygrad_llm.version",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["GPT", "DataLoader", "load_run"])
def test_a_name_loads_what_it_needs(name):
    modules = loaded_by(f"from tinygrad_llm import {name}")
    assert modules & {"numba", "matplotlib", "rich", "torch", "tyro"} == set()


def test_every_name_is_there():
    for name in tinygrad_llm.__all__:
        assert getattr(tinygrad_llm, name) is not None
        assert name in dir(tinygrad_llm)
    assert {"GPT", "GPTConfig", "Module", "Linear", "Embedding", "LayerNorm", "RMSNorm", "Dropout",
            "Sequential", "ModuleList", "ModuleDict", "AdamW", "Trainer", "DataLoader",
            "Tokenizer", "load_run"} <= set(tinygrad_llm.__all__)  # fmt: skip


def test_the_type_checker_sees_the_same_names():
    """The imports for type checkers, ``__all__`` and the table at run time agree."""
    tree = ast.parse(Path(tinygrad_llm.__file__).read_text())
    (block,) = [
        node for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]  # fmt: skip
    typed = {
        alias.name: node.module.removeprefix("tinygrad_llm.")
        for node in block.body
        for alias in node.names
    }
    assert typed == tinygrad_llm._HOME
    assert sorted([*typed, "__version__"]) == sorted(tinygrad_llm.__all__)
    for name, module in typed.items():
        defined = importlib.import_module(f"tinygrad_llm.{module}")
        assert getattr(tinygrad_llm, name) is getattr(defined, name)


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="'tinygrad_llm' has no attribute 'Gpt'"):
        tinygrad_llm.Gpt  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Gpt'"):
        exec("from tinygrad_llm import Gpt")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text("the cat sat on the mat and the dog sat on the log. " * 400)
    arguments = (
        f"train --data {folder / 'words.txt'} --out {folder / 'run'} --n-embd 8 --n-head 2 "
        "--block-size 16 --batch-size 2 --steps 3 --eval-every 1 --eval-batches 1 --save-every 1 "
        "--grad-accumulation 1 --sample-tokens 4"
    )
    assert cli.main(arguments.split()) == 0
    return folder / "run"


def test_a_run_is_opened(run, monkeypatch):
    best, last = load_run(run), load_run(run, checkpoint="last")
    assert best.path == run and best.checkpoint.parent == run / "checkpoints"
    assert last.checkpoint.name == "step-000003"
    assert best.options["n_embd"] == best.model.config.n_embd == 8 and not best.model.training
    assert [line["step"] for line in last.metrics] == [1, 2, 3, 3] and "val_loss" in last.metrics[0]
    assert best.tokenizer.decode(best.tokenizer.encode("the cat")) == "the cat"
    monkeypatch.chdir(last.checkpoint)
    assert load_run(".").checkpoint == last.checkpoint
    assert {f.name for f in dataclasses.fields(best)} == {
        "path", "checkpoint", "model", "tokenizer", "options", "metrics",
    }  # fmt: skip


def test_what_is_no_run_is_refused(run, tmp_path):
    for path, words in [(tmp_path, "is neither a run nor a checkpoint"), ("nowhere", "not exist")]:
        with pytest.raises(UserError, match=words):
            load_run(path)
    with pytest.raises(UserError, match="must be 'best' or 'last'"):
        load_run(run, checkpoint="step-1")
