"""A run that is stopped, at any moment, goes on and ends with the very same files.

A tiny run is killed before a file operation, meets a full disk, or gets signals; then it is
continued and compared with one that nothing stopped. The moments that matter most are tried each
time, all of them with ``pytest -m soak`` (docs/reliability.md has the figures).
"""

import hashlib
import random
import re
import shutil
import signal
import sys

import pytest
from command_server import KILLED, CommandServer
from small_corpus import small_corpus

from tinygrad_llm.training.checkpoint import read_index, verify_checkpoint
from tinygrad_llm.training.metrics import read_metrics

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

TRAIN = (
    "train --preset tiny --data ../../corpus.txt --n-layer 1 --n-head 1 --n-embd 4 --block-size 4 "
    "--batch-size 1 --vocab-size 260 --steps 3 --eval-every 2 --save-every 1 --eval-batches 1 "
    "--sample-tokens 2 --dropout 0.1"
).split()


class World:
    """A folder with a corpus, in which commands run."""

    def __init__(self, folder, server):
        self.folder, self.server, self.count = folder, server, 0
        (folder / "corpus.txt").write_text(small_corpus(60))
        self.whole = self.train(self.place())
        assert self.whole["code"] == 0, self.whole["log"]
        self.expected = self.end(self.whole["folder"] / "runs/tiny")
        result = self.train(self.place())  # with the tokens in the cache
        self.operations, self.calls = result["operations"], 0

    def place(self):
        """A new folder, with a cache that has what ``whole`` left in its own."""
        self.count += 1
        folder = self.folder / str(self.count) / "here"
        folder.mkdir(parents=True)
        if self.count > 1:
            shutil.copytree(self.folder / "1/cache", folder.parent / "cache")
        return folder

    def train(self, folder, fault=None, **how):
        result = self.server.run(TRAIN, folder, folder.parent / "cache", fault, **how)
        return {**result, "folder": folder}

    def resume(self, folder, fault=None, run="runs/tiny", **how):
        argv = ["train", "--resume", run]
        return self.server.run(argv, folder, folder.parent / "cache", fault, **how)

    def end(self, run):
        """What a finished run left: sha256 of its checkpoint's files, and what it measured."""
        index = read_index(run)
        checkpoint = run / "checkpoints" / index["last"]
        assert verify_checkpoint(checkpoint) is None and (run / "loss.png").stat().st_size
        leftovers = [p for p in run.rglob("*") if ".partial" in p.name]
        assert not leftovers
        assert {p.name for p in (run / "checkpoints").iterdir()} == {"index.json", *index.values()}
        files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in checkpoint.iterdir()}
        lines = read_metrics(run / "metrics.jsonl")
        for line in lines:
            line.pop("tokens_per_second", None)
        return index, files, lines

    def goes_on(self, folder):
        """Continue the run in ``folder``, or begin where there is none yet, and compare."""
        name = "tiny"
        if (folder / "runs/tiny/run.json").exists():
            result = self.resume(folder)
        else:
            name = "tiny-2" if (folder / "runs/tiny").exists() else "tiny"
            result = self.train(folder)
        assert result["code"] == 0, result["log"]
        assert self.end(folder / "runs" / name) == self.expected
        assert not [p for p in (folder.parent / "cache").rglob("*") if ".partial" in p.name]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with CommandServer() as server:
        yield World(tmp_path_factory.mktemp("world"), server)


def one_sentence(log):
    """The last line is an error in one sentence, and nothing else looks like a crash."""
    assert "Traceback" not in log and "Exception ignored" not in log, log
    return log.splitlines()[-1]


# --- killed --------------------------------------------------------------------------------------

