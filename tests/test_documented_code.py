"""The code and the commands that the documents show are run."""

import ast
import dataclasses
import os
import platform
import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
from caches import new_cache
from chain_model import END, chain_model, chat_tokenizer
from oracle import numpy_table
from oracle.choices import CHOICES
from oracle.judge import judge
from reader import run

from autograd import Tensor, ops, samples
from autograd.debug import ChangedError
from tinygrad_llm.cli import COMMANDS, main, parse
from tinygrad_llm.commands import gradcheck
from tinygrad_llm.commands.options import GradcheckOptions
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training.metrics import read_metrics

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),  # made
]
RNG = np.random.default_rng(9)


def python_blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)


def test_functional_page_runs():
    blocks = python_blocks(ROOT / "docs" / "functional.md")
    assert len(blocks) >= 4
    run("-c", "\n".join(blocks))  # one program, which asserts what the page says


def test_generation_page_runs():
    blocks = python_blocks(ROOT / "docs" / "generation.md")
    assert len(blocks) == 5
    run("-c", "\n".join(blocks))


def test_language_model_page_runs(tmp_path):
    """Its blocks are one program, which asserts what the page says."""
    blocks = python_blocks(ROOT / "docs" / "language_model.md")
    assert len(blocks) == 14
    printed = run("-c", "\n".join(blocks), cwd=tmp_path)
    losses = [float(x) for x in re.findall(r"step +\d+  loss (\S+)", printed)]
    assert len(losses) == 4 and losses[-1] < losses[0] / 2
    for words in (
        "the cat",
        "(tables.0-1): 2 x Embedding(",
        "validation ",
        "gradient check passed",
    ):
        assert words in printed, printed
    assert {p.name for p in tmp_path.iterdir()} == {"cat", "state.npz"}


def test_lora_page_runs(tmp_path):
    (block,) = python_blocks(ROOT / "docs" / "lora.md")
    assert "of 26,784 parameters are trained" in run("-c", block, cwd=tmp_path)


def test_where_the_loss_pushes_page_runs(tmp_path):
    (block,) = python_blocks(ROOT / "docs" / "where_the_loss_pushes.md")
    printed = run("-c", block, cwd=tmp_path)
    assert printed.count("counts True ") >= 5 and printed.count("counts False  dL/dz +0.0000") >= 1
    assert "loss 0.6931, engine and closed form differ by" in printed
    assert "</html>" in (tmp_path / "pushes.html").read_text()


def test_inspecting_page_runs():
    """It asserts what it says of the last row and of the maps."""
    (block,) = python_blocks(ROOT / "docs" / "inspecting.md")
    printed = run("-c", block)
    shown = re.search(r"print\(lens\.names\) +# (\(.*\))", block)[1]
    assert printed.startswith(f"{shown}\n(4, 7, 5)\n[") and "(3, 4) " in printed


def test_the_pushes_that_are_shown_are_the_examples():
    page = (ROOT / "docs" / "where_the_loss_pushes.md").read_text()
    shown = re.search(r"^```\n(   chosen .*?)^```", page, re.M | re.S)[1]
    printed = run(str(ROOT / "examples" / "19_where_dpo_pushes.py"))
    assert shown in "\n".join(line.rstrip() for line in printed.splitlines())


def test_the_pushes_that_are_shown_are_those_of_the_real_model(capsys):
    folders = [os.environ.get(f"TINYGRAD_LLM_TEST_{name}", "") for name in ("MODELS", "DATA")]
    models = sorted(Path(folders[0] or "gone").glob("**/SmolLM2-135M-Instruct*.gguf"))
    data = Path(folders[1] or "gone") / "instruction-data-with-preference.json"
    if not models or not data.is_file():
        pytest.skip("TINYGRAD_LLM_TEST_MODELS and TINYGRAD_LLM_TEST_DATA name no SmolLM2 and data")
    page = (ROOT / "docs" / "where_the_loss_pushes.md").read_text()
    (shown,) = re.findall(r"^```\n(chosen:.*?)^```", page, re.M | re.S)
    assert main(["inspect", str(models[0]), "--data", str(data), "--row", "8"]) == 0
    mark = r"(?<= [+-])\d(?=\])"  # in ninths of the largest push, so rounding may move one by 1
    printed = capsys.readouterr().out
    beginning = printed[: len(shown)]
    assert re.sub(mark, "9", beginning) == re.sub(mark, "9", shown)
    of_both = ([int(m) for m in re.findall(mark, text)] for text in (beginning, shown))
    assert max(abs(a - b) for a, b in zip(*of_both, strict=True)) <= 1


