"""A fine-tuning run that is killed, at any moment, goes on and ends with the very same files.

As tests/test_reliability.py does for pretraining: through the real command, in a process that ends
before one of its file operations. A few moments are tried each time, all of them with
``pytest -m soak``. A new kind of fine-tuning adds a line to COMMANDS.
"""

import hashlib
import json
import shutil
import signal
import sys

import pytest
from command_server import KILLED, CommandServer
from small_models import small_model, small_tokenizer

from tinygrad_llm.finetune.lora import add_lora, save_adapter
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.training.checkpoint import read_index, verify_checkpoint
from tinygrad_llm.training.metrics import read_metrics

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

STEPS = "--steps 3 --eval-every 2 --save-every 1 --batch-size 2 --grad-accumulation 2".split()
CLASSIFY = "finetune classify ../../{model} --data ../../texts.tsv".split()
ROWS = "--template plain --max-length 60".split()
SFT = [*"finetune sft ../../{model} --data ../../pairs.jsonl --sample-tokens 3".split(), *ROWS]
DPO = [*"finetune dpo ../../adapter --data ../../pairs.jsonl --sample-tokens 3".split(), *ROWS]
GRPO = """
finetune grpo ../../{model} --data ../../pairs.jsonl --sample-tokens 3 --num-generations 2
--max-completion-length 4 --reward length:3 --reward ../../rewards.py:short --lr 1e-3
""".split()
BF16 = "--precision bf16 --activations bf16".split()
COMMANDS = {
    "classify": [*CLASSIFY, "--balanced", "--optimizer", "sgd", "--lr", "0.01", *STEPS],
    "classify with LoRA": [
        *CLASSIFY, *"--train-layers all --lora-r 2 --lora-dropout 0.1".split(), *STEPS
    ],
    "sft": [*SFT, "--packing", "--optimizer", "muon", *BF16, *STEPS],
    "sft with LoRA": [
        *SFT, *"--lora-r 2 --lora-dropout 0.1 --optimizer muon".split(), *STEPS
    ],
    "dpo with LoRA on an adapter": [
        *DPO, *"--lora-r 2 --lora-dropout 0.1 --loss-type kto".split(), *BF16, *STEPS
    ],
    "reward": [*"finetune reward ../../{model} --data ../../pairs.jsonl".split(), *ROWS, *STEPS],
    "grpo": [*GRPO, *ROWS, *STEPS, "--num-iterations", "2"],
    "grpo with LoRA": [
        *GRPO, *ROWS, *STEPS, *BF16,
        *"--lora-r 2 --lora-dropout 0.1 --beta 0.1 --loss-type grpo".split(),
    ],
}  # fmt: skip
"""Every kind of run. "{model}" is gpt2, which has dropout, or llama, on which the adapter is."""


def texts():
    """A table of texts of two classes."""
    words = "the cat sat on a mat and the dog ran to its log".split()
    rows = [f"{'cat' if i % 3 else 'dog'}\t{words[i % 9]} {words[i % 5]} {i}" for i in range(30)]
    return "\n".join(["label\ttext", *rows]) + "\n"


