"""The benchmark of the overhead per op runs, and its engines compute the same (no timing here)."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "benchmarks" / "op_overhead.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--turns", "1", "--seconds", "0.001", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_it_runs_and_names_what_is_missing():
    done = run()
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ours \(numpy \S+\) +\d+\.\d\d \[", done.stdout, re.M), done.stdout
    for name in ("torch", "jax", "hips"):
        assert re.search(rf"^{name}(: skipped, | \()", done.stdout, re.M), name
    assert re.search(r"^Python \d.* cores, BLAS core type .*, one thread each$", done.stdout, re.M)
    assert re.search(
        r"^chain: \d+\.\d\d microseconds per op \(target: at most 3.0\)$", done.stdout, re.M
    )


def test_a_wrong_peer_is_refused():
    done = run("--peer-python", "caffe=/usr/bin/python")
    assert done.returncode == 2 and "give one of ours, torch, jax, hips" in done.stderr
