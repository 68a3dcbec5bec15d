"""The rules of docs/architecture.md that can be read off the source."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import autograd

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("autograd/**/*.py"), *ROOT.glob("tinygrad_llm/**/*.py")])
REFERENCES = sorted(ROOT.glob("autograd/kernels/*/reference.py"))


def imports(path):
    """The modules a file imports, at any depth of its code, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def starts(names, *prefixes):
    return sorted(n for n in names if any(n == p or n.startswith(p + ".") for p in prefixes))


def name_of(path):
    return str(path.relative_to(ROOT))


def test_there_is_something_to_read():
    assert len(SOURCES) > 40 and len(REFERENCES) > 12


@pytest.mark.parametrize("path", REFERENCES, ids=name_of)
def test_a_reference_is_pure_and_imports_nothing_of_ours(path):
    tree = ast.parse(path.read_text())
    assert starts(imports(path), "autograd", "tinygrad_llm", "numpy", "cupy") == []
    for node in ast.walk(tree):
        where = f"{name_of(path)}:{getattr(node, 'lineno', '')}"
        assert not isinstance(node, ast.AugAssign), f"{where} changes something in place"
        targets = node.targets if isinstance(node, ast.Assign) else []
        assert not any(isinstance(t, ast.Subscript | ast.Attribute) for t in targets), where
        if isinstance(node, ast.Call):
            assert all(k.arg != "out" for k in node.keywords), f"{where} writes to out="


CORE = (
    "engine backward _tensor _methods _conversions _numpy_protocol _types plain leaf accumulate "
    "in_place unbroadcast grad_mode device _namespace call_site observe hooks questions precision "
    "saved_tensors _bfloat16"
).split()


def test_the_engine_never_imports_the_operations():
    for name in CORE:
        found = imports(ROOT / "autograd" / f"{name}.py")
        assert starts(found, "autograd.ops", "autograd.kernels", "autograd.debug") == [], name


def test_the_page_lists_the_same_modules():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rule = page[page.index("\n2. `engine`") : page.index("never import `ops`")]
    assert re.findall(r"`(\w+)`", rule) == CORE


def test_autograd_never_imports_the_language_model():
    for path in SOURCES:
        if path.is_relative_to(ROOT / "autograd"):
            assert starts(imports(path), "tinygrad_llm") == [], name_of(path)


def test_models_know_no_tokenizer_data_or_trainer():
    below = [*ROOT.glob("tinygrad_llm/model/*.py")]
    assert len(below) > 3
    above = "tokenizer data training generation pretrained finetune cli commands".split()
    forbidden = [f"tinygrad_llm.{n}" for n in above]
    for path in below:
        assert starts(imports(path), *forbidden) == [], name_of(path)


def test_one_file_of_the_models_looks_upwards():
    """By name, when a method is called: from_pretrained, save_pretrained, generate."""
    for path in ROOT.glob("tinygrad_llm/model/*.py"):
        found = starts(imports(path), "importlib") != []
        assert found == (path.name == "language_model.py"), name_of(path)


def test_generation_sees_token_ids_only():
    files = [*ROOT.glob("tinygrad_llm/generation/*.py")]
    assert len(files) > 1
    for path in files:
        found = starts(imports(path), "tinygrad_llm.tokenizer", "tinygrad_llm.data", "tiktoken")
        assert found == [], name_of(path)


def test_fine_tuning_knows_no_command_line():
    files = [*ROOT.glob("tinygrad_llm/finetune/*.py")]
    assert len(files) > 1
    for path in files:
        assert starts(imports(path), "tinygrad_llm.commands") == [], name_of(path)


def test_inspection_watches_and_is_not_needed():
    """It may look at models and fine-tuning; only commands look at it."""
    files = [*ROOT.glob("tinygrad_llm/inspect/*.py")]
    assert len(files) > 1
    above = [f"tinygrad_llm.{n}" for n in "commands cli training generation pretrained".split()]
    for path in files:
        assert starts(imports(path), *above) == [], name_of(path)
    for path in SOURCES:
        if not {"commands", "inspect"} & set(path.parts):
            assert starts(imports(path), "tinygrad_llm.inspect") == [], name_of(path)


def test_evals_know_neither_training_nor_the_command_line():
    """The style of pictures is common to all, and lies where the first one is drawn."""
    files = [*ROOT.glob("tinygrad_llm/evals/*.py")]
    assert len(files) > 1
    for path in files:
        above = [f"tinygrad_llm.{name}" for name in ("training", "finetune", "commands")]
        found = starts(imports(path), *above)
        assert starts(found, "tinygrad_llm.training.plot") == found, name_of(path)


def test_nothing_imports_the_command_line():
    allowed = {"tinygrad_llm/__main__.py"}
    for path in SOURCES:
        if name_of(path) not in allowed:
            assert starts(imports(path), "tinygrad_llm.cli") == [], name_of(path)


