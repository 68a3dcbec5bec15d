"""Names, and the Hugging Face hub: a small server on this machine, and a library that fails."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from model_files import INDEX, WEIGHTS, split
from small_hub import COMMIT, hub_settings, small_hub

from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.pretrained import names, save_pretrained
from tinygrad_llm.pretrained.names import HUB, find_model
from tinygrad_llm.tokenizer.json_format import LETTERS

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.pretrained.names import find_model
for name in sys.argv[1:]:
    try:
        path = find_model(name)
        if path.is_dir():
            load_pretrained(path)
        print(path)
    except UserError as error:
        print("refused:", error)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    folder = tmp_path_factory.mktemp("models")
    save_pretrained(Llama(LlamaConfig(300, 16, 2, 4, 2, 16, 24)), None, folder / "one")
    save_pretrained(Llama(LlamaConfig(300, 16, 2, 4, 2, 16, 24)), None, folder / "two")
    split(folder / "two")
    (folder / "older").mkdir()
    save_pretrained(GPT(GPTConfig(300, 16, 2, 2, 16)), None, folder / "older")
    letters = {letter: i for i, letter in enumerate(LETTERS)}
    (folder / "older" / "vocab.json").write_text(json.dumps(letters | {"<|endoftext|>": 256}))
    (folder / "older" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text("{}")
    (folder / "one" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (folder / "one" / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "files").mkdir()
    (folder / "files" / "small.Q8_0.gguf").write_bytes(b"GGUF")
    repositories = {
        f"owner/{path.name}": {file.name: file.read_bytes() for file in path.iterdir()}
        for path in sorted(folder.iterdir())
    }
    with small_hub(repositories) as server:
        yield server


def run(hub, home, *models, **environment):
    """What PROGRAM prints for these names: the library reads its settings when it is imported."""
    hub.asked.clear()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *models], capture_output=True, text=True, cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), **hub_settings(hub, home), **environment},
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_hub(hub, tmp_path):
    sentences = {
        "owner/nothing": "no model of this name on the Hugging Face hub",
        "owner/gated": "is only for those who have accepted its terms",
        "owner/one@v2": "the model owner/one has no revision v2",
        "owner/other": "has no file model.safetensors on the Hugging Face hub",
        "owner/files": "has no config.json: if it has GGUF files",
        "owner/files/other.gguf": "has no file other.gguf",
    }
    found = ["owner/one", "owner/two@v1", "owner/files/small.Q8_0.gguf", "owner/older"]
    lines = run(hub, tmp_path, *found, *sentences)
    one, two, file, older = lines[:4]
    assert one.endswith(COMMIT) and two.endswith(COMMIT) and file.endswith("/small.Q8_0.gguf")
    assert sorted(os.listdir(one)) == ["README.md", "config.json", WEIGHTS]  # and no pickle
    assert sorted(os.listdir(two)) == [
        "config.json", INDEX, "part-0.safetensors", "part-1.safetensors",
    ]  # fmt: skip
    assert sorted(os.listdir(older)) == ["config.json", "merges.txt", WEIGHTS, "vocab.json"]
    # The hub is asked once for the commit, of which all files are.
    assert hub.asked.count("/api/models/owner/one/revision/main") == 1
    for line, sentence in zip(lines[4:], sentences.values(), strict=True):
        assert line.startswith("refused: ") and sentence in line
    # Without a network, what is there is used.
    assert run(hub, tmp_path, "owner/one", HF_HUB_OFFLINE="1") == [one] and hub.asked == []
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    again, missing = run(hub, tmp_path, "owner/one", "owner/new", **closed)
    assert again == one
    assert "there is no file or folder owner/new, the Hugging Face hub cannot be reached" in missing


# --- a library that fails, and one that is not there ----------------------------------------------


def library(monkeypatch, raised):
    """huggingface_hub whose download raises the error of this name, or this exception."""
    module, errors = types.ModuleType("huggingface_hub"), types.ModuleType("huggingface_hub.errors")
    bases = {
        "EntryNotFoundError": Exception,
        "LocalEntryNotFoundError": "EntryNotFoundError",
        "RepositoryNotFoundError": OSError,
        "GatedRepoError": "RepositoryNotFoundError",
        "RevisionNotFoundError": OSError,
    }
    for name, base in bases.items():
        base = getattr(errors, base) if isinstance(base, str) else base
        setattr(errors, name, type(name, (base,), {}))

    def snapshot_download(*args, **options):
        raise getattr(errors, raised)("a\nlong story") if isinstance(raised, str) else raised

    module.snapshot_download, module.errors = snapshot_download, errors
    constants = types.SimpleNamespace(HF_HUB_OFFLINE=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", constants)


@pytest.mark.parametrize(
    "raised, words",
    [
        ("LocalEntryNotFoundError", ["no file or folder", "is not in its cache"]),
        ("GatedRepoError", ["https://huggingface.co/openai-community/gpt2", "hf auth login"]),
        ("RepositoryNotFoundError", ["no model of this name on the Hugging Face hub"]),
        ("RevisionNotFoundError", ["has no revision None"]),
        ("EntryNotFoundError", ["has no such file (a long story)"]),
        (OSError(28, "No space left on device"), ["cannot be stored", "HF_HOME"]),
        (RuntimeError("x\ny" * 1000), ["cannot be downloaded", "x yx y"]),
        (RuntimeError(), ["cannot be downloaded", "(RuntimeError)"]),
    ],
)
def test_errors_of_the_library_are_sentences(monkeypatch, raised, words):
    library(monkeypatch, raised)
    with pytest.raises(UserError) as caught:
        find_model("gpt2")
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    for word in words:
        assert word in message, message


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="is not installed: pip install huggingface_hub"):
        find_model("qwen3-0.6b")


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, expected",
    [
        ("gpt2", ("openai-community/gpt2", None, None)),
        ("GPT2-Medium@v1", ("openai-community/gpt2-medium", None, "v1")),
        ("a/b", ("a/b", None, None)),
        ("a/b.c@main", ("a/b.c", None, "main")),
        ("a/b/c.gguf@1a", ("a/b", "c.gguf", "1a")),
    ],
)
def test_what_a_name_means(monkeypatch, tmp_path, name, expected):
    monkeypatch.chdir(tmp_path)

    def download(model, file, revision):
        return model, file, revision

    monkeypatch.setattr(names, "download", download)
    assert find_model(name) == expected


def test_a_path_comes_before_a_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}")
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(names, "download", lambda *a, **k: pytest.fail("a hub was asked"))
    assert str(find_model("gpt2")) == "gpt2"
    with pytest.raises(UserError, match="there is no file or folder runs/tiny$"):
        find_model("runs/tiny")


@pytest.mark.parametrize(
    "name, words",
    [
        ("smollm2-135m-instuct", ["did you mean smollm2-135m-instruct or"]),
        ("wholly different", ["known are distilgpt2,", "owner/name is any model on the"]),
        ("a/b/c", ["there is no file or folder a/b/c"]),
        ("../a/b", ["there is no file or folder ../a/b"]),
        ("a.gguf", ["there is no file or folder a.gguf"]),
        ("smollm2-135m-instruct@main", ["there is no file or folder", "@main"]),
    ],
)
def test_names_that_mean_nothing(monkeypatch, tmp_path, name, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        find_model(name)
    for word in words:
        assert word in str(caught.value)


def test_short_names_are_lower_case_and_lead_to_the_hub():
    assert all(name == name.lower() and model.count("/") == 1 for name, model in HUB.items())