MOMENTS = """
open runs/tiny/.lock
os.rename runs/tiny/.partial-run.json
os.rename runs/tiny/.partial-metrics.jsonl
os.rename runs/tiny/checkpoints/.partial-step-000001
os.rename runs/tiny/checkpoints/.partial-index.json
os.mkdir runs/tiny/checkpoints/.partial-step-000002
open runs/tiny/checkpoints/.partial-step-000002/.partial-training_state.safetensors
os.rename runs/tiny/checkpoints/.partial-step-000002
os.remove model.safetensors
os.rmdir runs/tiny/checkpoints/step-000001
os.rename runs/tiny/.partial-loss.png
""".strip().splitlines()


def killed_and_continued(world, at, kind="kill"):
    folder = world.place()
    assert world.train(folder, {"kind": kind, "at": at})["code"] == KILLED
    world.goes_on(folder)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_before_a_file_operation(world, moment):
    killed_and_continued(world, world.operations.index(moment))


@pytest.mark.parametrize(
    "moment", ["open runs/tiny/metrics.jsonl", "open runs/tiny/checkpoints/.partial-index.json"]
)
def test_killed_while_it_writes_a_file(world, moment):
    last = max(i for i, o in enumerate(world.operations) if o == moment)
    killed_and_continued(world, last, "torn")


@pytest.mark.soak
def test_killed_while_it_writes_any_file(world):
    for at, operation in enumerate(world.operations):
        if operation.startswith("open"):
            killed_and_continued(world, at, "torn")


@pytest.mark.parametrize("part", [0.2, 0.7])
def test_killed_while_it_fills_the_cache(world, part):
    making = [i for i, name in enumerate(world.whole["operations"]) if "/cache/" in name]
    folder = world.place()
    shutil.rmtree(folder.parent / "cache")
    at = making[int(part * len(making))]
    assert world.train(folder, {"kind": "kill", "at": at})["code"] == KILLED
    world.goes_on(folder)


@pytest.mark.soak
def test_killed_before_every_file_operation(world):
    for at in range(len(world.operations)):
        killed_and_continued(world, at)
    making = [i for i, name in enumerate(world.whole["operations"]) if "/cache/" in name]
    for at in making:  # with nothing in the cache
        folder = world.place()
        shutil.rmtree(folder.parent / "cache")
        assert world.train(folder, {"kind": "kill", "at": at})["code"] == KILLED
        world.goes_on(folder)
        shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def half(world):
    """A run that was killed while it wrote the checkpoint of step 3."""
    folder = world.place()
    moment = world.operations.index("os.mkdir runs/tiny/checkpoints/.partial-step-000003")
    world.train(folder, {"kind": "kill", "at": moment + 3})
    return folder


@pytest.fixture(scope="module")
def older(world):
    """A finished run whose best checkpoint is older than its last."""
    folder = world.place()
    argv = [*TRAIN, "--eval-every", "1", "--lr", "10"]
    world.server.run(argv, folder, folder.parent / "cache")
    assert read_index(folder / "runs/tiny") == {"last": "step-000003", "best": "step-000001"}
    return folder


def killed_again(world, before, name, expected, at=None):
    """Go on with ``name`` of a copy of ``before``, and be killed there; then go on with the run.

    Returns (whether it was killed, the file operations if it was not).
    """
    folder = world.place()
    shutil.copytree(before / "runs", folder / "runs")
    fault = None if at is None else {"kind": "kill", "at": at}
    result = world.resume(folder, fault, name)
    killed = result["code"] == KILLED
    if killed:
        again = world.resume(folder)
        assert again["code"] == 0, again["log"]
    assert world.end(folder / "runs/tiny") == expected
    shutil.rmtree(folder.parent)
    return killed, result["operations"]


def test_killed_again_while_it_goes_on(world, half):
    for at in (5, 12):
        assert killed_again(world, half, "runs/tiny", world.expected, at)[0]


