"""``run_program``: a program in a process of its own, confined by all that the kernel offers.

docs/sandbox.md says what is contained, and what is not.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError

PROTECTIONS = {
    "namespaces": "no network, and no other processes in sight",
    "mounts": "all file systems read-only, but for a small one in memory",
    "landlock": "files outside the working directory are not changed, few are read",
    "privileges": "no capabilities",
    "seccomp": "no sockets, one process, no signals to others",
}
"""Name of a protection -> what it adds."""
_HERE = Path(__file__).parent
_SLACK = 60.0
"""Seconds, beyond a program's own, after which the supervisor itself must be stuck."""


@dataclass(frozen=True)
class Limits:
    """What a program may use. Sizes are in bytes."""

    memory: int = 1 << 30
    """Address space."""
    file_size: int = 1 << 24
    """Of each file."""
    disk: int = 1 << 26
    """Of all files, where the working directory is mounted for the program."""
    open_files: int = 64
    processes: int = 64
    """Threads; without seccomp, processes too."""
    output: int = 1 << 20
    """Of standard output and standard error together."""


def run_program(
    source: str,
    timeout: float = 3.0,
    limits: Limits | None = None,
    *,
    without: Collection[str] = (),
) -> str:
    """Run a Python program; whether it reaches its end without an exception.

    timeout: in seconds, from the moment that the program begins; its CPU time may be a second or
    two more, if it has threads. without: names of PROTECTIONS that are left out, for tests.

    Returns "passed", "timed out", or "failed: ..." with the reason. A program that exits is not one
    that reaches its end. Raises UserError where programs cannot be run, and RuntimeError if the
    sandbox itself fails.
    """
    return _run(source, timeout, limits or Limits(), without)["verdict"]


def containment(without: Collection[str] = ()) -> list[str]:
    """What confines programs on this machine, and what is missing: a line each."""
    missing = _missing(tuple(without))
    lines = [
        f"{name:<10}  " + (f"MISSING ({missing[name]}): {what}" if name in missing else what)
        for name, what in PROTECTIONS.items()
    ]
    if {"namespaces", "seccomp"} <= missing.keys():
        lines.append("Programs can reach the network.")
    if {"mounts", "landlock"} <= missing.keys():
        lines.append("Programs can change the user's files, and read the memory of processes.")
    return lines


@cache
def _missing(without: tuple[str, ...]) -> dict[str, str]:
    return _run("", 30.0, Limits(), without)["missing"]


def _run(source: str, timeout: float, limits: Limits, without: Collection[str]) -> dict[str, Any]:
    """The verdict of a program, and the protections that were missing."""
    if not hasattr(os, "fork"):
        raise UserError("programs can be run on Linux and macOS only: this system has no fork")
    work = tempfile.mkdtemp(prefix="tinygrad-llm-program-")
    try:
        request = {
            "source": source, "timeout": timeout, "work": os.path.realpath(work),
            "without": list(without), "caller": os.getpid(), **asdict(limits),
        }  # fmt: skip
        return _supervised(json.dumps(request).encode(), timeout)
    finally:
        remove_tree(work)


def _supervised(request: bytes, timeout: float) -> dict[str, Any]:
    work = json.loads(request)["work"]
    environment = {
        "PATH": os.defpath, "HOME": work, "TMPDIR": work, "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same order of sets each time
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1",
    }  # fmt: skip
    supervisor = subprocess.Popen(
        [sys.executable, "-P", "-s", "-B", str(_HERE)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, cwd="/", start_new_session=True,
    )  # fmt: skip
    try:
        answer, errors = supervisor.communicate(request, timeout + _SLACK)
    except subprocess.TimeoutExpired:
        return {"verdict": "timed out", "missing": {}}
    finally:
        if supervisor.poll() is None:
            os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.communicate()
    if supervisor.returncode < 0:
        name = signal.Signals(-supervisor.returncode).name
        return {"verdict": f"failed: its supervisor was killed by {name}", "missing": {}}
    if supervisor.returncode:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the sandbox has failed: {last}")
    return json.loads(answer)


def remove_tree(path: str) -> None:
    """Remove a directory whatever is in it: levels without end, read-only ones, links.

    Directories are moved up to the top before they are emptied, so nothing here is recursive and no
    path is long. Links are removed and not followed. No process may be writing there.
    """
    try:
        os.chmod(path, 0o700)
    except FileNotFoundError:  # the program has removed it
        return
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    number = 0
    while names := os.listdir(top):
        for name in names:
            if not _open_folder(name, top):
                os.unlink(name, dir_fd=top)
                continue
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            for child in os.listdir(inside):
                if _open_folder(child, inside):
                    number += 1
                    moved = f"{os.path.basename(path)}-{number}"
                    os.rename(child, moved, src_dir_fd=inside, dst_dir_fd=top)
                else:
                    os.unlink(child, dir_fd=inside)
            os.close(inside)
            os.rmdir(name, dir_fd=top)
    os.close(top)
    os.rmdir(path)


def _open_folder(name: str, parent: int) -> bool:
    """Whether this is a directory; then its owner may do anything with it."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    os.chmod(name, 0o700, dir_fd=parent)
    return True