def test_debugging_page_runs(tmp_path, monkeypatch):
    """Each block, with the model and tensors it speaks of; the fourth plants a write."""
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(ROOT / "docs" / "debugging.md")
    assert len(blocks) == 9
    for number, code in enumerate(blocks, 1):
        x = Tensor(np.ones((2, 3)), requires_grad=True)
        w = Tensor(np.ones(3), requires_grad=True)
        scope = {"ops": ops, "x": x, "w": w, "h": x * w, "ids": RNG.integers(0, 65, (2, 8))}
        exec(compile(blocks[0], "docs/debugging.md", "exec"), scope)  # our own documentation
        model = GPT(GPTConfig(vocab_size=65, block_size=8, n_layer=1, n_head=1, n_embd=8), seed=0)
        loss = model.loss(scope["ids"], scope["ids"])
        scope |= {"model": model, "targets": scope["ids"], "loss": loss}
        if number == 4:
            with pytest.raises(ChangedError, match=r"was written to: it was unchanged after "):
                exec(compile(code, "docs/debugging.md", "exec"), scope)
        else:
            exec(compile(code, "docs/debugging.md", "exec"), scope)
    assert {p.name for p in tmp_path.iterdir()} == {"trace.json", "graph.html"}


MESSAGES = {
    "AnomalyError": """
with detect_anomaly():
    ops.sqrt(Tensor([0.0, 0.25, 4.0], requires_grad=True)).backward(np.ones(3))
""",
    "ChangedError": None,  # its block on the page
    "ZeroDivisionError": """
class Multiply(Op):
    def forward(self, xp, x):
        return x * 2

    def backward(self, xp, g):
        return g / (1 // 0)


Multiply()(Tensor([1.0], requires_grad=True)).backward()
""",
}


@pytest.mark.parametrize("error", MESSAGES)
def test_the_messages_that_are_shown(error, tmp_path):
    """The page quotes what a program train.py ends with; the numbers of its lines are its own."""
    path = ROOT / "docs" / "debugging.md"
    imports, *blocks = python_blocks(path)
    code = MESSAGES[error] or next(b for b in blocks if b.startswith("with detect_changes"))
    imports += "import numpy as np\nfrom autograd import Op\n"
    x = "x = Tensor(np.ones((2, 3)), requires_grad=True)\n"
    (tmp_path / "train.py").write_text(imports + x + code)
    with pytest.raises(AssertionError) as failure:
        run("train.py", cwd=tmp_path)
    printed = str(failure.value)
    printed = printed[printed.index(f"{error}: ") :].replace(f"{tmp_path}/", "")
    shown = re.search(rf"^```\n({error}: .*?)^```", path.read_text(), re.M | re.S)[1]
    pieces = [without_lines(" ".join(piece.split())) for piece in shown.split("...")]
    assert all(piece in without_lines(" ".join(printed.split())) for piece in pieces), printed


def test_the_ledger_that_is_shown_is_the_examples():
    page = (ROOT / "docs" / "debugging.md").read_text()
    shown = re.search(r"^```\n(gradient of wte.*?)^```", page, re.M | re.S)[1]
    printed = run(str(ROOT / "examples" / "09_gradients_explained.py"))
    assert without_lines(shown) in without_lines(printed)


def without_lines(text):
    """The text without line numbers in places such as gpt.py:92."""
    return re.sub(r"\.py:\d+", ".py", text)