def test_killed_while_it_goes_on_from_an_older_checkpoint(world, older):
    """What later steps left is given up then, but not before the older one is the last."""
    expected, name = world.end(older / "runs/tiny"), "runs/tiny/checkpoints/step-000001"
    operations = killed_again(world, older, name, expected)[1]
    for ending in ("/.partial-index.json", "/.partial-metrics.jsonl", "model.safetensors"):
        moments = [i for i, operation in enumerate(operations) if operation.endswith(ending)]
        # the second of them is the rename, or a file of the checkpoint that is deleted
        assert killed_again(world, older, name, expected, moments[1])[0]


@pytest.mark.soak
def test_killed_again_at_every_file_operation(world, half, older):
    for before, name, expected in (
        (half, "runs/tiny", world.expected),
        (older, "runs/tiny/checkpoints/step-000001", world.end(older / "runs/tiny")),
    ):
        at = 0
        while killed_again(world, before, name, expected, at)[0]:
            at += 1
        assert at > 50


# --- a full disk ---------------------------------------------------------------------------------


def full_and_continued(world, fault):
    folder = world.place()
    result = world.train(folder, fault)
    assert result["code"] in (1, 2), result["log"]
    sentence = one_sentence(result["log"])
    assert re.search("No space left|File too large", result["log"]), result["log"]
    if (folder / "runs/tiny/run.json").exists():
        assert result["code"] == 1 or "--resume runs/tiny" in sentence, sentence
    world.goes_on(folder)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("moment", MOMENTS[1:8:3])
def test_the_disk_is_full(world, moment):
    full_and_continued(world, {"kind": "full", "at": world.operations.index(moment)})


@pytest.mark.parametrize("size", [100, 3000])
def test_files_cannot_grow(world, size):
    full_and_continued(world, {"kind": "long", "bytes": size})


@pytest.mark.soak
def test_the_disk_is_full_at_every_operation(world):
    last = max(i for i, o in enumerate(world.operations) if o.startswith(("open", "os.fsync")))
    for at in range(last):
        full_and_continued(world, {"kind": "full", "at": at})
    for size in range(0, 20_000, 500):
        folder = world.place()
        result = world.train(folder, {"kind": "long", "bytes": size})
        one_sentence(result["log"])
        if result["code"]:
            world.goes_on(folder)
        shutil.rmtree(folder.parent)


# --- signals -------------------------------------------------------------------------------------


def signalled_and_continued(world, at, numbers, **how):
    folder = world.place()
    result = world.train(folder, {"kind": "signal", "at": at, "numbers": numbers}, **how)
    # A signal that comes with the last lines finds nothing left to stop.
    expected = {128 + number for number in numbers} | ({0} if at > 0.9 * world.calls else set())
    assert result["code"] in expected, result["log"]
    one_sentence(result["log"])
    world.goes_on(folder)
    shutil.rmtree(folder.parent)


def count_calls(world, **how):
    if not world.calls:
        fault = {"kind": "signal", "at": 10**9, "numbers": [signal.SIGINT]}
        world.calls = world.train(world.place(), fault, **how)["calls"]
    return world.calls


@pytest.mark.parametrize(
    "part, numbers", [(0.05, [2]), (0.3, [15, 2]), (0.55, [2, 15]), (0.8, [2])]
)
def test_signals_at_any_moment(world, part, numbers):
    signalled_and_continued(world, int(part * count_calls(world)), numbers)


def test_a_signal_that_is_ignored_stays_ignored(world):
    fault = {"kind": "signal", "at": 5000, "numbers": [2, 2, 2], "ignored": True}
    result = world.train(world.place(), fault)
    assert result["code"] == 0, result["log"]
    assert world.end(world.folder / str(world.count) / "here/runs/tiny") == world.expected


@pytest.mark.soak
def test_signals_at_many_moments(world):
    rng, calls = random.Random(0), count_calls(world, plot=True)
    both = [signal.SIGINT, signal.SIGTERM]
    for _ in range(200):
        numbers = rng.choices(both, k=rng.choice([1, 1, 2, 3]))
        signalled_and_continued(world, rng.randrange(calls), numbers, plot=True)
