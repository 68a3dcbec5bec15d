"""The command line: quick help, every bad input in one sentence, and a run from start to end.

Most tests call ``main(argv)``. What happens to a process that is killed is in test_resume.py.
"""

import ast
import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from caches import new_cache
from small_corpus import small_corpus

from tinygrad_llm import __version__, cli, config as config_module
from tinygrad_llm.commands import options as options_module
from tinygrad_llm.config import PRESETS, RECIPES, PresetName, TrainConfig
from tinygrad_llm.training.metrics import read_metrics

ROOT = Path(__file__).parents[2]
SMALL = (
    "--preset tiny "
    "--n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 --vocab-size 300 --steps 6 "
    "--eval-every 2 --save-every 2 --eval-batches 1 --sample-tokens 8 --dropout 0.1"
).split()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with a corpus next to it; the cache is elsewhere, too."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "corpus.txt").write_text(small_corpus())
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, made once; treat it as read-only. (run, what was printed)"""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "corpus.txt").write_text(small_corpus())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_LLM_CACHE", new_cache(folder))
        patch.chdir(folder)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert cli.main(["train", "--data", "corpus.txt", *SMALL]) == 0
    return folder / "runs" / "tiny", out.getvalue()


def run(argv, capsys):
    """(exit code, standard output, standard error) of ``main``."""
    code = cli.main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(argv):
    code = (
        "import sys; from tinygrad_llm.cli import main\n"
        f"code = main({argv!r})\n"
        "heavy = 'numpy numba rich tiktoken matplotlib torch safetensors autograd regex'.split()\n"
        "sys.exit(code or ' '.join(m for m in heavy if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tinygrad-llm" in done.stdout


def test_help_ends_in_the_narrowest_terminal():
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_llm", "generate", "--help"],
        capture_output=True, cwd=ROOT, env={**os.environ, "COLUMNS": "3"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and b"--prompt" in done.stdout


def test_python_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_llm", "--version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == "tinygrad-llm 0.1.0\n" and done.returncode == 0


def test_every_command_has_help(capsys):
    for words in (
        ["generate"],
        ["chat"],
        ["tokenizer"],
        ["tokenizer", "train"],
        ["tokenizer", "encode"],
        ["tokenizer", "decode"],
        ["data"],
        ["data", "prepare"],
        ["data", "list"],
        ["gradcheck"],
        ["info"],
    ):
        code, out, _ = run([*words, "--help"], capsys)
        assert code == 0 and out.startswith("usage: tinygrad-llm " + " ".join(words)), words


def test_version_is_an_option_in_the_help(capsys):
    code, out, _ = run(["--help"], capsys)
    assert code == 0 and "--version" in out
    for argv in (["--version"], ["--version", "info"]):
        code, out, _ = run(argv, capsys)
        assert (code, out) == (0, f"tinygrad-llm {__version__}\n")


def test_presets_are_the_same_everywhere():
    assert set(get_args(PresetName)) == set(PRESETS) == set(RECIPES)


@pytest.mark.parametrize("module", [config_module, options_module])
def test_every_option_is_explained(module):
    tree = ast.parse(Path(module.__file__).read_text())
    for node in (n for n in tree.body if isinstance(n, ast.ClassDef)):
        if node.name in ("Recipe", "TokenizerCommands", "DataCommands", "CommandLine"):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(after, ast.Expr), f"{node.name}.{field.target.id} has no help"


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_the_option_parser_says_is_one_sentence(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for argv, expected in (
        (["train", "--preset", "huge"], "error: invalid choice 'huge' for argument '--preset'. "),
        (["train", "--prest"], "error: Unrecognized options: --prest: did you mean --preset? (se"),
        (["info", "--prest"], "error: Unrecognized options: --prest (see `tinygrad-llm --help`)"),
        (["train", "--steps", "0"], "error: steps is 0, but must be at least 1 (see "),
        (["generate", "--top-k", "5"], "error: MODEL is missing (see `tinygrad-llm --help`)"),
        (["data", "prepare"], "error: SOURCE is missing (see `tinygrad-llm --help`)"),
        (
            ["eval", "run"],
            "error: --tasks is missing: name one or more; `eval --list` shows them (",
        ),
        (["fly"], "error: Unrecognized options: fly; Available subcommands: train, generate, "),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tinygrad_llm", *argv],
            capture_output=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        err = done.stderr.decode(encoding)
        assert done.returncode == 2 and err.startswith(expected) and err.count("\n") == 1, err


BAD = [
    ("", "Expected one of"),
    ("fly", "fly"),
    ("train --prest tiny", "--preset"),
    ("train --preset huge", "huge"),
    ("train --steps many", "many"),
    ("train --steps 0", "steps is 0"),
    ("train --lr -1", "lr is -1.0"),
    ("train --lr nan", "lr is nan"),
    ("train --lr 0", "lr is 0"),
    ("train --lr 1e300", "lr is 1e+300"),
    ("train --weight-decay inf", "weight_decay is inf"),
    (
        "train --n-layer 99999999999999999999",
        "n_layer is 99999999999999999999, but must be at most",
    ),
    ("train --n-embd 99999999999999999999 --n-head 1", "n_embd is 99999999999999999999"),
    (f"train --steps {'9' * 5000}", "a number of 5000 digits is too long"),
    ("train --seed 99999999999999999999", "seed is 99999999999999999999"),
    ("train --out .", "out is '.', which already exists"),
    ("train --out /", "out is '/'"),
    ("train --out a/..", "out is 'a/..'"),
    ("train --out=", "the path is empty"),
    ("train --out ~no-such-user/a", "no home folder for ~no-such-user"),
    ("train --data ../corpus.txt --vocab-size 300 --n-layer 2000000000", "GiB of memory"),
    ("train --data ../corpus.txt --vocab-size 300 --batch-size 2000000000", "GiB of memory"),
    ("train --out empty.txt/run", "empty.txt is a file"),
    ("train --data ~no-such-user/a", "no home folder for ~no-such-user"),
    ("train --data ../corpus.txt --tokenizer ~no-such-user/a", "no home folder"),
    ("train --resume ~no-such-user", "no home folder"),
    ("train --resume=", "the path is empty"),
    ("generate ~no-such-user", "no home folder"),
    ("generate nowhere --max-new-tokens 99999999999999999999", "max_new_tokens is 9999"),
    ("tokenizer encode ~no-such-user x", "no home folder"),
    ("tokenizer train ../corpus.txt --out ~no-such-user", "no home folder"),
    ("data prepare ~no-such-user", "no home folder"),
    ("train --dropout 1", "dropout is 1.0"),
    ("train --min-lr-ratio 2", "min_lr_ratio is 2.0"),
    ("train --tokenizer gpt2 --vocab-size 300", "a tokenizer has its own vocabulary"),
    ("train --n-embd 30 --n-head 4", "n_embd must be a multiple of n_head"),
    ("train --data nowhere.txt", "there is no file or folder 'nowhere.txt'"),
    ("train --data empty.txt", "is empty"),
    ("train --data short.txt", "has only 10 bytes"),
    ("train --data binary.txt", "binary"),
    ("train --data ../corpus.txt --vocab-size 300 --block-size 9999", "block_size"),
    ("train --data ../corpus.txt --vocab-size 100", "vocab_size 100 is too small"),
    ("train --data ../corpus.txt --tokenizer nowhere", "nowhere"),
    ("train --resume nowhere", "the run nowhere does not exist"),
    ("train --resume .", "neither a run nor a checkpoint"),
    ("train --resume . --lr 1", "leave out --lr"),
    ("generate", "MODEL"),
    ("generate nowhere", "no file or folder nowhere, and no model is known by this name"),
    ("generate empty.txt", "empty.txt is empty, expected a GGUF file"),
    ("generate .", "neither a run nor a model directory"),
    ("generate nowhere --max-new-tokens 0", "max_new_tokens is 0"),
    ("generate nowhere --stop=", "a stop string is empty"),
    ("generate nowhere --stop-ids 2 -1", "stop_ids is -1, but must be at least 0"),
    ("generate nowhere --n 0", "n is 0"),
    ("generate nowhere --device cuda --weights int8", "int8 weights are multiplied on the CPU"),
    (
        "generate nowhere -p a --prompt-file b.txt",
        "prompt and prompt_file are both given: choose one",
    ),
    ("generate nowhere --prompt-file nowhere.txt", "cannot read nowhere.txt"),
    ("generate nowhere --prompt-file binary.txt", "binary.txt is not text: byte"),
    ("generate nowhere --sampler-order top_k", "the sampler order is top_k"),
    ("chat nowhere", "no file or folder nowhere, and no model is known by this name"),
    ("chat ~no-such-user", "no home folder"),
    ("chat nowhere --context 0", "context is 0"),
    ("chat nowhere --temperature -1", "the temperature is -1.0"),
    ("tokenizer encode nowhere x", "nowhere"),
    ("tokenizer train empty.txt", "is empty"),
    ("tokenizer train ../corpus.txt --vocab-size 3", "vocab_size 3 is too small"),
    ("data prepare nowhere.txt", "there is no file or folder"),
    ("data prepare ../corpus.txt:much", "the weight of '../corpus.txt' is 'much'"),
    ("data prepare ../corpus.txt --encoding klingon", "encoding is 'klingon'"),
    ("data prepare ../corpus.txt --input-format json", "damaged: corpus.txt is not whole JSON"),
    ("train --data=", "the source is empty; expected stdlib"),
    ("train --data *.pdf", "no file matches '*.pdf'"),
    ("data prepare ../corpus.txt --min-ascii-share 2", "min_ascii_share is 2.0"),
    ("gradcheck fly", "fly"),
]


@pytest.mark.parametrize("line, expected", BAD, ids=[line or "nothing" for line, _ in BAD])
def test_bad_input_is_one_sentence(here, capsys, line, expected):
    (here / "empty.txt").write_text("")
    (here / "short.txt").write_text("just this\n")
    (here / "binary.txt").write_bytes(b"\x7fELF\0\xff" * 100)
    code, _, err = run(line.split(), capsys)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert expected in err
    assert sorted(os.listdir(here)) == ["binary.txt", "empty.txt", "short.txt"]


@pytest.mark.skipif(os.name != "posix", reason="closed streams are a POSIX shell's")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback(here, closed):
    """A file that the program opens must not get the number of a standard stream."""
    program = f"'{sys.executable}' -m tinygrad_llm"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments, code in (("--version", 0), ("data list", 0), ("generate nowhere", 2)):
        done = subprocess.run(
            ["bash", "-c", f"{program} {arguments} {closed}"],
            capture_output=True, text=True, env=environment, cwd=here,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_to_a_full_disk_is_one_sentence(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tinygrad_llm", "data", "list"],
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment, cwd=here,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr == "error: No space left on device\n"


def test_a_home_folder_is_found_in_every_spelling(here, trained, capsys, monkeypatch):
    run_folder = trained[0]
    monkeypatch.setenv("HOME", str(run_folder.parent))
    path = f"~/{run_folder.name}"
    assert run(["generate", path, "--max-new-tokens", "2"], capsys)[0] == 0
    assert run(["tokenizer", "encode", path, "x"], capsys)[0] == 0
    options = [
        *SMALL,
        f"--data={run_folder.parents[1]}/corpus.txt",
        f"--tokenizer={path}",
        "--out=~/new",
    ]
    at = options.index("--vocab-size")
    del options[at : at + 2]
    code, out, err = run(["train", *options], capsys)
    assert code == 0, err
    assert (run_folder.parent / "new" / "run.json").is_file()


@pytest.mark.parametrize(
    "folder, expected",
    [("~no-such-user/a", "no home folder"), ("../corpus.txt", "it is not a folder")],
)
def test_a_cache_that_cannot_be_is_told_first(here, capsys, monkeypatch, folder, expected):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", folder)
    for line in ("train --data ../corpus.txt", "data prepare ../corpus.txt", "data list"):
        code, out, err = run(line.split(), capsys)
        assert code == 2 and expected in err and err.count("\n") == 1, (line, err)
        assert "document" not in out
    code, out, _ = run(["info"], capsys)
    assert code == 0 and expected in out


def test_bad_sampling_options(trained, capsys):
    for option, expected in (
        ("--temperature=-1", "temperature"),
        ("--top-k=-1", "top_k"),
        ("--top-p=2", "top_p"),
        ("--seed=-1", "seed"),
    ):
        code, out, err = run(["generate", str(trained[0]), option], capsys)
        assert code == 2 and expected in err and err.count("\n") == 1
        assert out == ""


def copy_of(run_folder, target):
    import shutil

    return Path(shutil.copytree(run_folder, target / "copy"))


DAMAGED = itertools.product(
    (["train", "--resume"], ["generate"]),
    ("config.json", "model.safetensors", "tokenizer.json", "index"),
    ("truncated", "missing", "foreign"),
)


@pytest.mark.parametrize(
    "command, file, damage",
    # a run whose index is missing goes on from its newest checkpoint: the next test
    [d for d in DAMAGED if d != (["train", "--resume"], "index", "missing")],
)
def test_a_damaged_checkpoint(here, trained, capsys, command, file, damage):
    copy = copy_of(trained[0], here)
    truncate_final(copy)
    path = copy / "checkpoints" / "step-000006" / file
    if file == "index":
        path = copy / "checkpoints" / "index.json"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_text('{"model_type": "llama", "hello": 1}')
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    code, out, err = run([*command, str(copy)], capsys)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_an_index_that_is_gone_is_made_again(here, trained, capsys):
    copy = copy_of(trained[0], here)
    index = copy / "checkpoints" / "index.json"
    before = index.read_bytes()
    index.unlink()
    truncate_final(copy)
    assert run(["train", "--resume", str(copy)], capsys)[0] == 0
    assert index.read_bytes() == before


@pytest.mark.parametrize("file", ["training_state.json", "training_state.safetensors", "run"])
def test_a_damaged_training_state(here, trained, capsys, file):
    copy = copy_of(trained[0], here)
    truncate_final(copy)
    path = copy / "run.json" if file == "run" else copy / "checkpoints" / "step-000006" / file
    path.write_bytes(path.read_bytes()[:50])
    code, _, err = run(["train", "--resume", str(copy)], capsys)
    assert code == 2 and path.name in err and err.count("\n") == 1


def truncate_final(run_folder):
    """Undo the final evaluation, as if the process had been killed before it."""
    path = run_folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def test_another_corpus_cannot_be_resumed(here, trained, capsys):
    copy = copy_of(trained[0], here)
    truncate_final(copy)
    content = json.loads((copy / "run.json").read_text())
    (here / "other.txt").write_text(small_corpus(100))
    content["options"]["data"] = str(here / "other.txt")
    (copy / "run.json").write_text(json.dumps(content))
    code, _, err = run(["train", "--resume", str(copy)], capsys)
    assert code == 2 and "has changed since" in err


def test_no_network_for_a_download(here, capsys, monkeypatch):
    import urllib.error
    import urllib.request

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    code, _, err = run(["train", "--data", "tinyshakespeare"], capsys)
    assert code == 2 and err.splitlines()[-1].startswith("error: could not reach https://")
    assert "Traceback" not in err and os.listdir(here) == []


def test_a_full_disk_while_saving(here, capsys, monkeypatch):
    from tinygrad_llm.training import checkpoint

    real, calls = checkpoint.write_folder_atomically, []

    def fail_at_the_second(path, fill):
        def fill_and_fail(folder):
            fill(folder)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

        calls.append(path)
        real(path, fill_and_fail if len(calls) == 2 else fill)

    monkeypatch.setattr(checkpoint, "write_folder_atomically", fail_at_the_second)
    code, out, err = run(["train", "--data", "../corpus.txt", *SMALL], capsys)
    assert code == 2 and err.count("\n") == 1
    assert "No space left on device" in err and "step-000002 is safe" in err
    assert sorted(os.listdir("runs/tiny/checkpoints")) == ["index.json", "step-000002"]
    assert cli.main(["train", "--resume", "runs/tiny"]) == 0  # with space again
    assert sorted(os.listdir("runs/tiny/checkpoints"))[-1] == "step-000006"


# --- a run ---------------------------------------------------------------------------------------


def test_a_run_from_start_to_end(trained):
    folder, out = trained
    assert sorted(p.name for p in folder.iterdir()) == [
        ".lock", "checkpoints", "loss.png", "metrics.jsonl", "run.json",
    ]  # fmt: skip
    content = json.loads((folder / "run.json").read_text())
    assert content["options"]["steps"] == 6 and content["options"]["lr"] == RECIPES["tiny"].lr
    assert Path(content["options"]["data"]).is_absolute()
    lines = read_metrics(folder / "metrics.jsonl")
    assert [m["step"] for m in lines] == [1, 2, 3, 4, 5, 6, 6]
    assert [m["step"] for m in lines if "val_loss" in m] == [2, 4, 6, 6]
    assert lines[-1]["final"] and lines[-1]["val_bits_per_byte"] > 0
    assert json.loads((folder / "checkpoints" / "index.json").read_text())["last"] == "step-000006"
    for expected in (
        "Python " + sys.version.split()[0], "kept 1 document", "kernels ready in",
        "parameters", "bits per byte", "a sample", "loss.png", "tinygrad-llm generate",
    ):  # fmt: skip
        assert expected in out, expected


def test_a_second_run_gets_a_folder_of_its_own(here, capsys):
    arguments = ["train", "--data", "../corpus.txt", *SMALL, "--steps", "1", "--sample-tokens", "0"]
    for _ in range(2):
        code, out, _ = run(arguments, capsys)
        assert code == 0
    assert sorted(os.listdir("runs")) == ["tiny", "tiny-2"]
    weights = [
        Path("runs", n, "checkpoints/step-000001/model.safetensors") for n in os.listdir("runs")
    ]
    assert sha256(weights[0]) == sha256(weights[1])  # the same seed gives the same run
    assert "from the cache" in out and "a sample" not in out


def test_a_finished_run_has_nothing_left_to_do(trained, capsys):
    before = sha256(trained[0] / "metrics.jsonl")
    code, out, _ = run(["train", "--resume", str(trained[0])], capsys)
    assert code == 0 and "is finished" in out
    assert sha256(trained[0] / "metrics.jsonl") == before


def test_resuming_after_the_last_step_evaluates_and_finishes(here, trained, capsys):
    copy = copy_of(trained[0], here)
    expected = read_metrics(copy / "metrics.jsonl")
    truncate_final(copy)
    code, out, _ = run(["train", "--resume", str(copy)], capsys)
    assert code == 0 and "a sample" in out
    assert read_metrics(copy / "metrics.jsonl") == expected


def test_generate(trained, capsys):
    folder, _ = trained
    command = ["generate", str(folder), "--prompt", "def é", "--max-new-tokens", "12"]
    code, first, err = run(command, capsys)
    assert (code, err) == (0, "") and first.startswith("def é") and len(first) > 6
    assert run(command, capsys)[1] == first
    assert run([*command, "--seed", "2"], capsys)[1] != first
    checkpoint = folder / "checkpoints" / "step-000006"
    assert run(["generate", str(checkpoint), *command[2:]], capsys)[1] == first
    code, out, _ = run(["generate", str(folder), "--prompt", "", "--max-new-tokens", "3"], capsys)
    assert code == 0
    long_prompt = ["--prompt", "def f(x): return x + " * 3, "--max-new-tokens", "3"]
    code, out, err = run(["generate", str(folder), *long_prompt], capsys)
    assert code == 2 and re.search(r"the prompt has \d+ tokens, but the model reads at most 8", err)
    assert run(["generate", str(folder), *long_prompt, "--crop"], capsys)[0] == 0


class Bytes:
    """A standard input that contains these bytes."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)

    def read(self):
        return self.buffer.read().decode()


