"""The process that runs one program and watches it: ``python -P -s -B .../evals/sandbox``.

It imports nothing of the package, so that it starts in milliseconds. It reads a request (JSON) from
its standard input, and writes to its standard output what the program came to.

    caller --- supervisor -+- init     the first process of a namespace: if it dies, all in it die
                           +- program  confined; starts when everything below has been done

How the supervisor knows that the program has reached its end. The program's process writes a random
number of its own, the nonce, to the pipe "report", runs the program, and then writes the nonce
again and the token: a random number that the supervisor has put into another pipe, which the
process reads only now. A program passes if the report is exactly nonce, nonce, token, and the exit
code is 0. So neither printing nor any way of exiting counts, and what a program finds in memory or
in its descriptors, or writes to all of them, is not a report.

What remains possible. The program shares its process with the code that reports its end. One that
was written against this very file can take the nonce from the frame of ``_run``, the token from its
pipe, and report an end that it has not reached. No report from inside a process is proof against
it, as no test in the same process is proof against an object that equals everything.
"""

import json
import math
import os
import resource
import secrets
import selectors
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_llm.evals.sandbox import kernel, seccomp
elif sys.platform == "linux":  # this folder is the first in sys.path
    kernel, seccomp = import_module("kernel"), import_module("seccomp")
else:
    kernel = seccomp = None

REPORT, TOKEN = 3, 4
"""Descriptors of the program's process, after standard input, output and error."""
START = 30.0
"""Seconds in which a program's process must begin, however busy the machine is."""
POLL = 0.005

Missing = dict[str, str]
"""Name of a protection that this machine lacks -> the reason."""


class Protections:
    """Applies protections one by one, and remembers which are missing."""

    def __init__(self, without: list[str]) -> None:
        self.missing: Missing = dict.fromkeys(without, "switched off")

    def apply(self, name: str, function: Callable[..., None], *arguments: Any) -> bool:
        """Whether the protection is there now."""
        if kernel is None:
            self.missing.setdefault(name, "only Linux has it")
        elif name not in self.missing:
            try:
                function(*arguments)
            except OSError as error:
                self.missing[name] = error.strerror or str(error)
        return name not in self.missing


# --- the supervisor ---------------------------------------------------------------------------


def supervise(request: dict[str, Any]) -> dict[str, Any]:
    """Run the program of a request; returns its verdict, and the protections that are missing."""
    protections = Protections(request["without"])
    protections.apply("privileges", lambda: None)
    if kernel is not None:
        kernel.adopt_orphans()
    request["threads"] = 0
    init = None
    if protections.apply("namespaces", lambda: kernel.enter_namespaces()):
        size = request["disk"]
        protections.apply("mounts", lambda: kernel.make_read_only(request["work"], size))
        init = _fork_init()
    else:
        protections.missing.setdefault("mounts", "there are no namespaces")
        request["threads"] = _threads_of_user()
    if kernel is not None:
        kernel.die_with_parent()
    if os.getppid() != request["caller"]:  # it died before that: nobody waits for a verdict
        if init is not None:
            os.kill(init, signal.SIGKILL)
        raise SystemExit("its caller is dead")
    supervisor = os.getpid() if init is None else 0  # as another namespace of processes sees it
    pipes = [os.pipe() for _ in range(4)]  # output, errors, report, token
    process = os.fork()
    if process == 0:
        _become_program(request | {"supervisor": supervisor}, protections, pipes)
    token = secrets.token_hex(32).encode()  # after the fork: not in the program's memory
    os.write(pipes[3][1], token)
    for descriptor in (*(write for _, write in pipes), pipes[3][0]):
        os.close(descriptor)
    watch = _Watch(process, [pipes[i][0] for i in range(3)], request)
    watch.wait()
    _kill_all(process, init)
    watch.drain()
    return watch.verdict(token)


def _fork_init() -> int:
    """The first process of the new namespace of processes; it only waits.

    When this returns, it dies with this process.
    """
    read, write = os.pipe()
    init = os.fork()
    if init == 0:
        kernel.die_with_parent()
        os.setsid()
        os.closerange(0, 64)  # the pipe, too
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans leave no zombies
        while True:
            signal.pause()
    os.close(write)
    os.read(read, 1)  # until it is closed there
    os.close(read)
    return init