@pytest.mark.parametrize("kind", ["small", "real"])
def test_readme_pretrained_model(kind, tmp_path):
    """In a folder where the model's name is that of a small model, or of the real file."""
    pretrained, _, _ = python_blocks(ROOT / "README.md")
    (name,) = re.findall(r'load_pretrained\("(.+)"\)', pretrained)
    if kind == "small":
        conventions = chat_tokenizer().conventions._replace(eos_id=END)
        tokenizer = Tokenizer.from_vocabulary(chat_tokenizer().vocabulary, conventions)
        save_pretrained(chain_model("Rome."), tokenizer, tmp_path / name)
        expected = "Rome.<|im_end|>"
    else:
        folder = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
        files = sorted(Path(folder).glob("**/SmolLM2-135M-Instruct*.gguf")) if folder else []
        if not files:
            pytest.skip("TINYGRAD_LLM_TEST_MODELS names no folder with SmolLM2-135M-Instruct")
        (tmp_path / name).symlink_to(files[0].resolve())
        (expected,) = re.findall(r"This prints `(.+)`", (ROOT / "README.md").read_text())
    assert run("-c", pretrained, cwd=tmp_path) == f"{expected}\n"


def test_readme_first_look():
    _, first_look, _ = python_blocks(ROOT / "README.md")
    assert len([line for line in first_look.splitlines() if line.strip()]) == 15
    losses = [float(x) for x in re.findall(r"loss (\d+\.\d+)", run("-c", first_look))]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 100


def test_readme_gradient_check():
    _, _, ten_lines = python_blocks(ROOT / "README.md")
    assert len([line for line in ten_lines.splitlines() if line.strip()]) <= 10
    assert "gradient check passed: 6 checks" in run("-c", ten_lines)
    op = ten_lines[ten_lines.index("class ") : ten_lines.index("print(")].strip()
    assert op in (ROOT / "examples" / "04_gradient_check.py").read_text()


def test_readme_names_the_two_commands():
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert "pip install -e . && tinygrad-llm train" in lines
    (tests,) = (line for line in lines if line.startswith('pip install -e ".[test]" && '))
    assert (ROOT / ".ci" / "run").read_text().endswith(f"\n{tests.partition(' && ')[2]}\n")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_commands_that_are_shown_can_be_parsed(path):
    text = re.sub(
        r"<!-- train-output -->.*<!-- /train-output -->", "", path.read_text(), flags=re.S
    )
    text = re.sub(r" *\\\n *", " ", text)  # a command on several lines
    for line in re.findall(r"^ {4}(?:.* && )?tinygrad-llm (.*)$", text, re.M):
        line = re.sub(r" [<>] \S+", "", line)  # the shell's part of it
        arguments = shlex.split(line, comments=True)
        if arguments != ["--help"]:
            assert type(parse(arguments)) in COMMANDS, line


