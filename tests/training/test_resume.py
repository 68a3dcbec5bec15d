"""A run that is killed, or stopped by a signal, and resumed ends with the very same files.

Compared with a run that nothing stopped, by sha256: the weights, the optimizer's moments, and the
states of all random generators. The model is tiny, with dropout and accumulation.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from caches import new_cache
from small_corpus import small_corpus

from tinygrad_llm.training.metrics import read_metrics

ROOT = Path(__file__).parents[2]
OPTIONS = (
    "--preset tiny "
    "--data ../corpus.txt --n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 "
    "--vocab-size 300 --steps 300 --eval-every 20 --save-every 20 --eval-batches 1 "
    "--sample-tokens 0 --dropout 0.1 --grad-accumulation 2"
).split()


@pytest.fixture
def here(tmp_path):
    """An empty working folder with a corpus next to it."""
    (tmp_path / "corpus.txt").write_text(small_corpus())
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def start(folder, *argv):
    """A training process in ``folder``, and its log."""
    environment = {**os.environ, "TINYGRAD_LLM_CACHE": new_cache(folder.parent)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    log = open(folder / "log", "wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_llm", "train", *argv],
        stdout=log, stderr=log, cwd=folder, env=environment, preexec_fn=usual_signals,
    )  # fmt: skip
    log.close()
    return process


def usual_signals():
    """In the child: no signal is ignored, even if the tests run in the background of a script."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def wait_for(process, condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """sha256 of the final weights of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "here"
    folder.mkdir()
    (folder.parent / "corpus.txt").write_text(small_corpus())
    assert start(folder, *OPTIONS).wait() == 0
    return final_files(folder / "runs" / "tiny")


def final_files(run_folder):
    folder = run_folder / "checkpoints" / "step-000300"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_equals_uninterrupted(here, uninterrupted, number):
    process = start(here, *OPTIONS)
    index = here / "runs" / "tiny" / "checkpoints" / "index.json"
    wait_for(process, index.exists)
    process.send_signal(number)
    code = process.wait()
    log = (here / "log").read_text()
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 128 + number, log
        assert log.splitlines()[-1].endswith("train --resume runs/tiny")
    assert "Traceback" not in log
    assert start(here, "--resume", "runs/tiny").wait() == 0
    run_folder = here / "runs" / "tiny"
    assert final_files(run_folder) == uninterrupted
    steps = [m["step"] for m in read_metrics(run_folder / "metrics.jsonl")]
    assert steps == [*range(1, 301), 300]  # no step is missing or written twice
