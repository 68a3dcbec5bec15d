"""``train --config FILE``: which options count, and files that cannot be read."""

import json
from dataclasses import asdict

import pytest

from tinygrad_llm import cli
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.training.runs import write_run_file


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(*argv):
    return cli.parse(["train", *argv])


@pytest.mark.parametrize(
    "name, text",
    [
        ("c.toml", 'preset = "small"\nsteps = 30\nlr = 1e-3\nnear-duplicates = true\n'),
        ("c.json", '{"preset": "small", "steps": 30, "lr": 1e-3, "near_duplicates": true}'),
    ],
)
@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_options_of_a_file_and_what_is_typed_counts_more(here, name, text, form):
    (here / name).write_text(text)
    c = parsed(*form.format(name).split(), "--steps", "40")
    assert (c.preset, c.steps, c.lr, c.near_duplicates) == ("small", 40, 1e-3, True)
    assert {"preset", "steps", "lr", "near_duplicates", "config"} == c.typed
    assert parsed("--steps", "40", "--config", name).steps == 40  # the order does not matter


def test_a_run_json_without_its_folder(here):
    options = TrainConfig(
        steps=9, optimizer="sgd", nesterov=False, out="here", sample_prompt="-x --y", lr=0.25
    )
    write_run_file(here, asdict(options) | {"resume": "there"}, {})
    c = parsed("--config", "run.json")
    assert (c.steps, c.optimizer, c.nesterov, c.lr) == (9, "sgd", False, 0.25)
    assert (c.out, c.resume, c.sample_prompt) == (None, None, "-x --y")
    content = json.loads((here / "run.json").read_text())
    (here / "run.json").write_text(json.dumps(content | {"task": "sft"}))
    with pytest.raises(UserError, match="is that of a run of fine-tuning"):
        parsed("--config", "run.json")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("c.toml", 'optimzer = "muon"', "c.toml: train has no option optimzer: did you mean opti"),
        ("c.toml", "zzzz = 1", r"no option zzzz \(see"),
        ("c.toml", 'config = "d.toml"', "no option config"),
        ("c.toml", "[train]\nsteps = 1", "no option train"),
        ("c.toml", "steps = {a = 1}", "steps is {'a': 1}, expected a number or a text"),
        ("c.toml", "nesterov = 1", "nesterov is 1, expected true or false"),
        ("c.toml", "steps = true", "steps is True, expected a number or a text"),
        ("c.toml", 'steps = "many"', "^c.toml: Error parsing --steps: expected INT, found 'many'"),
        ("c.toml", "steps = 0", "^c.toml: steps is 0, but must be at least 1"),
        ("c.yaml", "steps: 3", r"^c.yaml: --config takes TOML \(.* ends in .toml\) and JSON"),
        ("c.toml", "steps = ", "c.toml is not TOML"),
        ("c.json", "[1]", "c.json"),
        ("c.json", "{", "c.json"),
    ],
)
def test_files_that_cannot_be(here, name, text, words):
    (here / name).write_text(text)
    with pytest.raises(UserError, match=words):
        parsed("--config", name)


def test_a_wrong_word_is_not_the_files_fault(here):
    (here / "c.toml").write_text("steps = 3")
    with pytest.raises(UserError, match="^batch_size is 0"):
        parsed("--config", "c.toml", "--batch-size", "0")
    (here / "c.toml").write_text("momentum = 0.5")  # is right with what is typed
    assert parsed("--config", "c.toml", "--optimizer", "sgd").momentum == 0.5


@pytest.mark.parametrize("before", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("after", ["adamw", "muon", "sgd"])
def test_what_the_recipe_and_the_optimizer_filled_in_is_theirs_again(here, before, after):
    write_run_file(here, asdict(TrainConfig(optimizer=before, seed=3).with_recipe()), {})
    for name in ("run.json", "."):  # the file, and the run's folder
        found = parsed("--config", name, "--optimizer", after, "--preset", "small").with_recipe()
        expected = TrainConfig(optimizer=after, preset="small", seed=3, config=name).with_recipe()
        assert asdict(found) == asdict(expected)
    assert asdict(parsed("--config", "run.json").with_recipe()) == asdict(
        TrainConfig(optimizer=before, seed=3, config="run.json").with_recipe()
    )


def test_what_differed_from_the_recipe_stays(here):
    chosen = TrainConfig(optimizer="sgd", momentum=0.5, lr=0.25, batch_size=7).with_recipe()
    write_run_file(here, asdict(chosen), {})
    c = parsed("--config", "run.json", "--preset", "small")
    assert (c.momentum, c.lr, c.batch_size, c.steps) == (0.5, 0.25, 7, None)
    with pytest.raises(UserError, match="^momentum is 0.5 and the optimizer adamw: only muon and"):
        parsed("--config", "run.json", "--optimizer", "adamw")


def test_other_refusals(here):
    with pytest.raises(UserError, match="cannot read nothing.toml"):
        parsed("--config", "nothing.toml")
    (here / "c.toml").write_text("steps = 3")
    with pytest.raises(UserError, match="leave out --config"):
        parsed("--config", "c.toml", "--resume", "run")
    with pytest.raises(UserError):
        parsed("--config")