def test_tokenizer_commands(here, trained, capsysbinary, monkeypatch):
    def call(*argv, stdin=b""):
        monkeypatch.setattr(sys, "stdin", Bytes(stdin))
        assert cli.main(["tokenizer", *argv]) == 0
        return capsysbinary.readouterr().out

    call("train", "../corpus.txt", "--vocab-size", "280", "--out", "tok")
    assert sorted(os.listdir("tok")) == ["tokenizer.json", "tokenizer_config.json"]
    assert cli.main(["tokenizer", "train", "../corpus.txt", "--out", "tok"]) == 2  # not overwritten
    capsysbinary.readouterr()
    for tokenizer in ("tok", str(trained[0])):
        data = "def f(x): é".encode() + b"\xff\x00 end\n"
        ids = call("encode", tokenizer, stdin=data)
        assert call("decode", tokenizer, stdin=ids) == data
        assert call("decode", tokenizer, *ids.decode().split()) == data
        words = call("encode", tokenizer, "def", "f(x)").split()
        assert call("decode", tokenizer, *map(bytes.decode, words)) == b"def f(x)"
    monkeypatch.setattr(sys, "stdin", Bytes(b"1 two 3"))
    assert cli.main(["tokenizer", "decode", "tok"]) == 2
    assert b"contains 'two', expected token ids" in capsysbinary.readouterr().err
    assert cli.main(["tokenizer", "decode", "tok", "99999"]) == 2
    assert b"99999" in capsysbinary.readouterr().err


