"""Compiled kernels on disk: used again, checked before they are loaded, made anew when damaged."""

import hashlib
import os
import pickle
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import autograd
from autograd import Tensor, ops, use_kernels
from autograd.kernels import _disk_cache, _numba

ROOT = Path(autograd.__file__).parents[1]
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="file owners are POSIX's")


def add_two(x):
    for i in range(x.size):
        x[i] += 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the kernels of this test are kept: an empty folder."""
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    _disk_cache._say.cache_clear()
    _disk_cache._sweep.cache_clear()
    return tmp_path / "cache" / _disk_cache.FOLDER


def compiled(*, hits, expect=None):
    """Run a new process's first call of a kernel; whether it came from the disk, and what is said.

    A new dispatcher knows as little as a new process.
    """
    function = _numba.jit(add_two)
    x = np.zeros(3)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        function(x)
    np.testing.assert_array_equal(x, [2, 2, 2])
    assert sum(function.stats.cache_hits.values()) == hits
    sentences = [str(w.message) for w in told]
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
    """A pickle with the right checksum runs code: only the owner of the file can have put it."""
    compiled(hits=0)
    entry = the_entry(folder)
    payload = pickle.dumps(Intruder(tmp_path / "ran"))
    entry.write_bytes(hashlib.sha256(payload).digest() + payload)
    (entry if who == "file" else folder).chmod(0o777)
    compiled(hits=0, expect="others can write")
    assert not (tmp_path / "ran").exists()
    # compiling has replaced it; with the intruder as the owner's own file it would have run
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


def test_a_folder_that_cannot_be_made_costs_a_compilation_and_is_told(folder):
    folder.parent.parent.joinpath("cache").write_text("a file stands in the way")
    compiled(hits=0, expect="cannot be kept")


def test_without_a_home_folder_nothing_is_kept(folder, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", "~no-such-user/cache")
    compiled(hits=0, expect="set TINYGRAD_LLM_CACHE to a folder that can be written")
    assert not Path("~no-such-user").exists()


def test_a_full_disk_costs_a_compilation_and_is_told(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    compiled(hits=0, expect="No space left on device")
    assert list(folder.iterdir()) == []  # nothing half written stays


def test_what_no_process_uses_is_deleted_in_time(folder):
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


def test_what_another_process_has_just_renamed_is_no_error(folder, monkeypatch):
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


def test_a_function_without_a_file_is_not_kept(folder):
    names = {"__name__": "__main__"}
    exec("def fill(x):\n    x[:] = 5\n", names)  # as typed in at the prompt
    x = np.zeros(3)
    _numba.jit(names["fill"])(x)
    np.testing.assert_array_equal(x, [5, 5, 5])
    assert not folder.exists()


def test_every_file_with_compiled_code_is_in_the_key():
    kernels = Path(_numba.__file__).parent
    users = [p for p in kernels.rglob("*.py") if "@jit" in p.read_text(encoding="utf-8")]
    assert len(users) > 8 and set(users) <= set(_numba._sources())


def run(code, folder, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_edit_to_a_helper_is_noticed(folder, tmp_path):
    source = Path(_numba.__file__).read_text(encoding="utf-8")
    helper = "\n\n@jit\ndef helper(x):\n    return x + {}\n"
    (tmp_path / "shared.py").write_text(source + helper.format("1.0"), encoding="utf-8")
    (tmp_path / "kernel.py").write_text(
        textwrap.dedent("""
            from shared import helper, jit

            @jit
            def fill(x):
                for i in range(x.size):
                    x[i] = helper(x[i])
        """),
        encoding="utf-8",
    )
    code = "import kernel, numpy as np; x = np.zeros(3); kernel.fill(x); print(x[0])"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    assert run(code, tmp_path, PYTHONPATH=paths) == "1.0"
    assert list(folder.glob("kernel.fill-*")), "the kernel was not kept on disk"
    (tmp_path / "shared.py").write_text(source + helper.format("2.0"), encoding="utf-8")
    assert run(code, tmp_path, PYTHONPATH=paths) == "2.0"


STEP = """
    import hashlib
    import numpy as np
    from autograd import Parameter, no_grad, ops
    from tinygrad_llm.config import GPTConfig
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.training.optim import AdamW, global_norm

    model = GPT(GPTConfig(vocab_size=300, block_size=192, n_layer=1, n_head=2, n_embd=64), seed=1)
    x, y = np.random.default_rng(0).integers(0, 300, (2, 4, 192))
    if {forward_only}:
        with no_grad():
            model.next_token_logits(x)
    else:
        optimizer = AdamW(model.named_parameters())
        model.loss(x, y).backward()
        optimizer.step(grad_scale=1 / global_norm(model.parameters()))
        bits = hashlib.sha256()
        for p in model.parameters():
            bits.update(p.data.tobytes() + p.grad.data.tobytes())
        print(bits.hexdigest())