def test_contributing_counts_to_seven():
    steps = re.findall(r"^\*\*(\d)\. ", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert steps == list("1234567")


def test_contributing_worked_example(capsys):
    """Its blocks run in their order: the op and its function, the sample, the entry, the test."""
    scope = {"entry": numpy_table.entry, "x": numpy_table.x}
    blocks = python_blocks(ROOT / "CONTRIBUTING.md")
    assert len(blocks) == 4
    for code in blocks:
        exec(compile(code, "CONTRIBUTING.md", "exec"), scope)  # our own documentation

    expm1, sample = scope["expm1"], scope["sample"]
    report = samples.check_sample(dataclasses.replace(sample, call=expm1))
    assert report.passed and report.definition is not None, report.problems
    judged = [judge(numpy_table.TABLE["expm1"].draw(RNG), RNG, CHOICES) for _ in range(30)]
    assert judged.count("same") >= 5
    scope["test_expm1_keeps_its_digits"]()
    assert gradcheck.run(GradcheckOptions(op=("expm1",))) == 0
    assert "expm1" in capsys.readouterr().out


def test_contributing_worked_example_is_the_code():
    """What it shows is what the project has: the class and function, and the sample's values."""
    op_block, sample_block, *_ = python_blocks(ROOT / "CONTRIBUTING.md")
    source = ast.parse((ROOT / "autograd" / "ops" / "exponential.py").read_text())
    shown = [node for node in ast.parse(op_block).body if not isinstance(node, ast.ImportFrom)]
    there = {node.name: ast.dump(node) for node in source.body if hasattr(node, "name")}
    assert [node.name for node in shown] == ["Expm1", "expm1"]
    for node in shown:
        assert ast.dump(node) == there[node.name]

    scope = {}
    exec(compile(sample_block, "CONTRIBUTING.md", "exec"), scope)  # our own documentation
    (known,) = [s for s in samples.SAMPLES if s.op == "expm1"]
    lambdas = {"definition": None}
    assert dataclasses.replace(scope["sample"], **lambdas) == dataclasses.replace(known, **lambdas)


FILLED_IN = "nan|a term|mean|sum|the input|input|negative|the ones vector|is missing|T"


def test_the_diagnoses_that_are_listed_exist():
    """Each sentence in the table of gradient_checking.md is one that diagnosis.py can say."""
    page = (ROOT / "docs" / "gradient_checking.md").read_text()
    table = page[page.index("| question | sentence |") : page.index("If no pattern matches")]
    tree = ast.parse((ROOT / "autograd" / "testing" / "diagnosis.py").read_text())
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    said = "|".join(s for s in strings if isinstance(s, str))
    pieces = [
        piece.strip()
        for sentence in re.findall(r"\| ([^|]+) \|$", table, re.M)[1:]
        for piece in re.split(rf"[;:(),\d.]|g @ W|\b(?:{FILLED_IN})\b", sentence)
    ]
    assert len([p for p in pieces if len(p) > 12]) >= 15
    assert [p for p in pieces if p not in said] == []


FIRST_RUN = "compiling the kernels (once per machine; they are cached) ..."


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A smaller run of the README's first command: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("reader")
    printed = run(
        *"-m tinygrad_llm train --n-embd 8 --block-size 32 --batch-size 1 --steps 2".split(),
        *"--eval-every 2 --eval-batches 1 --grad-accumulation 1 --sample-tokens 4".split(),
        cwd=folder,
        TINYGRAD_LLM_CACHE=new_cache(folder),
    )
    return printed, folder / "runs" / "llama-tiny"


def test_the_output_that_the_readme_shows(small_run):
    """The run prints the same lines, with other numbers and names."""
    page = (ROOT / "README.md").read_text()
    shown = page[page.index("<!-- train-output -->") : page.index("<!-- /train-output -->")]
    report, _, sample = shown.partition("a sample (temperature")
    end = sample[sample.rindex("\n    checkpoint ") :]
    lines = [line.strip() for line in (report + end).splitlines()[1:]]
    if platform.python_version() not in report:  # another standard library has other oddities
        lines = [line for line in lines if not line.startswith(("dropped", "changed"))]
    forms = {form(line) for line in small_run[0].splitlines()}
    if FIRST_RUN not in small_run[0]:  # the kernels had been compiled before
        assert FIRST_RUN in (ROOT / "tinygrad_llm" / "commands" / "session.py").read_text()
        lines.remove(FIRST_RUN)
    assert len(lines) > 35
    assert [x for x in lines if x and x != "..." and form(x) not in forms] == []


def test_the_run_folder_that_the_architecture_shows(small_run):
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = page[page.index("    runs/llama-tiny/") : page.index("**A checkpoint**")]
    assert set(re.findall(r"^ {6}([\w./]+)", tree, re.M)) == {
        p.name + "/" * p.is_dir() for p in small_run[1].iterdir()
    }
    *_, evaluated, final = read_metrics(small_run[1] / "metrics.jsonl")
    keys = re.search(r"per step: (.*?);\n +at evaluations (.*?); the last line", tree, re.S)
    assert set(re.findall(r"\w+", f"{keys[1]} {keys[2]}")) == set(evaluated)
    assert set(re.findall(r"\w+", keys[2])) < set(final)


def test_the_operation_that_the_architecture_shows():
    page = (ROOT / "docs" / "architecture.md").read_text()
    shown = page[page.index("    class Multiply(Op):") : page.index("`xp` is a namespace")]
    source = ast.parse((ROOT / "autograd" / "ops" / "arithmetic.py").read_text())
    (there,) = [node for node in source.body if getattr(node, "name", "") == "Multiply"]
    del there.body[0]  # the docstring
    assert ast.dump(ast.parse(textwrap.dedent(shown)).body[0]) == ast.dump(there)


def form(line):
    """A line without what differs between two runs: numbers, units, files, widths of columns."""
    line = re.sub(r"\([^()]*(?:\.py|/|\.\.\.)[^()]*\)", "(files)", line)
    line = re.sub(r"\d[\d,.:]*( (?:[KM]iB|B|[kMG]FLOP)\b)?", "N", line)
    line = re.sub(r"N processors?\b", "N processors", line)
    return " ".join(re.sub("-{3,}", "---", line).split())