def test_data_commands(here, capsys):
    (here / "texts").mkdir()
    for i in range(30):
        (here / "texts" / f"{i}.txt").write_text(small_corpus(20) + f"# {i}\n")
    (here / "texts" / "copy.txt").write_text((here / "texts" / "3.txt").read_text())
    (here / "texts" / "picture.png").write_bytes(b"\x89PNG")
    command = ["data", "prepare", "texts", "--vocab-size", "290"]
    code, out, _ = run(command, capsys)
    assert code == 0 and "exact duplicate" in out and "picture.png" in out
    written = Path(out.strip().splitlines()[-1].removeprefix("written to "))
    assert np.load(written / "train.npy").dtype == np.uint16
    assert "from the cache" in run(command, capsys)[1]
    code, out, _ = run([*command, "--near-duplicates"], capsys)
    assert code == 0 and "near duplicate" in out
    code, out, _ = run(["data", "list"], capsys)
    assert code == 0 and "tinyshakespeare" in out and "stdlib" in out


def test_info(capsys):
    code, out, _ = run(["info"], capsys)
    assert code == 0
    for word in ("numpy", "BLAS", "kernels", "layer_norm", "GPU", "cache", "processors"):
        assert word in out
    assert re.search(r"^speed +matrix products \d+ GFLOP/s.* tokens/s, \d+% of peak$", out, re.M)
    fast = r"(AMX|AVX512-BF16), \d+ GFLOP/s \(\d+\.\d times float32\)"
    assert re.search(rf"^bf16 products +({fast}|none: .+)$", out, re.M)


def test_a_closed_pipe_is_no_error(trained):
    command = [sys.executable, "-m", "tinygrad_llm", "generate", str(trained[0])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, bufsize=0
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_options_of_another_version_are_refused(here, trained, capsys):
    copy = copy_of(trained[0], here)
    truncate_final(copy)
    content = json.loads((copy / "run.json").read_text())
    content["options"]["new_option"] = 1
    (copy / "run.json").write_text(json.dumps(content))
    code, _, err = run(["train", "--resume", str(copy)], capsys)
    assert code == 2 and "new_option" in err
    assert TrainConfig(**{k: v for k, v in content["options"].items() if k != "new_option"})


def test_a_librarys_warning_is_one_line(monkeypatch, capsys):
    from tinygrad_llm.commands import info

    monkeypatch.setattr(info, "run", lambda options: warnings.warn("shown once", stacklevel=1) or 0)
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().err == "note: shown once\n"
