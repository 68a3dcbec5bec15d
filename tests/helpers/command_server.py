"""Runs the command line many times, each in a process of its own, with something going wrong.

A process that imports all of it takes longer than a tiny run, so one process (this file as a
script) imports everything once and forks for each command. What goes wrong is a ``fault``:

    {"kind": "kill", "at": n}       the process ends before its n-th file operation, as by SIGKILL
    {"kind": "torn", "at": n}       the same, but where the operation opens a file for writing, the
                                    file is there by then, and empty
    {"kind": "full", "at": n}       from the n-th on, whatever takes space fails: the disk is full
    {"kind": "long", "bytes": n}    no file may be longer than n bytes (the system sees to it)
    {"kind": "signal", "at": n, "numbers": [2, 15]}
                                    signals, each 1,000 function calls after the last, from the
                                    n-th call on; with "ignored": true, Ctrl-C is ignored
                                    when the command starts, as under nohup

File operations are those in the folders ``watched`` that change something: Python's audit events
name them before they happen, so what is tested needs no change. ``kill`` also counts os.fsync.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLED = 137
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
TAKES_SPACE = ("open", "os.mkdir", "os.fsync")


class CommandServer:
    """A context manager; ``run`` runs one command."""

    def __enter__(self):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *exc_info):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, argv, folder, cache, fault=None, plot=False):
        """Run a command in ``folder``: {"code", "log", "operations", "calls"}.

        ``operations`` names the file operations in ``folder`` and ``cache`` in order (it is empty
        where the process was killed), ``calls`` counts the function calls if they were counted.
        The plot is drawn with ``plot``; otherwise a few bytes stand for it, which is quicker.
        """
        request = {"argv": argv, "folder": str(folder), "cache": str(cache), "fault": fault or {}}
        request["plot"] = plot
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# --- the server ----------------------------------------------------------------------------------


def serve():
    # pytest may have been started with the signal ignored, and a child inherits that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare()
    for line in sys.stdin:
        request = json.loads(line)
        output, report = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            work(request, output[1], report[1])
        os.close(output[1])
        os.close(report[1])
        with os.fdopen(output[0], "rb") as log, os.fdopen(report[0], "rb") as more:
            answer = {"log": log.read().decode(errors="replace"), "operations": []}
            answer |= json.loads(more.read() or b"{}")
        answer["code"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps(answer), flush=True)


def prepare():
    """Import what a command would, and keep the measurement of the machine's speed short."""
    import importlib

    names = ["train", "generate", "tokenizer", "data", "info", "finetune", "pipeline"]
    for name in [*names, *(f"finetune_{kind}" for kind in finetune_kinds())]:
        importlib.import_module(f"tinygrad_llm.commands.{name}")
    from tinygrad_llm import cli
    from tinygrad_llm.commands import finish, session

    importlib.import_module("autograd.kernels._disk_cache")  # and numba with it
    cli.parse(["finetune", "sft", "model", "--data", "file"])  # tyro imports and remembers much

    with tempfile.TemporaryDirectory() as folder:  # imports matplotlib, and has it find its fonts
        finish.plot_loss([{"step": 1, "train_loss": 1.0}], Path(folder, "loss.png"))
    session.gemm_limit = lambda: 1e9


def finetune_kinds():
    from tinygrad_llm.commands.finetune_kinds import KINDS

    return KINDS


def work(request, output, write):
    """In the child: run the command and end the process."""
    from autograd import use_kernels
    from tinygrad_llm.__main__ import program
    from tinygrad_llm.commands import finish
    from tinygrad_llm.finetune import confusion, curves

    if not request["plot"]:
        finish.plot_loss = lambda metrics, path, title: finish_plot(path)
        curves.picture = confusion.picture = lambda *_, **__: b"a picture"
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    # the server's streams take what they write to for what it was
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
    os.chdir(request["folder"])
    os.environ["TINYGRAD_LLM_CACHE"] = request["cache"]
    sys.argv = ["tinygrad-llm", *request["argv"]]
    operations, calls, fault = [], [0], request["fault"]
    watch([request["folder"], request["cache"]], operations, fault)
    if fault.get("ignored"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if fault.get("kind") == "signal":
        send_signals(fault, calls)
    code = 1
    try:
        with use_kernels("reference"):  # nothing to compile, and no threads that fork would lose
            program()
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(write, json.dumps({"operations": operations, "calls": calls[0]}).encode())
        os._exit(code)


def finish_plot(path):
    from tinygrad_llm.files import write_atomically

    write_atomically(path, b"a picture")


def watch(folders, operations, fault):
    """Record every file operation in the folders, and let the fault happen at its turn."""
    kind, at = fault.get("kind"), fault.get("at")
    if kind == "long":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["bytes"], fault["bytes"]))
    folders = [os.path.realpath(folder) for folder in folders]
    busy = False

    def happen(event, name, flags=0):
        operations.append(f"{event} {name}")
        if kind in ("kill", "torn") and len(operations) > at:
            if kind == "torn" and flags & (os.O_TRUNC | os.O_CREAT):
                os.open(name, flags, 0o644)
            os._exit(KILLED)
        if kind == "full" and len(operations) > at and event in TAKES_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def hook(event, args):
        nonlocal busy
        if busy or (event != "open" and event not in CHANGES) or not args:
            return
        busy = True
        try:
            flags = args[2] or 0 if event == "open" else 0
            if event == "open" and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            if isinstance(args[0], int):  # an open file, of which this is not the first operation
                return
            name = os.fsdecode(args[0])
            relative = event in ("os.remove", "os.rmdir") and args[-1] != -1  # relative to a folder
            if relative or any(os.path.abspath(name).startswith(f + os.sep) for f in folders):
                happen(event, name, flags)
        finally:
            busy = False

    real = os.fsync

    def fsync(descriptor):
        happen("os.fsync", "")
        real(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)


def send_signals(fault, calls):
    numbers = list(fault["numbers"])

    def profile(frame, event, argument):
        if event == "call":
            calls[0] += 1
            if numbers and calls[0] >= fault["at"] + 1000 * (len(fault["numbers"]) - len(numbers)):
                os.kill(os.getpid(), numbers.pop(0))

    sys.setprofile(profile)


if __name__ == "__main__":
    serve()
