"""Damage to a run is noticed and named: checksums, steps, options, locks, bad numbers."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kept_run import copy_run, make_run

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands import finish, resume, saved_run
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import lock
from tinygrad_llm.files.checksums import SUMS, verify, write_sums
from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors
from tinygrad_llm.training import checkpoint as ckpt
from tinygrad_llm.training.metrics import is_finished, read_metrics

ROOT = Path(__file__).parents[2]
TRAIN = (
    "train --preset tiny "
    "--data corpus.txt --out run --n-layer 1 --n-head 1 --n-embd 4 --block-size 4 "
    "--batch-size 1 --vocab-size 260 --steps 4 --eval-every 2 --save-every 2 --eval-batches 1 "
    "--sample-tokens 2"
).split()
GENERATE = ["generate", "run", "--max-new-tokens", "2", "--prompt", "x"]
RESUME = ["train", "--resume", "run"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run, made once, and everything that belongs to it."""
    folder = tmp_path_factory.mktemp("kept")
    return make_run(folder, lambda: command(TRAIN)[0])


@pytest.fixture
def run(kept, tmp_path, monkeypatch):
    """A copy of it whose last step is done and saved, but not what follows it."""
    folder = copy_run(kept, tmp_path, monkeypatch)
    change_lines(folder / "run", lambda lines: lines[:-1])
    return folder / "run"


