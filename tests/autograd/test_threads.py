"""Threads, tasks and forks, each in its own process, since a mistake there ends the process.

Every program of tests/scripts/threads prints "done" at its end; after a crash, a deadlock or a
failed assertion it does not.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from leaves import leaf

from autograd import grad, ops

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "scripts" / "threads"


def run(program, **environment):
    environment = {
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "2",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers"))),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", PROGRAMS / program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1:] == ["done"], done.stdout + done.stderr


def test_kernels_in_two_threads_are_those_of_one():
    run("networks_in_two_threads.py")


def test_kernels_in_three_threads_with_threads_in_blas():
    run("networks_with_blas_threads.py", OPENBLAS_NUM_THREADS="2")


def test_the_first_kernel_of_a_process_in_two_threads(tmp_path):
    run("first_kernel.py", TINYGRAD_LLM_CACHE=str(tmp_path))  # an empty cache: both compile


def test_threads_that_share_parameters_by_grad():
    run("shared_parameters.py")


def test_threads_that_add_into_one_grad_lose_nothing():
    run("one_grad.py")


def test_two_threads_through_one_graph():
    run("one_graph.py")


def test_second_derivatives_in_two_threads():
    run("second_derivatives.py")


def test_modes_stay_in_their_thread():
    run("modes.py")


def test_a_decorated_function_and_generator_in_two_threads():
    run("decorated_functions.py")


def test_modes_stay_in_their_task():
    run("tasks.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_other_threads_compute():
    run("fork.py")


def test_two_threads_build_and_differentiate_at_once():
    results = {}

    def work(seed):
        x = leaf(50, seed=seed)
        for _ in range(50):
            y = ops.tanh(x)
            for _ in range(10):
                y = ops.sin(y) * y
            (g,) = grad(y.sum(), x)
        results[seed] = g.data

    threads = [threading.Thread(target=work, args=(s,)) for s in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in (1, 2):
        concurrent = results[seed].copy()
        work(seed)
        np.testing.assert_array_equal(results[seed], concurrent)
