"""``train --log csv`` and ``--log tensorboard``: what is written, also by a resumed run."""

import builtins
import csv

import pytest

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands import session
from tinygrad_llm.training.logs import CsvLog
from tinygrad_llm.training.metrics import read_metrics

TRAIN = (
    "train --preset tiny "
    "--data corpus.txt --out run --n-layer 1 --n-head 1 --n-embd 4 --block-size 4 "
    "--batch-size 1 --vocab-size 260 --steps 4 --eval-every 2 --save-every 2 --eval-batches 1 "
    "--sample-tokens 0"
).split()


@pytest.fixture(autouse=True)
def quick(here, monkeypatch):
    monkeypatch.setattr(session, "gemm_limit", lambda: 1e9)


def run(*argv):
    with use_kernels("reference"):
        return cli.main([*argv])


def rows(here):
    with open(here / "run/metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_all_lines_of_the_metrics(here):
    assert run(*TRAIN, "--log", "csv") == 0
    assert run("train", "--resume", "run", "--steps", "6") == 0
    lines = read_metrics(here / "run/metrics.jsonl")
    assert len(rows(here)) == len(lines) == 7
    for row, line in zip(rows(here), lines, strict=True):
        assert {k: v for k, v in row.items() if v} == {k: str(v) for k, v in line.items()}


def test_a_table_is_as_complete_as_the_last_checkpoint(here):
    assert run(*TRAIN) == 0
    (here / "run/loss.png").unlink()
    assert run("train", "--resume", "run", "--log", "csv", "--steps", "6") == 0
    assert [row["step"] for row in rows(here)] == ["1", "2", "3", "4", "5", "6", "6"]
    (here / "run/metrics.csv").unlink()
    CsvLog(here / "run").on_save(None, here)
    assert len(rows(here)) == 7


def test_tensorboard(here):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    assert run(*TRAIN, "--log", "tensorboard") == 0
    assert run("train", "--resume", "run", "--steps", "6") == 0
    found, starts = {}, []
    for path in sorted((here / "run/tensorboard").iterdir(), key=lambda p: p.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            if event.session_log.status == 1:
                starts.append(event.step)
            for value in event.summary.value:
                found[event.step, value.tag] = value.simple_value
    assert 5 in starts  # TensorBoard hides what came from that step on
    for line in read_metrics(here / "run/metrics.jsonl")[:-1]:
        for name in set(line) - {"step"}:
            assert found[line["step"], name] == pytest.approx(line[name], rel=1e-6)


def test_tensorboard_is_an_extra(here, monkeypatch, capsys):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tensorboardX":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run(*TRAIN, "--log", "tensorboard") == 2
    assert "needs the package tensorboardX: install it" in capsys.readouterr().err
    assert not (here / "run").exists()