def command(argv):
    """(exit code, output, errors) of the command line, with the reference kernels."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with use_kernels("reference"):
            code = cli.main(argv)
    return code, out.getvalue(), err.getvalue()


def refused(argv, *words):
    """It ends in one sentence with these words, and nothing in the run has changed."""
    files = [p for p in Path("run").rglob("*") if p.is_file() and p.name != lock.LOCK_FILE]
    before = {path: path.read_bytes() for path in files}
    code, _, err = command(argv)
    assert {path: path.read_bytes() for path in files} == before
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


def last(run):
    return run / "checkpoints" / ckpt.read_index(run)["last"]


def change_lines(run, change):
    path = run / "metrics.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_tensors(path, change):
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors, {"format": "pt"})


# --- checksums -----------------------------------------------------------------------------------


def test_one_flipped_bit_in_any_file(run):
    checkpoint, rng = last(run), random.Random(0)
    names = sorted(path.name for path in checkpoint.iterdir())
    assert len(names) == 7
    for name in names:
        path = checkpoint / name
        before = path.read_bytes()
        for _ in range(4):
            at = rng.randrange(len(before))
            path.write_bytes(
                before[:at] + bytes([before[at] ^ 1 << rng.randrange(8)]) + before[at + 1 :]
            )
            with pytest.raises(UserError, match=SUMS if name == SUMS else name):
                verify(checkpoint)
        path.write_bytes(before)
    assert verify(checkpoint)


def test_a_changed_file_is_refused_and_no_verify_takes_it(run):
    path = last(run) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    for argv in (RESUME, GENERATE):
        refused(argv, "model.safetensors is not the file that was written", "--no-verify")
        assert command([*argv, "--no-verify"])[0] == 0


def test_a_tokenizer_is_verified_when_another_run_takes_it(run):
    path = last(run) / "tokenizer.json"
    path.write_text(path.read_text().replace("\n", " \n", 1))
    refused(["train", "--data", "corpus.txt", "--tokenizer", "run"], "tokenizer.json is not the")


def test_sums_are_those_of_sha256sum(run):
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=last(run), check=True)


def test_without_checksums_there_is_a_note(run):
    """As an earlier version wrote it: no sums, no options in the state, no option of today."""
    (last(run) / SUMS).unlink()
    change_json(last(run) / "training_state.json", lambda state: state.pop("options"))
    change_json(run / "run.json", lambda content: content["options"].pop("no_verify"))
    code, out, err = command(GENERATE)
    assert code == 0 and f"has no {SUMS}" in err
    code, out, err = command(RESUME)
    assert (code, err) == (0, "") and f"has no {SUMS}" in out
    assert is_finished(run / "metrics.jsonl")


def test_a_checkpoint_that_an_earlier_version_moved_away(run):
    """It was killed between the two renames with which it replaced a checkpoint."""
    checkpoint = last(run)
    half = checkpoint.with_name(f".partial-{checkpoint.name}")
    half.mkdir()
    checkpoint.rename(checkpoint.with_name(f".partial-old-{checkpoint.name}"))
    assert command(RESUME)[0] == 0
    assert last(run) == checkpoint and verify(checkpoint) and not half.exists()


# --- what belongs together -----------------------------------------------------------------------


def test_a_step_that_does_not_match(run):
    checkpoint = last(run)
    change_json(
        run / "checkpoints/index.json",
        lambda index: index.update(last="step-000003", best="step-000003"),
    )
    checkpoint.rename(checkpoint.with_name("step-000003"))
    refused(RESUME, "is of step 4, but its folder is step-000003")


def test_a_state_of_another_step(run):
    """The sums are those of the files; they were put together from two checkpoints."""
    change_tensors(
        last(run) / "training_state.safetensors",
        lambda tensors: tensors.update(
            {n: t - 1 for n, t in tensors.items() if n.endswith(".step")}
        ),
    )
    write_sums(last(run))
    refused(RESUME, "the optimizer has done 3 steps", "is that of step 4")


def test_a_state_or_tokenizer_of_another_model(run):
    assert command([*TRAIN, "--n-embd", "8", "--vocab-size", "265", "--out", "other"])[0] == 0
    other, checkpoint = last(run.parent / "other"), last(run)
    for names, words in (
        (["training_state.safetensors"], ["wte.weight", "resume with the model it was saved with"]),
        (["tokenizer.json"], ["has ids up to", "the model's vocabulary has 260 ids"]),
        (
            ["config.json", "model.safetensors"],
            ["n_embd is 8, expected 4", "use another checkpoint"],
        ),
    ):
        for name in names:
            shutil.copy(checkpoint / name, run.parent / name)
            shutil.copy(other / name, checkpoint / name)
        refused(RESUME, names[0])
        refused([*RESUME, "--no-verify"], *words)
        for name in names:
            shutil.copy(run.parent / name, checkpoint / name)


def test_a_tokenizer_of_the_same_size_is_not_the_same(run):
    path = last(run) / "tokenizer.json"
    content = json.loads(path.read_text())
    merges, vocab = content["model"]["merges"], content["model"]["vocab"]
    old = "".join(merges[-1])
    merges[-1] = ["z", "z"]
    vocab["zz"] = vocab.pop(old)
    path.write_text(json.dumps(content))
    refused([*RESUME, "--no-verify"], "the tokenizer in", "is not the one that")


@pytest.mark.parametrize("line", [0, 1, 3])
def test_metrics_that_lost_a_line(run, line):
    change_lines(run, lambda lines: lines[:line] + lines[line + 1 :])
    refused(RESUME, f"metrics.jsonl has lost the line of step {line + 1}")
    assert command([*RESUME, "--no-verify"])[0] == 0


def test_metrics_that_are_gone(run):
    (run / "metrics.jsonl").unlink()
    refused(RESUME, "metrics.jsonl has lost the line of step 1")


def test_options_that_were_changed(run):
    change_json(run / "run.json", lambda content: content["options"].update(lr=0.002))
    refused(RESUME, "the options in", "have changed since the checkpoint of step 4")
    assert command([*RESUME, "--no-verify"])[0] == 0


@pytest.mark.parametrize(
    "change, words",
    [
        ({"lr": "high"}, 'lr is "high", expected a number'),
        ({"steps": 6.5}, "steps is 6.5, expected a whole number"),
        ({"steps": 0}, "steps is 0, but must be at least 1"),
        ({"profile": 1}, "profile is 1, expected true or false"),
        ({"preset": "huge"}, 'preset is "huge", expected "tiny" or "small"'),
        ({"new_option": 1}, "new_option is unknown"),
    ],
)
def test_options_that_cannot_be(run, change, words):
    change_json(run / "run.json", lambda content: content["options"].update(change))
    refused(RESUME, "run.json (options)", words)


FIRST_OPTIONS = (
    "preset data tokenizer vocab_size block_size n_layer n_head n_embd dropout steps batch_size "
    "grad_accumulation lr min_lr_ratio warmup_steps weight_decay beta1 beta2 grad_clip eval_every "
    "eval_batches save_every seed device out resume profile sample_tokens sample_prompt"
).split()


def test_options_of_the_first_version_are_read(run):
    content = json.loads((run / "run.json").read_text())
    content["options"] = {name: content["options"][name] for name in FIRST_OPTIONS}
    options = saved_run.options_of(content, run, TrainConfig, resume.NEW_OPTIONS)
    assert options.n_embd == 4


def test_an_option_that_is_missing(run):
    change_json(run / "run.json", lambda content: content["options"].pop("lr"))
    refused(RESUME, "run.json (options): lr is missing")


# --- numbers that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(run, bad):
    change_tensors(
        last(run) / "model.safetensors",
        lambda tensors: tensors["transformer.wpe.weight"].__setitem__((1, 2), bad),
    )
    for argv in (RESUME, GENERATE):
        refused(
            [*argv, "--no-verify"], "1 of the 16 numbers of tensor transformer.wpe.weight are NaN"
        )


def test_moments_that_are_not_finite(run):
    change_tensors(
        last(run) / "training_state.safetensors",
        lambda tensors: tensors["wpe.weight.m"].__setitem__((0, 0), np.nan),
    )
    refused([*RESUME, "--no-verify"], "tensor wpe.weight.m are NaN or infinite")


@pytest.mark.parametrize("every", ["1", "100"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_keeps_what_was_good(run, every):
    """Decay by 10 at the rate 10: the weights grow a hundredfold with each step."""
    wild = ["--lr", "10", "--weight-decay", "10", "--warmup-steps", "1", "--steps", "40"]
    argv = [*TRAIN, *wild, "--save-every", "1", "--eval-every", every, "--out", "wild"]
    code, _, err = command(argv)
    assert code == 2 and "earlier checkpoints are unaffected" in err, err
    assert 1 < ckpt.step_of(last(Path("wild"))) < 40
    for path in Path("wild/checkpoints").glob("*/*.safetensors"):
        assert all(np.isfinite(array).all() for array in read_tensors(path).values())


# --- one process ---------------------------------------------------------------------------------


def test_the_second_process_is_told_who_the_first_is(run):
    holder = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "scripts" / "hold_a_run.py", run],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert holder.stdout.readline()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != lock.LOCK_FILE}
    refused(RESUME, "is in use by process", str(holder.pid), lock.platform.node())
    refused(["train", "--resume", str(last(run))], str(holder.pid))  # by its checkpoint, too
    assert {p: p.read_bytes() for p in before} == before
    assert command(GENERATE)[0] == 0  # which only reads
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert command(RESUME)[0] == 0


def test_a_lock_is_given_back_and_needs_a_writable_run(run):
    for _ in range(2):
        with lock.RunLock(run) as held:
            assert held.held
            with pytest.raises(UserError, match=f"in use by process {os.getpid()} on"):
                lock.RunLock(run).__enter__()
    with pytest.raises(UserError, match="cannot write to the run"):
        lock.RunLock(run / "nowhere").__enter__()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_a_lock_that_is_a_link_is_refused(run):
    """A foreign run may contain a link to a file of ours, which would be overwritten."""
    mine = Path("mine").absolute()
    mine.write_text("precious")
    (run / lock.LOCK_FILE).unlink(missing_ok=True)
    (run / lock.LOCK_FILE).symlink_to(mine)
    refused(RESUME, "cannot write to the run", ".lock")
    assert mine.read_text() == "precious"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs in folders")
def test_metrics_that_are_a_pipe_are_not_opened(run):
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    refused(RESUME, "metrics.jsonl", "is not a regular file")


def test_a_file_system_without_locks_is_said(run, monkeypatch):
    import errno

    def none(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "lock_file", none)
    code, out, _ = command(RESUME)
    assert code == 0 and "has no locks" in out


# --- what follows the last step ------------------------------------------------------------------


def test_a_finished_run_needs_no_corpus_and_is_tidied(run):
    assert command(RESUME)[0] == 0
    Path("corpus.txt").unlink()
    (run / "loss.png").unlink()
    leftovers = [run / ".partial-loss.png", run / "checkpoints/.partial-step-000009"]
    for path in leftovers:
        path.mkdir()
    code, out, err = command(RESUME)
    assert (code, err) == (0, "") and "is finished" in out and (run / "loss.png").exists()
    assert not any(path.exists() for path in leftovers)


def test_a_report_that_cannot_be_written(run, monkeypatch):
    from tinygrad_llm.commands.console import PlainConsole

    def full(self, line, loss, note):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(PlainConsole, "step", full)
        refused([*TRAIN, "--out", "full"], "No space left", "train --resume full")
    assert command(["train", "--resume", "full"])[0] == 0


@pytest.mark.parametrize("name, what", [("plot_loss", "the plot"), ("stream_text", "the sample")])
def test_what_fails_after_the_last_step_costs_nothing_else(run, monkeypatch, name, what):
    with monkeypatch.context() as patch:
        patch.setattr(finish, name, lambda *_: 1 / 0)
        code, out, err = command(RESUME)
    assert code == 1 and err.count("\n") == 1
    assert err.startswith(f"error: {what} failed (ZeroDivisionError: division by zero); the run is")
    assert is_finished(run / "metrics.jsonl") and "generate " in out
    code, out, err = command(RESUME)
    assert (code, err) == (0, "") and (run / "loss.png").exists()
    assert ("plot" in out) == (what == "the plot")


def test_a_final_evaluation_that_fails_is_made_up_for(run, monkeypatch):
    from tinygrad_llm.training.trainer import Trainer

    def fail(self):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "final_evaluation", fail)
        code, _, err = command(RESUME)
    assert code == 1 and "the final evaluation failed (MemoryError:" in err
    assert not is_finished(run / "metrics.jsonl") and (run / "loss.png").exists()
    assert command(RESUME)[0] == 0
    assert is_finished(run / "metrics.jsonl")


def test_a_profile_that_cannot_be_written_costs_nothing(run, monkeypatch):
    from autograd.debug import profile

    def full(self, path):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(profile, "chrome_trace", full)
    code, out, err = command([*TRAIN, "--profile", "--out", "profiled"])
    assert (code, err) == (0, "") and "could not be written" in out


# --- any damage ----------------------------------------------------------------------------------


def damaged(data, rng):
    """A few bytes overwritten, removed, doubled or inserted, as a bad disk or an editor would."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        new = rng.choice(
            [b"", b"\0", b"\xff\xfe", b"9" * 400, b"-1", b"1e999", b"null", b"[[[[", b'"']
        )
        data[at : at + rng.choice([0, 1, 1, 8, 300])] = new
    return bytes(data)


