"""Checkpoints: written whole or not at all, found again, and refused when they are broken."""

import errno
import json
import os

import numpy as np
import pytest

from tinygrad_llm import files
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.gpt2 import load_model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training import checkpoint as ckpt, runs

SCHEMA = {"format": 1, "options": None, "step": Whole(0), "seed": Whole(0, 2**128)}
CONFIG = GPTConfig(vocab_size=257, block_size=8, n_layer=1, n_head=2, n_embd=8)


@pytest.fixture
def model():
    return GPT(CONFIG, seed=1)


@pytest.fixture
def checkpoints(tmp_path):
    run = runs.create_run(str(tmp_path / "run"), "tiny")
    found = ckpt.Checkpoints(run, Tokenizer([]))
    found.folder.mkdir()
    return found


def save(checkpoints, model, step, best_step=None):
    arrays = {"wte.weight.m": np.full((2, 3), step, np.float32), "n": np.array(step)}
    return checkpoints.save(model, arrays, {"step": step, "seed": 2**127 + step}, best_step)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_holds_model_tokenizer_and_state(checkpoints, model):
    folder = save(checkpoints, model, 12)
    assert names(folder) == [
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_state.json",
        "training_state.safetensors",
    ]
    for name, array in load_model(folder).state_dict().items():
        assert array.tobytes() == model.state_dict()[name].tobytes()
    assert Tokenizer.load(folder).fingerprint() == checkpoints.tokenizer.fingerprint()
    arrays, state = ckpt.load_training_state(folder, SCHEMA)
    assert state["step"] == 12 and state["seed"] == 2**127 + 12  # a PCG64 state is that large
    np.testing.assert_array_equal(arrays["wte.weight.m"], np.full((2, 3), 12, np.float32))
    assert arrays["n"].shape == () and arrays["n"] == 12
    config = json.loads((folder / "config.json").read_text())
    assert config["eos_token_id"] == 256


def test_keeps_the_last_and_the_best(checkpoints, model):
    save(checkpoints, model, 10)
    save(checkpoints, model, 20, best_step=20)
    save(checkpoints, model, 30, best_step=20)
    save(checkpoints, model, 40, best_step=20)
    assert names(checkpoints.folder) == ["index.json", "step-000020", "step-000040"]
    index = ckpt.read_index(checkpoints.run)
    assert index == {"last": "step-000040", "best": "step-000020"}
    assert ckpt.resolve(checkpoints.run).name == "step-000020"
    assert ckpt.resolve(checkpoints.folder / "step-000040").name == "step-000040"
    run, last = ckpt.resolve_resume(checkpoints.run)
    assert (run, last.name) == (checkpoints.run, "step-000040")


def test_a_best_that_is_gone_gives_way(checkpoints, model):
    save(checkpoints, model, 10, best_step=5)
    assert ckpt.read_index(checkpoints.run)["best"] == "step-000010"


def test_saving_a_step_again_replaces_it(checkpoints, model):
    save(checkpoints, model, 10)
    model.wte.weight.assign_(np.ones(model.wte.weight.shape, np.float32))
    folder = save(checkpoints, model, 10)
    assert load_model(folder).wte.weight.data.min() == 1
    assert names(checkpoints.folder) == ["index.json", folder.name]
    assert ckpt.read_index(checkpoints.run) == {"last": folder.name, "best": folder.name}
    assert ckpt.load_training_state(folder, SCHEMA)[1]["step"] == 10


def full_disk(after):
    """os.fsync that fails from its call number ``after`` on."""
    calls = 0
    real = os.fsync

    def fsync(descriptor):
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    return fsync


@pytest.mark.parametrize("after", range(0, 15))
def test_a_full_disk_leaves_the_last_checkpoint(checkpoints, model, monkeypatch, after):
    save(checkpoints, model, 10)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk(after))
        with pytest.raises(UserError, match="No space left.*step-000010 is safe.*--resume"):
            save(checkpoints, model, 20)
    assert ckpt.resolve(checkpoints.run).name == "step-000010"
    assert load_model(checkpoints.folder / "step-000010").num_parameters()
    assert not [n for n in names(checkpoints.folder) if n.startswith(".")]
    checkpoints.continue_from(checkpoints.folder / "step-000010")
    assert names(checkpoints.folder) == ["index.json", "step-000010"]


def test_a_full_disk_at_the_first_checkpoint(checkpoints, model, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk(0))
    with pytest.raises(UserError, match="No space left.*there is no earlier one"):
        save(checkpoints, model, 10)
    assert names(checkpoints.folder) == []


def test_tidy_removes_what_a_killed_process_left(checkpoints, model):
    save(checkpoints, model, 10)
    (checkpoints.folder / ".partial-step-000020").mkdir()
    (checkpoints.folder / ".partial-step-000020" / "model.safetensors").write_bytes(b"half")
    (checkpoints.folder / "step-000020").mkdir()  # renamed, but not yet in the index
    (checkpoints.run / ".partial-run.json").write_bytes(b"{")
    (checkpoints.folder / "notes").mkdir()  # not ours to remove
    checkpoints.continue_from(checkpoints.folder / "step-000010")
    assert names(checkpoints.folder) == ["index.json", "notes", "step-000010"]
    assert names(checkpoints.run) == ["checkpoints"]


