"""The sandbox: hostile programs are contained, and the verdict is right."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hostile_programs import HONEST, HOSTILE

from tinygrad_llm.evals.sandbox import Limits, containment, run as sandbox, run_program, seccomp

if sys.platform != "linux":
    pytest.skip("the kernel's protections are those of Linux", allow_module_level=True)

NAMESPACES = ("namespaces", "mounts")
# As on this machine, and as on machines whose kernel, container or user allows less.
MACHINES = {
    "this machine": (),
    "no namespaces": NAMESPACES,
    "no filter of calls": ("seccomp",),
    "a filter of calls alone": (*NAMESPACES, "landlock"),
    "limits alone": tuple(sandbox.PROTECTIONS),
}
ALWAYS = {
    "endless loop", "a daemon, forked twice", "folders without end", "folders that cannot be read",
    "folders made unreadable by their mask", "leaves links to a folder behind", "exits at once",
    "removes its own folder", "copies every descriptor to every other", "a list that grows",
}  # fmt: skip
"""Programs that are contained without any help of the kernel, and are tried without it too."""
TIMEOUT = 1.0


def active(machine):
    """The protections that programs have on such a machine."""
    return set(sandbox.PROTECTIONS) - set(sandbox._missing(MACHINES[machine]))


def contained(program, machine):
    """Whether the machine has what contains this program."""
    return not program.by or bool(set(program.by.split()) & active(machine))


def chosen(machine):
    """The programs that say something about a machine: on the first, all."""
    if machine == "this machine":
        return [p for p in HOSTILE if contained(p, machine)]
    return [p for p in HOSTILE if p.name in ALWAYS or (p.by and contained(p, machine))]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What hostile programs are after: files, a process, sockets, a secret; and where they run."""
    folder, programs = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("programs")
    outside = folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (outside / "secret").write_text("private")
    abstract = f"test-of-a-sandbox-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unnamed,
        socket.socket(socket.AF_UNIX) as named,
        open(outside / "secret", "rb") as secret,
        subprocess.Popen(["sleep", "600"], env={"TEST_SECRET": "private"}) as victim,
    ):
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        unnamed.bind(f"\0{abstract}")
        here = os.getcwd()
        os.chdir(outside)
        named.bind("socket")  # a short path: those of sockets are limited
        os.chdir(here)
        sockets = [tcp, udp, unnamed, named]
        for each in sockets:
            each.setblocking(False)
            if each is not udp:
                each.listen()
        os.set_inheritable(secret.fileno(), True)
        names = {
            "outside": outside, "victim": victim.pid, "port": port, "abstract": abstract,
            "fd": secret.fileno(),
        }  # fmt: skip
        before = tempfile.tempdir
        tempfile.tempdir = str(programs)
        os.environ["TEST_SECRET"] = "private"
        yield SimpleNamespace(
            names=names, outside=outside, programs=programs, victim=victim, sockets=sockets,
            state=state(outside / "precious"), results={},
        )  # fmt: skip
        del os.environ["TEST_SECRET"]
        tempfile.tempdir = before
        victim.kill()


def state(path):
    """What a program could have changed of a file, without opening it."""
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_nlink, found.st_mtime_ns


def verdicts(world, machine):
    """Name -> verdict of all programs on a machine, which run once, some at a time."""
    if machine not in world.results:
        programs = chosen(machine)
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(
                lambda p: run_program(source(p, world), TIMEOUT, without=MACHINES[machine]),
                programs,
            )
            world.results[machine] = {p.name: v for p, v in zip(programs, found, strict=True)}
    return world.results[machine]


def source(program, world):
    text = program.source
    return text.format(**world.names) if "{" in text else text


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("program", HOSTILE, ids=lambda p: p.name)
def test_a_hostile_program_fails(world, program, machine):
    if not contained(program, machine):
        pytest.skip(f"needs {' or '.join(program.by.split())}")
    if program not in chosen(machine):
        return  # what contains it does not depend on the machine
    verdict = verdicts(world, machine)[program.name]
    assert re.fullmatch(program.verdict, verdict), verdict


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_outside_has_changed(world, machine):
    verdicts(world, machine)
    precious = world.outside / "precious"
    assert sorted(p.name for p in world.outside.iterdir()) == ["precious", "secret", "socket"]
    assert precious.read_text() == "mine" and state(precious) == world.state
    assert world.victim.poll() is None, "the victim is dead"
    assert Path(f"/proc/{world.victim.pid}/stat").read_text().split()[2] in "SR"
    for each in world.sockets:
        with pytest.raises(BlockingIOError):
            each.recv(1) if each.type == socket.SOCK_DGRAM else each.accept()


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_is_left_behind(world, machine):
    verdicts(world, machine)
    assert list(world.programs.iterdir()) == []
    assert processes_of(world.programs) == []
    assert not Path("/dev/shm", world.names["abstract"]).exists()


