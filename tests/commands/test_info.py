"""``tinygrad-llm info MODEL``: what is shown of a model, and what is refused."""

import hashlib

import numpy as np
from model_files import change_tensors, split

from tinygrad_llm import cli
from tinygrad_llm.config import GPTConfig, LlamaConfig
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.pretrained.describe import format_sizes
from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.tokenizer import Tokenizer, train_bpe
from tinygrad_llm.tokenizer.vocabulary import Conventions

TRAINED = train_bpe(["to be or not to be"], 260, "gpt2", ["<s>", "<|end|>"])
TOKENIZER = Tokenizer.from_vocabulary(
    TRAINED.vocabulary,
    Conventions(258, 259, (258,), (), "{{ 1 }}", {"bos_token": "<s>", "eos_token": "<|end|>"}),
)


def a_llama(**options):
    return Llama(LlamaConfig(260, 32, 2, 4, 2, 32, 64, **options))


def info(capsys, *words):
    """The table as (name, value) pairs."""
    assert cli.main(["info", *map(str, words)]) == 0
    lines = capsys.readouterr().out.splitlines()
    width = lines[0].index("/")  # the path of the model begins the second column
    return [(line[:width].strip(), line[width:]) for line in lines]


def test_a_gguf_file(tmp_path, capsys):
    path = tmp_path / "model.gguf"
    model = a_llama()
    save_gguf(model, TOKENIZER, path, "q8_0")
    (tmp_path / "LICENSE").write_text("Do what you like.")
    matrices = sum(p.size for p in model.parameters() if p.ndim == 2) // 32 * 34
    vectors = sum(p.nbytes for p in model.parameters() if p.ndim == 1)
    assert info(capsys, path, "--sha256") == [
        ("model", str(path)),
        ("architecture", "llama: 2 layers, 32 channels, 4 heads of 8 channels on 2 for keys and "
         "values, 64 channels in the feed-forward layer"),
        ("parameters", f"{model.num_parameters():,}"),
        ("weights", f"{matrices + vectors:,} bytes: Q8_0 {matrices:,} (16 tensors), F32 "
         f"{vectors:,} (5 tensors)"),
        ("context", "32 tokens"),
        ("vocabulary", "260 ids; the tokenizer has 260 (byte-level BPE)"),
        ("BOS", "<s> (258), added before a text"),
        ("EOS", "<|end|> (259), not added after a text"),
        ("stop ids", "<|end|> (259)"),
        ("chat template", "yes"),
        ("licence", f"not named in the files; its text is {tmp_path / 'LICENSE'}"),
        ("sha256", f"{hashlib.sha256(path.read_bytes()).hexdigest()}  model.gguf"),
    ]  # fmt: skip


def test_a_directory(tmp_path, capsys):
    model = a_llama(tied=True, sliding_window=8)
    save_pretrained(model, None, tmp_path, "f16")
    split(tmp_path)
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: mit \n---\nlicense: other\n")
    shown = dict(info(capsys, tmp_path, "--sha256"))
    size = 2 * model.num_parameters()
    count = len(list(model.parameters()))
    assert shown["weights"] == f"{size:,} bytes: F16 {size:,} ({count} tensors)"
    assert shown["vocabulary"] == "260 ids; there is no tokenizer" and "BOS" not in shown
    assert shown["architecture"].endswith("2 layers with a window of 8")
    assert shown["licence"] == "mit" and shown["sha256"].endswith("  part-1.safetensors")


def test_a_run_of_gpt2(tmp_path, capsys):
    model = GPT(GPTConfig(260, 32, 2, 4, 32))
    save_pretrained(model, TRAINED, tmp_path / "checkpoints" / "step-000001")
    index = tmp_path / "checkpoints" / "index.json"
    index.write_text('{"last": "step-000001", "best": "step-000001"}')
    shown = dict(info(capsys, tmp_path))
    assert shown["model"].endswith("step-000001")
    assert shown["architecture"].startswith("gpt2: 2 layers, 32 channels, 4 heads, 128 channels")
    assert shown["parameters"] == f"{model.num_parameters():,}"
    assert shown["BOS"] == "none, not added before a text" and shown["chat template"] == "no"
    assert shown["licence"] == "not named in the files" and "sha256" not in shown


def test_what_loading_refuses_is_refused(tmp_path, capsys):
    save_pretrained(a_llama(), None, tmp_path)
    change_tensors(tmp_path, lambda t: t.update({"model.norm.weight": np.ones(8, np.float32)}))
    for words in ([str(tmp_path)], [str(tmp_path / "nowhere")], ["--sha256"]):
        assert cli.main(["info", *words]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_names_in_a_file_do_not_reach_the_terminal(tmp_path, capsys):
    save_pretrained(a_llama(), None, tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: \x1b[2Jmit\n---\n")
    assert dict(info(capsys, tmp_path))["licence"] == "\\x1b[2Jmit"


def test_the_largest_format_comes_first():
    shown = format_sizes([("F32", 4), ("Q8_0", 34), ("Q8_0", 68)])
    assert shown == "106 bytes: Q8_0 102 (2 tensors), F32 4 (1 tensor)"
