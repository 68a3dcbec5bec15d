"""Graphs of 100,000 operations: nothing walks or frees them by recursion.

Each runs in its own process, since a stack overflow ends a process without an exception.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "scripts" / "long_chain.py"


@pytest.mark.parametrize(
    "what, n",
    [
        ("backward", 100_000),
        ("dropped", 100_000),
        ("dropped_views", 100_000),
        ("dropped_after_use", 100_000),
        ("recorded_backward", 20_000),
        ("recomputed", 100_000),
        ("many_segments", 20_000),
        ("functional_grad", 100_000),
    ],
)
def test_a_long_chain(what, n):
    done = subprocess.run(
        [sys.executable, PROGRAM, what, str(n)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