def test_resolve_says_what_is_wrong(checkpoints, model, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        ckpt.resolve(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="a file, not a folder"):
        ckpt.resolve(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="neither a run nor a checkpoint"):
        ckpt.resolve(tmp_path / "folder")
    with pytest.raises(UserError, match="has no checkpoint"):
        ckpt.resolve(checkpoints.run)
    save(checkpoints, model, 10)
    for content, match in (
        ("{", "is not whole JSON"),
        ("[]", "expected a JSON object"),
        ('{"last": "step-000010"}', "best is missing"),
        ('{"last": "../..", "best": "step-000010"}', "expected text like step-000500"),
        ('{"last": "step-000099", "best": "step-000010"}', "no such folder"),
    ):
        (checkpoints.folder / ckpt.INDEX).write_text(content)
        with pytest.raises(UserError, match=match):
            ckpt.resolve(checkpoints.run)


def test_a_foreign_or_damaged_training_state(checkpoints, model, tmp_path):
    folder = save(checkpoints, model, 10)
    state = (folder / ckpt.STATE).read_text()
    for content, match in (
        (state[:-10], "not whole JSON"),
        (state.replace('"format": 1', '"format": 99'), "format is 99, expected 1"),
        (state.replace('"step": 10', '"step": "x"'), 'step is "x", expected a whole number'),
        (state.replace('"step": 10', '"step": 11'), "its folder is step-000010"),
        (state.replace('"seed"', '"sead"'), "seed is missing"),
    ):
        (folder / ckpt.STATE).write_text(content)
        with pytest.raises(UserError, match=match):
            ckpt.load_training_state(folder, SCHEMA)
    (folder / ckpt.STATE).write_text(state)
    arrays = (folder / ckpt.STATE_ARRAYS).read_bytes()
    for damaged in (arrays[:-5], arrays[:4], b"", b"\xff" * 64):
        (folder / ckpt.STATE_ARRAYS).write_bytes(damaged)
        with pytest.raises(UserError, match="training_state.safetensors"):
            ckpt.load_training_state(folder, SCHEMA)
    (folder / ckpt.STATE_ARRAYS).unlink()
    with pytest.raises(UserError, match="training_state.safetensors"):
        ckpt.load_training_state(folder, SCHEMA)
    (folder / ckpt.STATE).unlink()
    with pytest.raises(UserError, match="training cannot continue from it"):
        ckpt.resolve_resume(checkpoints.run)
    assert ckpt.resolve(checkpoints.run) == folder  # but it is still a model


def test_a_checkpoint_outside_a_run_cannot_be_resumed(checkpoints, model, tmp_path):
    folder = save(checkpoints, model, 10)
    folder.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="not inside a run folder"):
        ckpt.resolve_resume(tmp_path / "moved")


# --- runs and files ------------------------------------------------------------------------------


def test_runs_never_overwrite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [str(runs.create_run(None, "tiny")) for _ in range(3)]
    assert made == [os.path.join("runs", n) for n in ("tiny", "tiny-2", "tiny-3")]
    assert runs.create_run("mine", "tiny").name == "mine"
    assert runs.create_run("mine", "tiny").name == "mine-2"
    (tmp_path / "file").write_text("x")
    assert runs.create_run("file", "tiny").name == "file-2"
    with pytest.raises(UserError, match="file"):
        runs.create_run("file/run", "tiny")


def test_run_file_round_trip_and_foreign_ones(tmp_path):
    runs.write_run_file(tmp_path, {"lr": 1e-3}, {"parameters": 5})
    content = runs.read_run_file(tmp_path)
    assert content["options"] == {"lr": 1e-3} and content["parameters"] == 5
    assert content["versions"]["numpy"] == np.__version__
    (tmp_path / "run.json").write_text('{"model": "other"}')
    with pytest.raises(UserError, match="format is missing, expected 1"):
        runs.read_run_file(tmp_path)
    (tmp_path / "run.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not whole JSON"):
        runs.read_run_file(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(UserError, match="cannot read"):
        runs.read_run_file(tmp_path)


def test_an_atomic_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", full_disk(0))
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.json"]


def test_nothing_is_saved_where_a_run_was_moved_away(checkpoints, model, tmp_path):
    save(checkpoints, model, 1)
    checkpoints.run.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="step 2 .*the run's folder was moved or removed"):
        save(checkpoints, model, 2)
    assert names(tmp_path) == ["moved"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_an_atomic_write_follows_no_link(tmp_path):
    (tmp_path / "mine").write_bytes(b"precious")
    (tmp_path / ".partial-a.json").symlink_to(tmp_path / "mine")
    files.write_atomically(tmp_path / "a.json", b"new")
    assert names(tmp_path) == ["a.json", "mine"]
    assert (tmp_path / "mine").read_bytes() == b"precious"
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    files.write_folder_atomically(tmp_path / "a", lambda f: (f / "x").write_text("old"))

    def fail(folder):
        (folder / "x").write_text("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_folder_atomically(tmp_path / "b", fail)
    assert names(tmp_path) == ["a"]
    with pytest.raises(FileExistsError):  # a folder is never replaced
        files.write_folder_atomically(tmp_path / "a", lambda f: (f / "x").write_text("new"))
    assert (tmp_path / "a" / "x").read_text() == "old" and names(tmp_path) == ["a"]
