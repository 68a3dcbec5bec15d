"""Workers: the engines that a benchmark compares, each in a process of its own.

Each engine has its own interpreter, libraries and threads, and stays alive; the benchmark asks them
in turn, so that a busy moment of the machine affects all of them alike. Questions and answers are
lines of JSON on standard input and output. Anything that a library prints goes to a log, whose end
is shown if the process dies.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.1  # seconds between turns: the last engine's threads spin for a while, then sleep


def use_project():
    """Make the packages of this checkout importable, whether or not they are installed."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def use_project_as_command():
    """``use_project``, and set up the process like the command line's: before NumPy is imported."""
    use_project()
    from tinygrad_llm.machine.process import keep_freed_memory, let_blas_sleep

    let_blas_sleep()
    keep_freed_memory()


class Ended(Exception):
    """A worker's process ended without an answer."""


class Worker:
    """A process that runs ``script`` and answers questions. ``hello`` is its first message.

    ``hello`` is {"missing": why} if a library that it needs is not installed.
    """

    def __init__(self, script, *arguments, interpreter=sys.executable, environment=None):
        environment = {**os.environ, **(environment or {})}
        if interpreter != sys.executable:
            environment.pop("PYTHONPATH", None)  # it may lead to this project's autograd
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self.process = subprocess.Popen(
            [interpreter, str(script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        try:
            self.hello = self._answer()
        except BaseException:
            self.stop()
            raise

    @property
    def missing(self):
        """Why this worker cannot take part, or None."""
        return self.hello.get("missing")

    def ask(self, **question):
        """The answer to a question, asked after a pause in which other processes come to rest."""
        time.sleep(PAUSE)
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        raise Ended(" | ".join(lines[-3:]) or "its process ended without a message")

    def stop(self):
        """End the process and wait for it."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def serve(prepare):
    """Be a worker: ``prepare()`` returns the first message and a function that answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer

    def say(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        hello, answer = prepare()
    except ImportError as error:
        say({"missing": str(error)})
        return
    say(hello)
    for line in sys.stdin:
        say(answer(**json.loads(line)))


def interpreters(parser, named, known):
    """``ENGINE=PATH`` options as a dictionary; this interpreter for all others."""
    paths = dict.fromkeys(known, sys.executable)
    for peer in named:
        name, _, path = peer.partition("=")
        if name not in paths or not path:
            parser.error(f"--peer-python {peer}: give one of {', '.join(paths)}, then = and a path")
        paths[name] = path
    return paths