def try_damages(run, times):
    """Each file of a run, damaged and without checksums: it is refused, or it is as good as any."""
    rng, checkpoint = random.Random(0), last(run)
    (checkpoint / SUMS).unlink()
    files = [p for p in checkpoint.iterdir()]
    files += [run / "run.json", run / "metrics.jsonl", run / "checkpoints/index.json"]
    whole = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcomes = {0: 0, 2: 0}
    for path in files:
        for _ in range(times):
            path.write_bytes(damaged(whole[path], rng))
            for argv in (RESUME, [*GENERATE, "--max-new-tokens", "1"]):
                code, _, err = command([*argv, "--no-verify"])
                assert code in outcomes, (path, err)
                assert code == 0 or err.count("\n") == 1, (path, err)
                outcomes[code] += 1
            for other in run.rglob("*"):
                if other.is_file() and other not in whole:
                    other.unlink()
            for name, content in whole.items():
                name.parent.mkdir(exist_ok=True)
                name.write_bytes(content)
    assert outcomes[2] > outcomes[0] / 2 and outcomes[0]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_files_end_in_a_sentence(run, monkeypatch):
    monkeypatch.setattr(finish, "plot_loss", lambda metrics, path, title: path.touch())
    try_damages(run, 4)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_many_damaged_files_end_in_a_sentence(run, monkeypatch):
    monkeypatch.setattr(finish, "plot_loss", lambda metrics, path, title: path.touch())
    try_damages(run, 100)


def test_every_line_of_metrics_is_checked(run):
    change_lines(run, lambda lines: [lines[0], lines[1].replace('"lr"', '"lrr"'), *lines[2:]])
    refused(RESUME, "line 2 of", "lrr is unknown")
    (run / "metrics.jsonl").write_text('{"step": 1' + "1" * 5000)
    with pytest.raises(UserError, match="line 1 of .* more than 4,096 bytes"):
        read_metrics(run / "metrics.jsonl")