def processes_of(programs):
    """The processes whose environment names the folder of the programs."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(programs) in (path / "environ").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_the_caller_goes_on(world, machine):
    verdicts(world, machine)
    assert run_program("assert 1 + 1 == 2", 30, without=MACHINES[machine]) == "passed"


def test_there_are_many_hostile_programs():
    assert len(HOSTILE) >= 30 and len({p.name for p in HOSTILE}) == len(HOSTILE)
    assert {p.name for p in HOSTILE} >= ALWAYS


def test_the_page_lists_them_all():
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    listed = re.findall(r"^\| (.+?) \| (.+?) \|", page[page.index("| program |") :], re.M)[2:]
    expected = [(p.name, p.by.replace(" ", ", ") or "limits") for p in HOSTILE]
    assert listed == expected


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_gets_its_verdict(name):
    source, expected = HONEST[name]
    if name == "numbers" and "PYTHONPATH" in os.environ:
        pytest.skip("NumPy may be on PYTHONPATH, which programs do not inherit")
    verdict = run_program(source, 30)
    assert re.fullmatch(expected, verdict), verdict


def test_sets_have_the_same_order_each_time():
    shown = "print({'a', 'b', 'c', 'd', 'e'})"
    expected = subprocess.run(
        [sys.executable, "-c", shown], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True
    ).stdout.strip()
    program = f"assert str({{'a', 'b', 'c', 'd', 'e'}}) == {expected!r}"
    assert "a" in expected and run_program(program, 30) == "passed"


def test_the_time_of_starting_does_not_count():
    """The clock starts with the program, so a busy machine does not fail it."""
    assert run_program("pass", 0.05) in ("passed", "timed out")
    assert run_program("import time\ntime.sleep(0.2)", 0.1) == "timed out"


def test_limits_are_those_that_were_asked_for():
    assert run_program("bytearray(300 << 20)", 30) == "passed"
    assert (
        run_program("bytearray(300 << 20)", 30, Limits(memory=200 << 20)) == "failed: MemoryError"
    )
    verdict = run_program("print('x' * 50, flush=True)", 30, Limits(output=10))
    assert verdict == "failed: it printed more than 10 bytes"


def test_what_is_missing_is_said():
    lines = containment(tuple(sandbox.PROTECTIONS))
    assert all("MISSING (switched off)" in line for line in lines[:5])
    network, files = lines[5:]
    assert network == "Programs can reach the network."
    assert files.startswith("Programs can change the user's files")
    assert not any("network." in line for line in containment(NAMESPACES)[5:]) or (
        "seccomp" not in active("no namespaces")
    )


def test_a_killed_caller_takes_its_program_along(tmp_path):
    code = (
        "from tinygrad_llm.evals.sandbox import run_program\nrun_program('while True: pass', 600)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as caller:
        wait_until(lambda: len(processes_of(tmp_path / "tinygrad-llm-program-")) > 1)
        caller.send_signal(signal.SIGKILL)
        caller.wait()
        wait_until(lambda: processes_of(tmp_path / "tinygrad-llm-program-") == [])


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_whose_caller_is_dead_already_does_not_run(monkeypatch, tmp_path, machine):
    """The supervisor is told of another caller than the process that is its parent."""
    monkeypatch.setattr(sandbox.os, "getpid", lambda: -1)
    out = tmp_path / "ran"
    with pytest.raises(RuntimeError, match="the sandbox has failed: its caller is dead"):
        run_program(f"open({str(out)!r}, 'w').write('x')", 30, without=MACHINES[machine])
    assert not out.exists()


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("machine", ("x86_64", "aarch64"))
def test_the_filter_has_a_number_for_each_call(machine):
    program = seccomp.instructions(machine, 42)
    column = 0 if machine == "x86_64" else 1
    numbers = [numbers[column] for _, *numbers in seccomp.denied()]
    known = [n for n in numbers if n >= 0]
    assert len(known) == len(set(known)) > 60
    assert sum(1 for code, *_, k in program if code == 0x15 and k in known) >= len(known)


def test_a_processor_without_a_list_is_named():
    with pytest.raises(seccomp.UnknownMachine, match="no list of system calls for riscv64"):
        seccomp.instructions("riscv64", 42)


def test_a_tree_is_removed_without_following_links(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("mine")
    tree = tmp_path / "tree"
    deep = tree / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "l").symlink_to(tmp_path / "outside")
    (tree / "dangling").symlink_to("nowhere")
    (deep / "f").write_text("x")
    deep.chmod(0)
    sandbox.remove_tree(str(tree))
    assert not tree.exists() and (tmp_path / "outside" / "f").read_text() == "mine"