def pairs():
    """Rows that are completions for one kind of run, and preferences for another."""
    words = "the cat sat on a mat and the dog ran to its log".split()
    rows = [
        {"prompt": f"say {words[i % 9]}", "completion": f"the {words[i % 7]} {i}",
         "chosen": f"a {words[i % 5]}", "rejected": f"no {i}"}
        for i in range(12)
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


REWARDS = "def short(completions, **_):\n    return [1 / (1 + len(one)) for one in completions]\n"


class World:
    """A folder with models and data, in which one kind of run is made."""

    def __init__(self, folder, server, argv):
        self.folder, self.server, self.argv, self.count = folder, server, argv, 0
        for kind in ("gpt2", "llama"):
            save_pretrained(small_model(kind), small_tokenizer(), folder / kind)
        adapter = add_lora(small_model("llama"), 3)
        save_adapter(adapter, folder / "adapter", base=str(folder / "llama"))
        (folder / "texts.tsv").write_text(texts())
        (folder / "pairs.jsonl").write_text(pairs())
        (folder / "rewards.py").write_text(REWARDS)
        here = self.place()
        result = self.run(self.argv, here)
        assert result["code"] == 0, result["log"]
        (self.name,) = (path.name for path in (here / "runs").iterdir())
        self.expected, self.operations = self.end(here), result["operations"]
        self.log = result["log"]

    def place(self):
        self.count += 1
        folder = self.folder / str(self.count) / "here"
        folder.mkdir(parents=True)
        return folder

    def run(self, argv, folder, fault=None):
        return self.server.run(argv, folder, folder.parent / "cache", fault)

    def end(self, folder, name=None):
        """What a finished run left: sha256 of its files, and what it measured."""
        run = folder / "runs" / (name or self.name)
        index = read_index(run)
        checkpoint = run / "checkpoints" / index["last"]
        assert verify_checkpoint(checkpoint) is None
        assert not [p for p in run.rglob("*") if ".partial" in p.name]
        assert {p.name for p in (run / "checkpoints").iterdir()} == {"index.json", *index.values()}
        files = [p for p in run.rglob("*") if p.is_file()]
        volatile = ("metrics.jsonl", "run.json", ".lock")
        sums = {
            str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
            if p.name not in volatile
        }
        lines = read_metrics(run / "metrics.jsonl")
        for line in lines:
            line.pop("tokens_per_second", None)
        options = json.loads((run / "run.json").read_text())["options"]
        return index, sums, lines, options

    def goes_on(self, folder):
        """Continue the run in ``folder``, or begin where there is none yet, and compare."""
        run, name = folder / "runs" / self.name, self.name
        if (run / "run.json").exists():
            result = self.run(["train", "--resume", f"runs/{self.name}"], folder)
        else:
            name = f"{self.name}-2" if run.exists() else self.name
            result = self.run(self.argv, folder)
        assert result["code"] == 0, result["log"]
        assert self.end(folder, name) == self.expected
        shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def server():
    with CommandServer() as server:
        yield server


@pytest.fixture(scope="module", params=COMMANDS)
def world(request, server, tmp_path_factory):
    model = "llama" if "LoRA" in request.param else "gpt2"
    argv = [word.format(model=model) for word in COMMANDS[request.param]]
    return World(tmp_path_factory.mktemp("world"), server, argv)


def killed_and_continued(world, at, kind="kill"):
    folder = world.place()
    assert world.run(world.argv, folder, {"kind": kind, "at": at})["code"] == KILLED
    world.goes_on(folder)


MOMENTS = """
open runs/{name}/.lock
os.rename runs/{name}/.partial-run.json
os.rename runs/{name}/checkpoints/.partial-step-000001
os.rename runs/{name}/checkpoints/.partial-step-000002
os.rename runs/{name}/checkpoints/.partial-index.json
os.rename runs/{name}/.partial-loss.png
""".strip().splitlines()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_before_a_file_operation(world, moment):
    killed_and_continued(world, world.operations.index(moment.format(name=world.name)))


def test_killed_before_answers_are_written(world):
    """They are on disk before the checkpoint of their step, so none can be missing."""
    name = f"os.rename runs/{world.name}/.partial-samples.jsonl"
    found = [at for at, operation in enumerate(world.operations) if operation == name]
    assert len(found) == (3 if world.argv[1] in ("sft", "dpo", "grpo") else 0)  # steps 0, 2 and 3
    for at in found:
        killed_and_continued(world, at)


@pytest.mark.soak
def test_killed_before_any_file_operation(world):
    for at in range(len(world.operations)):
        killed_and_continued(world, at)


def test_killed_twice(world):
    """A run that was continued can be continued."""
    folder = world.place()
    at = position(world.operations, "checkpoints/.partial-step-000002") + 1
    assert world.run(world.argv, folder, {"kind": "kill", "at": at})["code"] == KILLED
    resume = ["train", "--resume", f"runs/{world.name}"]
    copy = shutil.copytree(folder, folder.with_name("copy"))
    at = position(world.run(resume, copy)["operations"], "checkpoints/.partial-step-000003")
    assert world.run(resume, folder, {"kind": "kill", "at": at})["code"] == KILLED
    world.goes_on(folder)


def position(operations, path):
    """The number of the operation that gives a file or folder its name."""
    return next(i for i, o in enumerate(operations) if o.startswith("os.rename") and path in o)


def test_a_signal_in_the_middle(world):
    folder = world.place()
    fault = {"kind": "signal", "at": 20_000, "numbers": [signal.SIGTERM]}
    result = world.run(world.argv, folder, fault)
    assert result["code"] in (143, -signal.SIGTERM), result["log"]
    world.goes_on(folder)