"""


def test_the_process_that_compiles_has_the_bits_of_the_next(tmp_path, monkeypatch):
    """Whatever has been compiled before, and by whom: one training step, after three histories."""
    found = []
    for cache, steps in (("a", (False, False)), ("b", (True, False))):
        monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / cache))
        for forward_only in steps:
            told = run(STEP.format(forward_only=forward_only), tmp_path, PYTHONPATH=str(ROOT))
            found += [told] if told else []
    assert len(found) == 3 and len(set(found)) == 1, found


def test_nothing_compiled_lies_beside_the_sources(folder, tmp_path):
    """There it would outlive the package, and hide the next installation of it."""
    code = """
        import numpy as np
        from autograd import Tensor, ops
        ops.softmax(Tensor(np.ones((2, 3))))
    """
    before = set(ROOT.rglob("autograd/**/*.nb?"))
    run(code, tmp_path, PYTHONPATH=str(ROOT))
    assert set(ROOT.rglob("autograd/**/*.nb?")) == before
    assert list(folder.glob("softmax.cpu._forward-*"))


def test_without_numbas_compiler_the_references_run(tmp_path):
    code = """
        import numpy as np
        from autograd import Parameter, Tensor, ops, use_kernels
        x = Parameter(np.arange(6.0).reshape(2, 3))
        y = ops.gelu(ops.layer_norm(ops.softmax(x), np.ones(3), np.zeros(3)))
        y.backward(np.ones((2, 3)))
        try:
            with use_kernels("cpu"):
                ops.softmax(x)
        except RuntimeError as error:
            print(error)
        from tinygrad_llm.training.optim import AdamW
        AdamW([x]).step()
        print(np.isfinite(x.data).all())
    """
    told = run(code, tmp_path, PYTHONPATH=str(ROOT), NUMBA_DISABLE_JIT="1")
    assert told.splitlines()[0].endswith("numba compiles nothing, since NUMBA_DISABLE_JIT is set")
    assert told.splitlines()[1] == "True"


@pytest.mark.parametrize("name", ["sched_getaffinity", "sched_setaffinity"])
def test_kernels_run_where_the_system_refuses_to_place_threads(monkeypatch, name):
    if not hasattr(os, name):
        pytest.skip("threads are not placed on this system")

    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(_numba, "n_threads", lambda: 3)
    monkeypatch.setattr(_numba, "_team", [])  # helpers that have not been placed
    x = np.ones((1024, 300), np.float32)
    np.testing.assert_allclose(ops.gelu(Tensor(x)).data, 0.8413447, rtol=1e-6)


def test_kernels_run_where_no_more_threads_can_be_started(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_numba.threading.Thread, "start", refuse)
    monkeypatch.setattr(_numba, "n_threads", lambda: 3)
    monkeypatch.setattr(_numba, "_team", [])
    x = np.ones((1024, 300), np.float32)
    with use_kernels("cpu"):
        np.testing.assert_allclose(ops.gelu(Tensor(x)).data, 0.8413447, rtol=1e-6)
