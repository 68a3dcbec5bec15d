"""Ctrl-C and SIGTERM in the program as a process: while it imports, works, and shuts down."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from caches import new_cache

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def run_program(folder, argv, before, ignored=False):
    """The program in a process of its own, which first runs the line ``before``."""
    code = (
        "import atexit, os, signal, sys, weakref\n"
        "kill = lambda number: os.kill(os.getpid(), number)\n"
        f"sys.argv = ['tinygrad-llm', *{argv!r}]\n"
        "from tinygrad_llm.__main__ import program\n"
        f"{before}\n"
        "program()\n"
    )
    environment = {**os.environ, "TINYGRAD_LLM_CACHE": new_cache(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

    def signals():
        usual = signal.SIG_IGN if ignored else signal.SIG_DFL
        signal.signal(signal.SIGINT, usual)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, preexec_fn=signals,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    return done


AT_IMPORT = """
seen = []
def hook(event, arguments):
    if event == "import":
        seen.append(arguments[0])
        if len(seen) in {moments}:
            kill({number})
sys.addaudithook(hook)
"""


@pytest.mark.parametrize(
    "moments, number, code",
    [([1], 2, 130), ([300], 15, 143), ([600], 2, 130), ([500, 501], 2, 130)],
)
def test_while_importing(tmp_path, moments, number, code):
    before = AT_IMPORT.format(moments=moments, number=number)
    done = run_program(tmp_path, ["info"], before)
    assert done.returncode == code


@pytest.mark.soak
def test_at_every_import(tmp_path):
    for moment in range(1, 1500, 7):
        done = run_program(tmp_path, ["info"], AT_IMPORT.format(moments=[moment], number=2))
        if not done.returncode:
            assert moment > 300
            break
        assert done.returncode == 130, (moment, done.stderr)


def test_while_shutting_down(tmp_path):
    report = "lambda: print(signal.getsignal(2) is signal.SIG_IGN, flush=True)"
    before = f"atexit.register({report})\natexit.register(kill, 2)"
    done = run_program(tmp_path, ["--version"], before)
    assert done.returncode == 0 and done.stdout.startswith("tinygrad-llm ")
    assert done.stdout.endswith("True\n")


@pytest.mark.parametrize("after", ["time.sleep(10)", "raise RuntimeError('no callback')"])
def test_where_python_drops_exceptions(tmp_path, after):
    # The callback of a weak reference cannot raise: the signal would be lost. What depends on a
    # callback may fail before the signal comes again, as numba does while it compiles.
    before = (
        "import time, tinygrad_llm.cli as cli\n"
        "def main():\n"
        "    class Thing: pass\n"
        "    thing = Thing()\n"
        "    watch = weakref.ref(thing, lambda _: kill(2))\n"
        "    del thing\n"
        f"    {after}\n"
        "    print('lost')\n"
        "cli.main = main\n"
    )
    done = run_program(tmp_path, ["info"], before)
    assert (done.returncode, done.stdout) == (130, "")


def test_ignored_at_the_start(tmp_path):
    before = AT_IMPORT.format(moments=[1, 2, 300], number=2)
    done = run_program(tmp_path, ["--version"], before, ignored=True)
    assert done.returncode == 0 and done.stdout
