"""What a reader is told to run is run: the examples, and the code in the documentation.

The examples assert their own claims, so an exit code of 0 is already much; here one line of each
is looked at as well, so that an example that prints nothing, or stops early, fails too.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autograd import check_grad, ops
from tinygrad_llm.cli import COMMANDS, parse

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
DOCUMENTS = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/functional.md")
]

# What each example must print, as a regular expression.
SAYS = {
    "01_scalar_backprop.py": r"All three agree: hand and engine to rounding",
    "02_order_and_accumulation.py": r"toy, \+=, depth first +\+5\.91616741   WRONG",
    "03_tensors_and_broadcasting.py": r"12    15    18    21    = dL/db",
    "04_gradient_check.py": r"order 2: gradient check failed: 2 of 6 checks",
    "05_attention_step_by_step.py": r"scores +\(1, 2, 8, 8\)",
    "06_gpt_on_one_page.py": r"After training:",
    "07_equivalence_lab.py": r"masked: mean of the means .* NOT THE SAME",
    "08_bug_zoo.py": r"caught by: both uses of a tied weight count",
    "09_gradients_explained.py": r"gradient of wte, .*: the sum of 2 contributions",
    "10_profiler_and_graph.py": r"The profiler counted \d{7}\.",
    "11_faster_stage_by_stage.py": r"All 9 stages agree to \de-\d\d of the loss",
}


def run(*arguments):
    """Run Python as a reader would, away from the clone's folder; returns what it printed."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "Agg",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def output_of():
    """The output of an example, run once."""
    known = {}

    def output(name):
        if name not in known:
            known[name] = run(str(ROOT / "examples" / name))
        return known[name]

    return output


def test_every_example_is_known():
    assert [p.name for p in EXAMPLES] == list(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example_runs_and_shows_what_it_says(name, output_of):
    output = output_of(name)
    assert re.search(SAYS[name], output), output
    assert max(map(len, output.splitlines())) <= 100, "a line is too long for a page"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_says_what_to_read_next(path):
    docstring = path.read_text().split('"""')[1]
    assert "What it teaches." in docstring
    named = re.findall(r"(?:Before|Next): (\d\d_\w+\.py)", docstring)
    neighbours = [p.name for p in EXAMPLES if abs(int(p.name[:2]) - int(path.name[:2])) == 1]
    assert named == neighbours


def test_the_page_is_learned(output_of):
    output = output_of("06_gpt_on_one_page.py")
    losses = [float(x) for x in re.findall(r"step +\d+   loss (\d+\.\d+)", output)]
    assert len(losses) > 5 and losses[0] > 3.5
    assert losses[-1] < losses[0] / 10
    shares = [int(x) for x in re.findall(r"of its pieces of 8 letters, (\d+)%", output)]
    assert len(shares) == 2 and shares[0] < 20 and shares[1] > 80


# --- documentation --------------------------------------------------------------------------------


def python_blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)


def test_functional_page_runs():
    blocks = python_blocks(ROOT / "docs" / "functional.md")
    assert len(blocks) >= 4
    run("-c", "\n".join(blocks))  # one program, which asserts what the page says


def test_readme_first_look():
    first_look, _ = python_blocks(ROOT / "README.md")
    assert len([line for line in first_look.splitlines() if line.strip()]) == 15
    losses = [float(x) for x in re.findall(r"loss (\d+\.\d+)", run("-c", first_look))]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 100


def test_readme_gradient_check():
    _, ten_lines = python_blocks(ROOT / "README.md")
    assert len([line for line in ten_lines.splitlines() if line.strip()]) <= 10
    assert "gradient check passed: 6 checks" in run("-c", ten_lines)
    op = ten_lines[ten_lines.index("class ") : ten_lines.index("print(")].strip()
    assert op in (ROOT / "examples" / "04_gradient_check.py").read_text()


def test_readme_names_the_two_commands():
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert "pip install -e . && tinygrad-llm train" in lines
    assert 'pip install -e ".[test]" && pytest' in lines


@pytest.mark.parametrize("path", DOCUMENTS[:2], ids=lambda p: p.name)
def test_commands_that_are_shown_can_be_parsed(path):
    text = re.sub(
        r"<!-- train-output -->.*<!-- /train-output -->", "", path.read_text(), flags=re.S
    )
    shown = re.findall(r"^ {4}(?:.* && )?tinygrad-llm (.*)$", text, re.M)
    assert shown
    for line in shown:
        arguments = shlex.split(line, comments=True)
        if arguments != ["--help"]:
            assert type(parse(arguments)) in COMMANDS, line


def test_contributing_worked_example():
    (code,) = python_blocks(ROOT / "CONTRIBUTING.md")
    scope = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), scope)  # our own documentation
    expm1 = scope["expm1"]
    x = np.random.default_rng(5).standard_normal((3, 4))
    np.testing.assert_allclose(expm1(ops.asarray(x)).data, np.expm1(x), rtol=1e-15)
    check_grad(expm1, x)
    check_grad(lambda x: ops.exp(x) - 1, x)  # the definition in its sample


def test_contributing_counts_to_seven():
    steps = re.findall(r"^\*\*(\d)\. ", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert steps == list("1234567")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)]+)\)", path.read_text())
    local = [t for t in targets if not t.startswith("http")]
    missing = [t for t in local if not (path.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_files_that_are_named_exist(path):
    named = set(
        re.findall(r"`((?:autograd|tinygrad_llm|examples|tests|docs)/[\w/.]*)`", path.read_text())
    )
    assert named, "the document names no file"
    assert [n for n in sorted(named) if not (ROOT / n).exists()] == []


def test_the_map_of_the_architecture_is_true():
    """Every file and folder in the map exists, and it leaves out no module of the packages."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    tree = text[text.index("    autograd/\n") : text.index("## An operation is written once")]
    package, named = None, {}
    for line in tree.splitlines():
        if re.fullmatch(r" {4}\w+/", line):
            package = line.strip().rstrip("/")
            named[package] = set()
        elif line.startswith("      ") and not line.startswith("       "):
            words = re.split(r" {2,}", line.strip())[0].split()
            named[package] |= {w.rstrip("/") for w in words}
    for package, names in named.items():
        there = {p.name for p in (ROOT / package).iterdir() if not p.name.startswith("__")}
        assert names <= there, f"{package} has no {names - there}"
        private = {n for n in there if n.startswith("_") and n != "_tensor.py"}
        assert there - names - private == set(), f"the map leaves out part of {package}"