def _threads_of_user() -> int:
    """How many threads the user has, in all processes: what RLIMIT_NPROC counts."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            if os.stat(f"/proc/{name}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:  # it has just ended
            continue
    return count


class _Watch:
    """Reads what the program writes, and waits until it ends or breaks a limit."""

    def __init__(self, process: int, descriptors: list[int], request: dict[str, Any]) -> None:
        self.process, self.request = process, request
        self.errors, self.report, self.printed = b"", b"", 0
        self.problem: str | None = None
        self.ended: tuple[int, float] | None = None  # status, seconds of CPU
        self.output, self.error_pipe, self.report_pipe = descriptors
        self.selector = selectors.DefaultSelector()
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ)

    def wait(self) -> None:
        """Until the program has ended, or ``problem`` says why it must."""
        deadline, running = time.monotonic() + START, False
        while self.ended is None and self.problem is None:
            self._read(POLL)
            if not running and self.report:
                deadline, running = time.monotonic() + self.request["timeout"], True
            self._look(os.WNOHANG)
            self._check_output()
            if self.ended is None and self.problem is None and time.monotonic() >= deadline:
                self.problem = "timed out"
        if self.ended is None:
            os.kill(self.process, signal.SIGKILL)
            self._look(0)

    def drain(self) -> None:
        """Read what is left in the pipes, whose writers are all dead."""
        while self._read(0):
            pass
        self._check_output()

    def _check_output(self) -> None:
        if self.problem is None and self.printed > self.request["output"]:
            self.problem = f"failed: it printed more than {self.request['output']:,} bytes"

    def _look(self, options: int) -> None:
        process, status, usage = os.wait4(self.process, options)
        if process and self.ended is None:
            self.ended = status, usage.ru_utime + usage.ru_stime

    def _read(self, timeout: float) -> bool:
        found = False
        for key, _ in self.selector.select(timeout) if self.selector.get_map() else ():
            data = os.read(key.fd, 1 << 16)
            if not data:
                self.selector.unregister(key.fd)
            elif key.fd == self.report_pipe:
                self.report = (self.report + data)[: 1 << 16]
            else:
                self.printed += len(data)
                if key.fd == self.error_pipe:
                    self.errors = (self.errors + data)[-4000:]
            found = True
        return found

    def verdict(self, token: bytes) -> dict[str, Any]:
        """What the program came to. Raises OSError if it did not begin."""
        assert self.ended is not None
        status, cpu = self.ended
        first, _, report = self.report.partition(b"\n")
        if not first.endswith(b"}"):
            raise OSError(f"no program could be started: {_last_line(self.errors) or status}")
        start = json.loads(first)
        nonce = start["nonce"].encode()
        code = os.waitstatus_to_exitcode(status)
        if self.problem is not None:
            verdict = self.problem
        elif code == -signal.SIGKILL and cpu >= _cpu_limit(self.request) - 0.1:
            verdict = "timed out"
        elif code < 0:
            verdict = f"failed: it was killed by {signal.Signals(-code).name}"
        elif code == 0 and report == nonce + token:
            verdict = "passed"
        elif report:
            verdict = "failed: it has written to the pipe of the verdict"
        else:
            last = _last_line(self.errors) if code == 1 else ""
            verdict = f"failed: {last or f'it left with code {code} before its end'}"
        return {"verdict": verdict, "missing": start["missing"]}


def _last_line(errors: bytes) -> str:
    """The last line that says something, in characters that any terminal can show."""
    lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    text = lines[-1].strip() if lines else ""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _kill_all(process: int, init: int | None) -> None:
    """Kill what the program has left behind, and reap it."""
    if init is not None:
        os.kill(init, signal.SIGKILL)  # takes everything in its namespace with it
        os.waitpid(init, 0)
        return
    try:
        os.killpg(process, signal.SIGKILL)  # at once, so that no fork escapes
    except OSError:
        pass
    while True:  # those that left the group: orphans, whose parent is now this process
        for child in _children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """The children of this process, zombies too."""
    children, me = [], str(os.getpid())
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if parent == me:
            children.append(int(name))
    return children


# --- the program's process --------------------------------------------------------------------


def _become_program(
    request: dict[str, Any], protections: Protections, pipes: list[tuple[int, int]]
) -> None:
    """Confine this process, which has just been forked, and run the program. Does not return."""
    leave, show = os._exit, sys.excepthook
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        kept = [nothing, *(write for _, write in pipes[:3]), pipes[3][0]]
        high = [os.dup2(descriptor, 64 + i) for i, descriptor in enumerate(kept)]
        for target, descriptor in enumerate(high):
            os.dup2(descriptor, target)
        os.closerange(len(kept), 128)
        os.umask(0o077)
        os.chdir(request["work"])
        _set_limits(request)
        _confine(request, protections)
        _run(request["source"], protections.missing)
    except BaseException:
        show(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        leave(1)


def _cpu_limit(request: dict[str, Any]) -> int:
    """In seconds; the kernel counts whole ones."""
    return math.ceil(request["timeout"]) + 1


def _set_limits(request: dict[str, Any]) -> None:
    """Limits that the kernel keeps: soft and hard, so that the process cannot raise them."""
    for name, value in (
        ("CPU", _cpu_limit(request)),
        ("AS", request["memory"]),
        ("FSIZE", request["file_size"]),
        ("NOFILE", request["open_files"]),
        ("NPROC", request["threads"] + request["processes"]),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
    ):
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):
            if sys.platform == "linux":
                raise


def _confine(request: dict[str, Any], protections: Protections) -> None:
    readable = [path for path in {*sys.path, sys.prefix, sys.base_prefix} if path]
    if kernel is not None:
        kernel.die_with_parent()
    if os.getppid() != request["supervisor"]:  # it died before that
        os._exit(1)
    protections.apply("privileges", lambda: kernel.drop_privileges())
    protections.apply("landlock", lambda: kernel.restrict_files(request["work"], readable))
    protections.apply("seccomp", lambda: seccomp.install())
    for name in ("kernel", "seccomp"):
        sys.modules.pop(name, None)


def _run(source: str, missing: Missing) -> None:
    """Run the program and report its end. An exception leaves this function, whose frame then has
    no line left that a trace function could jump to."""
    write, read, leave = os.write, os.read, os._exit
    nonce = secrets.token_hex(32)
    start = json.dumps({"nonce": nonce, "missing": missing})
    write(REPORT, start.encode() + b"\n")
    code = compile(source, "<program>", "exec", dont_inherit=True)
    module = sys.modules["__main__"] = ModuleType("__main__")
    exec(code, module.__dict__)
    write(REPORT, nonce.encode() + read(TOKEN, 64))
    leave(0)


if __name__ == "__main__":
    del sys.path[0]  # this folder: not for the program
    answer = supervise(json.loads(sys.stdin.buffer.read()))
    sys.stdout.write(json.dumps(answer))
