"""Compiled kernels on disk: loaded by the next process, checked first, replaced if damaged."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import autograd
import tinygrad_llm
from autograd.kernels import _disk_cache, _jit

ROOT = Path(autograd.__file__).parents[1]
SCRIPTS = ROOT / "tests" / "scripts"
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="file owners are POSIX's")


def add_two(x):
    for i in range(x.size):
        x[i] += 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder for the kernels that this test compiles, which does not exist yet."""
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    _disk_cache._say.cache_clear()
    _disk_cache._sweep.cache_clear()
    return tmp_path / "cache" / _disk_cache.FOLDER


def compiled(*, hits, expect=None):
    """Call a kernel as a new process would: it is loaded ``hits`` times, with one warning or none.

    A new dispatcher knows as little as a new process.
    """
    function = _jit.jit(add_two)
    x = np.zeros(3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(x)
    np.testing.assert_array_equal(x, [2, 2, 2])
    assert sum(function.stats.cache_hits.values()) == hits
    sentences = [str(w.message) for w in caught]
    assert len(sentences) == (expect is not None), sentences
    if expect is not None:
        assert expect in sentences[0] and "\n" not in sentences[0]


def the_entry(folder):
    (entry,) = folder.iterdir()
    return entry


def test_the_second_process_compiles_nothing(folder):
    compiled(hits=0)
    compiled(hits=1)
    assert the_entry(folder).name.startswith("test_disk_cache.add_two-")


def test_who_waits_is_told_before_the_first_kernel_is_compiled(folder):
    told = []
    with _disk_cache.before_compiling(lambda: told.append([*folder.parent.glob("*/*")])):
        compiled(hits=0)
        the_entry(folder).unlink()
        compiled(hits=0)
    assert told == [[]]  # once, and before anything was there
    with _disk_cache.before_compiling(lambda: told.append("loading")):
        compiled(hits=1)
    the_entry(folder).unlink()
    compiled(hits=0)  # later: no one asks
    assert told == [[]]


DAMAGES = {
    "emptied": lambda data: b"",
    "cut in the digest": lambda data: data[:10],
    "cut": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:500] + bytes([data[500] ^ 4]) + data[501:],
    "zeros": lambda data: bytes(len(data)),
    "more": lambda data: data + b"x",
    "another file": lambda data: b"\x7fELF" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_compiled_again(folder, damage):
    compiled(hits=0)
    entry = the_entry(folder)
    entry.write_bytes(damage(entry.read_bytes()))
    compiled(hits=0, expect=f"{entry} was damaged")
    compiled(hits=1)


def test_a_folder_in_an_entrys_place_is_removed(folder):
    compiled(hits=0)
    entry = the_entry(folder)
    entry.unlink()
    (entry / "within").mkdir(parents=True)
    compiled(hits=0, expect="was damaged")
    compiled(hits=1)


@posix
@pytest.mark.parametrize("who", ["file", "folder"])
def test_nothing_is_loaded_that_others_can_write(folder, tmp_path, who):
    """A pickle with the right checksum runs code: so only its owner may be able to write it."""
    compiled(hits=0)
    entry = the_entry(folder)
    payload = pickle.dumps(Intruder(tmp_path / "ran"))
    entry.write_bytes(hashlib.sha256(payload).digest() + payload)
    (entry if who == "file" else folder).chmod(0o777)
    compiled(hits=0, expect="others can write")
    assert not (tmp_path / "ran").exists()
    # compiling has replaced the entry; as a file that only the owner can write, it does run
    entry.write_bytes(hashlib.sha256(payload).digest() + payload)
    folder.chmod(0o700)
    with pytest.raises(TypeError):
        compiled(hits=1)
    assert (tmp_path / "ran").exists()


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_folder_that_cannot_be_made_costs_a_compilation_and_a_warning(folder):
    folder.parent.parent.joinpath("cache").write_text("a file stands in the way")
    compiled(hits=0, expect="cannot be stored")


def test_without_a_home_folder_nothing_is_stored(folder, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", "~no-such-user/cache")
    compiled(hits=0, expect="set TINYGRAD_LLM_CACHE to a folder that can be written")
    assert not Path("~no-such-user").exists()


def test_a_full_disk_costs_a_compilation_and_a_warning(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    compiled(hits=0, expect="No space left on device")
    assert list(folder.iterdir()) == []  # nothing half written stays


def test_entries_that_no_process_uses_are_deleted(folder):
    compiled(hits=0)
    entry = the_entry(folder)
    now = time.time()
    for name, age in (("old", 61 * 86400), (".partial-1-ab", 4000), (".partial-2-cd", 10)):
        (folder / name).touch()
        os.utime(folder / name, (now - age, now - age))
    entry.write_bytes(b"")  # so that the next call writes
    _disk_cache._sweep.cache_clear()
    compiled(hits=0, expect="damaged")
    assert sorted(p.name for p in folder.iterdir()) == [".partial-2-cd", entry.name]


def test_a_file_that_another_process_has_just_renamed_is_no_error(folder, monkeypatch):
    """Two processes compile at once: one lists the folder, the other renames what it wrote."""
    compiled(hits=0)
    the_entry(folder).unlink()
    (folder / "an old folder").mkdir()
    os.utime(folder / "an old folder", (0, 0))
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: [*listed(path), path / ".partial-1-gone"])
    _disk_cache._sweep.cache_clear()
    compiled(hits=0)
    compiled(hits=1)


def test_an_entry_in_use_does_not_grow_old(folder):
    compiled(hits=0)
    os.utime(the_entry(folder), (time.time() - 50 * 86400,) * 2)
    compiled(hits=1)
    assert time.time() - the_entry(folder).stat().st_mtime < 86400


def test_a_function_without_a_file_is_not_stored(folder):
    names = {"__name__": "__main__"}
    exec("def fill(x):\n    x[:] = 5\n", names)  # as typed in at the prompt
    x = np.zeros(3)
    _jit.jit(names["fill"])(x)
    np.testing.assert_array_equal(x, [5, 5, 5])
    assert not folder.exists()


def test_every_file_with_compiled_code_is_in_the_key():
    kernels = Path(_jit.__file__).parent
    compiled_code = ("@jit", "@part", "@intrinsic", "@overload", "numba.njit")
    sources = {
        path
        for path in kernels.rglob("*.py")
        if any(mark in path.read_text(encoding="utf-8") for mark in compiled_code)
    }
    assert len(sources) > 8 and sources <= set(_jit._sources(kernels.parent))


def test_kernels_of_another_package_depend_on_its_files_too():
    package = Path(tinygrad_llm.__file__).parent
    sources = set(_jit._sources(package))
    assert {package / "quantized" / "vectors.py", package / "quantized" / "products.py"} <= sources
    assert set(_jit._sources(Path(autograd.__file__).parent)) < sources
    assert package / "cli.py" not in sources


def run(script, package, **environment):
    """What a program in tests/scripts prints, with the packages in the folder ``package``."""
    done = subprocess.run(
        [sys.executable, *map(str, script)],
        env={**os.environ, "PYTHONPATH": str(package), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


EDITS = {
    "_functions.py": ("return y if x == x else x", "return y + 1 if x == x else x"),
    "_jit.py": ('FLAGS = {"reassoc", ', "FLAGS = {"),
    "_threads.py": ("PARTS = 16", "PARTS = 8"),
    "_gemm.py": ("ROW_MAJOR", "ROWS_FIRST"),
    "softmax/cpu.py": ("row[j]", "row[j + 0]"),
}


def test_an_edit_to_a_shared_file_is_noticed(folder, tmp_path):
    """Kernels call functions of these files: with an old copy inlined, they would be wrong."""
    shutil.copytree(ROOT / "autograd", tmp_path / "autograd")
    script = [SCRIPTS / "first_call.py"]
    assert run(script, tmp_path) == "1.0 compiled"
    assert run(script, tmp_path) == "1.0 loaded"
    for name, (before, after) in EDITS.items():
        file = tmp_path / "autograd" / "kernels" / name
        source = file.read_text(encoding="utf-8")
        assert before in source, name
        file.write_text(source.replace(before, after), encoding="utf-8")
        assert run(script, tmp_path) == "2.0 compiled", name
    assert run(script, tmp_path) == "2.0 loaded"


def test_the_process_that_compiles_has_the_bits_of_the_next(tmp_path, monkeypatch):
    """One training step: compiled, loaded from disk, and with forward's kernels already there."""
    step = [SCRIPTS / "one_training_step.py"]
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "a"))
    compiled, loaded = run(step, ROOT), run(step, ROOT)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "b"))
    run([*step, "--forward"], ROOT)
    half_loaded = run(step, ROOT)
    assert len(compiled) == 64 and compiled == loaded == half_loaded


def test_nothing_compiled_lies_next_to_the_sources(folder):
    """There it would outlive the package, and hide the next installation of it."""
    before = set(ROOT.rglob("autograd/**/*.nb?"))
    run([SCRIPTS / "one_softmax.py"], ROOT)
    assert set(ROOT.rglob("autograd/**/*.nb?")) == before
    assert list(folder.glob("softmax.cpu._forward-*"))


def test_without_numbas_compiler_the_references_run():
    error, finite = run([SCRIPTS / "without_compiler.py"], ROOT, NUMBA_DISABLE_JIT="1").splitlines()
    assert error.endswith("numba compiles nothing, since NUMBA_DISABLE_JIT is set")
    assert finite == "True"