def test_no_import_runs_in_a_circle():
    """Those inside functions and those for type checkers count too."""
    modules = {
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in SOURCES
    }
    graph = {}
    for name, path in modules.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    file = f"{node.module}.{alias.name}"
                    graph[name].add(file if file in modules else node.module)
    TopologicalSorter(graph).prepare()  # raises CycleError, with the modules of the circle


GUIDE = sorted(ROOT.glob("docs/guide/code/*.py"))


def guide_problems(files):
    """What is wrong with the guide's code, which is printed in a book and runs alone.

    files: {name: text}
    """
    problems = []
    allowed = {*sys.stdlib_module_names, "numpy", "tiktoken", *(Path(name).stem for name in files)}
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in getattr(node, "names", [])]
            names = [node.module or "."] if isinstance(node, ast.ImportFrom) else names
            if isinstance(node, ast.Import | ast.ImportFrom):
                gone = [n for n in names if n.split(".")[0] not in allowed]
                problems += [f"{name} imports {n}" for n in gone]
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > 90:  # as docs/guide/code/ruff.toml has it
                problems.append(f"{name}:{number} has {len(line)} characters")
    lines = sum(len(text.splitlines()) for text in files.values())
    return problems + [f"{lines} lines"] * (lines >= 1000)


def test_the_guides_code_is_short_and_needs_numpy_and_tiktoken_alone():
    files = {path.name: path.read_text() for path in GUIDE}
    assert len(files) > 10 and guide_problems(files) == []
    pins = (ROOT / "docs" / "guide" / "code" / "requirements.txt").read_text()
    assert re.findall(r"^(numpy|tiktoken)==", pins, re.M) == ["numpy", "tiktoken"]
    known = (ROOT / "requirements.txt").read_text().splitlines()
    assert [x for x in pins.splitlines() if x[0] != "#" and x not in known] == []


def test_what_the_guides_code_may_not_do_is_noticed():
    files = {
        "a.py": "import numpy.linalg\nfrom b import x\nimport tiktoken, json\n",
        "b.py": "x = 1\n",
    }
    assert guide_problems(files) == []
    assert guide_problems(files | {"c.py": "import torch\n"}) == ["c.py imports torch"]
    assert guide_problems(files | {"c.py": "from autograd import ops\n"}) == [
        "c.py imports autograd"
    ]
    assert guide_problems(files | {"c.py": "from . import a\n"}) == ["c.py imports ."]
    assert guide_problems(files | {"c.py": "x = " + 87 * "1"}) == ["c.py:1 has 91 characters"]
    assert guide_problems(files | {"c.py": 996 * "\n"}) == ["1000 lines"]


def test_other_frameworks_stay_in_tests_and_benchmarks():
    for path in [*SOURCES, *ROOT.glob("examples/**/*.py")]:
        assert starts(imports(path), "torch", "jax", "transformers") == [], name_of(path)


def test_one_file_needs_lm_eval():
    for path in SOURCES:
        found = starts(imports(path), "lm_eval") != []
        assert found == (name_of(path) == "tinygrad_llm/evals/lm_eval_model.py"), name_of(path)


def test_only_fast_kernels_and_the_device_import_numba_and_cupy():
    for path in SOURCES:
        if starts(imports(path), "numba", "cupy", "llvmlite"):
            kernel = path.is_relative_to(ROOT / "autograd" / "kernels")
            kernel &= path.name in (
                "cpu.py", "cuda.py", "_jit.py", "_functions.py", "_threads.py", "_gemm.py",
                "_disk_cache.py", "_stages.py", "_calls.py", "_processor.py",
                "block.py", "tiles.py", "panels.py",
            )  # fmt: skip
            allowed = name_of(path) in MAY_IMPORT_NUMBA
            assert kernel or allowed, name_of(path)


MAY_IMPORT_NUMBA = {
    "tinygrad_llm/generation/step_kernel.py",  # the fused decode path
    "tinygrad_llm/generation/step_parts.py",
    "tinygrad_llm/quantized/vectors.py",  # instructions that numba does not have
    "autograd/device.py",  # CuPy, when its device is asked for
    "tinygrad_llm/commands/info.py",  # CuPy, to name the GPU
}


@pytest.mark.parametrize(
    "module, heavy",
    [
        ("autograd", "numpy.random numba matplotlib rich tiktoken tyro cupy safetensors regex"),
        ("tinygrad_llm", "numba matplotlib rich tiktoken cupy safetensors regex torch"),
        ("tinygrad_llm.cli", "numba matplotlib tiktoken cupy safetensors regex torch"),
    ],
)
def test_imports_are_light(module, heavy):
    code = f"import sys, {module}; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_file_is_too_long():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= 400, name_of(path)


def test_no_module_has_the_name_of_a_public_function():
    """``autograd.ops.linear`` would be the function to one reader and the file to another."""
    packages = [importlib.import_module(f"autograd.{n}") for n in ("ops", "functional", "testing")]
    for package in (autograd, *packages):
        folder = Path(package.__file__).parent
        files = {path.stem for path in folder.glob("*.py")}
        assert files & {n for n in package.__all__ if callable(getattr(package, n))} == set()
