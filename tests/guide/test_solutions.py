"""The solutions are found by pytest with and without the project's settings, and import little."""

import ast
import os
import re
import shutil
import subprocess
import sys

from guide_code import CODE, FILES

SOLUTIONS = CODE.parent / "solutions"
FOUND = sorted(SOLUTIONS.glob("test_*.py"))


def collected(*arguments, cwd):
    """The tests that pytest finds, as (file, function)."""
    environment = os.environ | {"PYTHONPATH": "", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"(test_\d\d_\w+\.py)(?:::|: )(\w+)", done.stdout))


def functions():
    return {
        (path.name, node.name)
        for path in FOUND
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_they_are_found_where_there_are_no_settings(tmp_path):
    """As in the archive: only the code and the solutions, by pytest as it comes."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOLUTIONS, tmp_path / "solutions", ignore=ignored)
    shutil.copytree(CODE, tmp_path / "code", ignore=ignored)
    assert FOUND and collected("solutions", cwd=tmp_path) == functions()


def test_they_are_part_of_the_projects_tests():
    assert collected("docs/guide/solutions", cwd=CODE.parents[2]) == functions()
    settings = (CODE.parents[2] / "setup.cfg").read_text()
    assert re.search(r"^testpaths = .*\bdocs/guide/solutions$", settings, re.M)


def test_they_import_little_besides_the_guides_code():
    ours = {path.stem for path in FILES}
    allowed = {*sys.stdlib_module_names, *ours, "numpy", "pytest", "tiktoken", "matplotlib"}
    for path in FOUND:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{path.name}: {names}"


def test_each_solution_is_a_proof_with_comments():
    for path in FOUND:
        tree = ast.parse(path.read_text())
        solved = [n for n in tree.body if getattr(n, "name", "").startswith("test_exercise_")]
        chapter = int(path.name[5:7])
        numbers = {re.fullmatch(r"test_exercise_(\d+_\d+)\w*", n.name)[1] for n in solved}
        assert numbers == {f"{chapter}_{i}" for i in (1, 2, 3)}, path.name
        for function in solved:
            proofs = [n for n in ast.walk(function) if isinstance(n, ast.Assert)]
            raises = "raises(" in ast.unparse(function)
            assert proofs or raises, f"{path.name}: {function.name}"
