# ruff: noqa: E501
"""Programs that try to break out of the sandbox, to do harm in it, or to fake their verdict.

Each reaches its end, and so would pass, only if its attack succeeds. The placeholders:

    {outside}   a folder of the user with the files "precious" and "secret", and a socket
    {victim}    a process of the user        {port}      a TCP and UDP port on which a test listens
    {abstract}  an abstract Unix socket      {fd}        a descriptor that the caller has open
"""

from typing import NamedTuple


class Hostile(NamedTuple):
    """by: the protections of which one suffices; none means limits and supervisor. verdict: what it
    must match."""

    name: str
    by: str
    verdict: str
    source: str


FAILED, TIMED_OUT, STOPPED = "failed: .+", "timed out", "timed out|failed: .+"
_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

_ALL = [
    # --- time
    ("endless loop", "", TIMED_OUT, "while True: pass"),
    ("endless loop inside one instruction", "", TIMED_OUT, "sum(iter(int, 1))"),
    ("a regular expression without end", "", TIMED_OUT, "import re\nre.match('(a+)+$', 'a' * 60 + 'b')"),
    ("sleep", "", TIMED_OUT, "import time\ntime.sleep(1000)"),
    ("catches every exception", "", TIMED_OUT,
     "while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
    ("ignores every signal", "", TIMED_OUT, """
import signal
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
while True: pass"""),
    ("busy threads that never end", "", TIMED_OUT, """
import threading
def spin():
    while True: pass
for _ in range(4): threading.Thread(target=spin).start()
threading.Event().wait()"""),
    ("stops itself", "", TIMED_OUT, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
    ("opens a pipe without a writer", "", TIMED_OUT, "import os\nos.mkfifo('f')\nopen('f')"),
    ("raises its limits", "", FAILED, """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))"""),
    ("a session of its own", "", STOPPED, "import os\nos.setsid()\nwhile True: pass"),
    # --- memory
    ("one huge object", "", "failed: MemoryError", "bytearray(1 << 40)"),
    ("a list that grows", "", "timed out|failed: MemoryError", "x = [0]\nwhile True: x += x"),
    ("goes on after MemoryError", "", STOPPED,
     "x = []\nwhile True:\n    try: x.append(bytearray(1 << 24))\n    except MemoryError: pass"),
    ("memory outside its address space", "seccomp", FAILED,
     "import os\nfor i in range(9): os.write(os.memfd_create('x'), bytes(1 << 23))"),
    ("shared memory that outlives it", "seccomp namespaces", FAILED,
     _LIBC + "assert libc.shmget(0x7e57, 4096, 0o1600) >= 0\nassert os.path.exists('/proc/1/root')"),
    ("deep recursion", "", "failed: RecursionError.*", "def f(): f()\nf()"),
    ("deep recursion without Python's limit", "", FAILED, """
import sys
sys.setrecursionlimit(10**9)
class A:
    def __getattr__(self, name): return getattr(self, name + 'a')
A().a
x = []
for _ in range(10**6): x = [x]
repr(x)"""),
    ("an expression nested too deeply", "", FAILED, "(" * 100_000 + ")" * 100_000),
    ("reads address 0", "", "failed: it was killed by SIGSEGV", "import ctypes\nctypes.string_at(0)"),
    # --- output
    ("endless output", "", "failed: it printed more than .*", "while True: print('x' * 1000)"),
    ("endless errors", "", "failed: it printed more than .*",
     "import sys\nwhile True: print('x' * 1000, file=sys.stderr)"),
    ("an endless line to the pipe of the verdict", "", STOPPED,
     "import os\nwhile True: os.write(3, bytes(9999))"),
    # --- processes
    ("fork bomb", "seccomp", FAILED,
     "import os\nwhile True: os.fork()"),
    ("a daemon, forked twice", "", FAILED, """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1)
        open('{outside}/daemon', 'w')
        while True: time.sleep(1)
    os._exit(0)
time.sleep(0.2)
assert False, 'a daemon is running'"""),
    ("a shell", "seccomp landlock", FAILED,
     "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'], check=True)"),
    ("becomes another program", "", FAILED, "import os\nos.execv('/bin/true', ['true'])"),
    ("a pool of processes", "seccomp", FAILED,
     "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()"),
    ("threads without end", "", FAILED, """
import threading, time
while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"""),
    # --- signals
    ("kills its parent", "seccomp namespaces landlock", FAILED, "import os\nos.kill(os.getppid(), 9)"),
    ("kills a process of the user", "seccomp namespaces landlock", FAILED, "import os\nos.kill({victim}, 9)"),
    ("signals everything", "seccomp namespaces", FAILED, "import os\nos.kill(-1, 0)"),
    ("signals its group", "seccomp", FAILED, "import os\nos.killpg(0, 0)"),
    ("has the kernel send a signal", "seccomp namespaces landlock", FAILED, """
import fcntl, os
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, {victim})
fcntl.fcntl(r, 10, 9)  # F_SETSIG
fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(w, b'x')
os.kill({victim}, 0)"""),
    ("signals through a descriptor of a process", "seccomp namespaces landlock", FAILED,
     "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({victim}), 9)"),
    ("limits another process", "seccomp namespaces", FAILED,
     "import resource as r\nr.prlimit({victim}, r.RLIMIT_NOFILE, (1, 1))"),
    ("slows another process down", "seccomp namespaces", FAILED,
     "import os\nos.setpriority(os.PRIO_PROCESS, {victim}, 19)"),
    ("debugs another process", "seccomp namespaces landlock", FAILED,
     _LIBC + "assert libc.ptrace(16, {victim}, 0, 0) == 0"),
    ("reads another process's memory", "mounts landlock", FAILED,
     "open('/proc/{victim}/maps').read()\nopen('/proc/{victim}/mem', 'rb')"),
    # --- what it can see
    ("reads the caller's environment", "", FAILED, "import os\nos.environ['TEST_SECRET']"),
    ("reads another process's environment", "mounts landlock", FAILED,
     "assert b'TEST_SECRET' in open('/proc/{victim}/environ', 'rb').read()"),
    ("reads the caller's descriptors", "", FAILED, """
import os
found = b''
for fd in [*range(128), {fd}]:
    try:
        os.set_blocking(fd, False)
        found += os.read(fd, 1000)
    except OSError: pass
assert b'private' in found"""),
    ("lists all processes", "mounts landlock", FAILED,
     "import os\nassert any(name.isdigit() for name in os.listdir('/proc'))"),
    ("reads the user's files", "landlock", FAILED, "open('{outside}/secret').read()"),
    # --- files
    ("overwrites a file", "mounts landlock", FAILED, "open('{outside}/precious', 'w').write('x')"),
    ("deletes a file", "mounts landlock", FAILED, "import os\nos.remove('{outside}/precious')"),
    ("renames a file", "mounts landlock", FAILED,
     "import os\nos.rename('{outside}/precious', '{outside}/gone')"),
    ("deletes a folder", "mounts landlock", FAILED, "import shutil\nshutil.rmtree('{outside}')"),
    ("writes through a symbolic link", "mounts landlock", FAILED,
     "import os\nos.symlink('{outside}/precious', 'l')\nopen('l', 'w').write('x')"),
    ("writes through a path with ..", "mounts landlock", FAILED,
     "open('../../../../../../../..{outside}/precious', 'w').write('x')"),
    ("writes through a hard link", "mounts landlock", FAILED,
     "import os\nos.link('{outside}/precious', 'l')\nopen('l', 'w').write('x')"),
    ("changes a file's mode", "mounts seccomp", FAILED,
     "import os\nos.chmod('{outside}/precious', 0o777)"),
    ("changes a file's time", "mounts seccomp", FAILED,
     "import os\nos.utime('{outside}/precious', (1, 1))"),
    ("shared memory as a file", "mounts landlock", FAILED,
     "open('/dev/shm/{abstract}', 'x').write('x')"),
    ("leaves links to a folder behind", "", FAILED,
     "import os\nos.symlink('{outside}', 'l')\nassert False"),
    ("one huge file", "", "failed: OSError.*",
     "f = open('f', 'wb')\nwhile True: f.write(bytes(1 << 20))"),
    ("many large files", "mounts", "failed: OSError.*",
     "for i in range(9): open(str(i), 'wb').write(bytes(1 << 23))"),
    ("many files", "mounts", "failed: OSError.*", "for i in range(9999): open(str(i), 'w').close()"),
    ("folders without end", "", STOPPED, """
import os
for _ in range(300):
    os.mkdir('x' * 200)
    os.chdir('x' * 200)
assert False"""),
    ("folders that cannot be read", "", FAILED, """
import os
os.makedirs('a/b/c')
open('a/b/c/f', 'w')
for path in ('a/b/c', 'a/b', 'a', '.'): os.chmod(path, 0)
assert False"""),
    ("folders made unreadable by their mask", "", FAILED, """
import os
os.umask(0o777)
os.mkdir('a')
os.mkdir('b')
assert False"""),
    ("removes its own folder", "", FAILED,
     "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nassert False"),
    ("a module of its own in place of one of Python's", "", FAILED, """
open('colorsys.py', 'w').write('fake = 1')
import colorsys
colorsys.fake"""),
    ("a device", "landlock seccomp privileges mounts", FAILED,
     "import os, stat\nos.mknod('d', 0o600 | stat.S_IFBLK, os.makedev(7, 0))\nopen('d')"),
    # --- network
    ("TCP", "seccomp namespaces landlock", FAILED,
     "import socket\nsocket.create_connection(('127.0.0.1', {port}))"),
    ("UDP", "seccomp namespaces", FAILED, """
import socket
socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))"""),
    ("listens on a port", "seccomp landlock", FAILED,
     "import socket\nsocket.create_server(('', 0))\nassert False"),
    ("an abstract Unix socket", "seccomp namespaces landlock", FAILED,
     "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{abstract}')"),
    ("a Unix socket in a folder", "seccomp", FAILED,
     "import socket\nsocket.socket(socket.AF_UNIX).connect('{outside}/socket')"),
    # --- privileges
    ("becomes root", "privileges", FAILED, "import os\nos.setuid(0)\nos.seteuid(0)\nos.setgroups([])"),
    ("changes its root", "privileges seccomp", FAILED, "import os\nos.chroot('.')"),
    ("mounts", "privileges seccomp", FAILED, _LIBC + "assert libc.mount(b'x', b'.', b'tmpfs', 0, 0) == 0"),
    ("a namespace of its own", "seccomp", FAILED, _LIBC + "assert libc.unshare(0x10000000) == 0"),
    ("takes the filter away", "seccomp", FAILED,
     _LIBC + "libc.prctl(22, 0, 0, 0, 0)\nlibc.prctl(38, 0, 0, 0, 0)\nos.fork()"),
    # --- the verdict
    ("prints a verdict", "", "failed: AssertionError: passed",
     "import sys\nprint('passed')\nprint('passed', file=sys.stderr)\nassert False, 'passed'"),
    ("exits", "", "failed: SystemExit: 0", "import sys\nsys.exit(0)"),
    ("exits at once", "", "failed: it left with code 0 before its end", "import os\nos._exit(0)"),
    ("exits with code 0 after its error", "", FAILED,
     "import atexit, os\natexit.register(os._exit, 0)\nassert False"),
    ("exits when its error is shown", "", FAILED,
     "import os, sys\nsys.excepthook = lambda *_: os._exit(0)\nassert False"),
    ("exits when its error becomes text", "", FAILED, """
import os
class E(Exception):
    def __str__(self): os._exit(0)
raise E"""),
    ("exits when an object dies", "", FAILED, """
import os
class A:
    def __del__(self): os._exit(0)
a = A()
del a"""),
    ("exits from another thread", "", FAILED,
     "import os, threading, time\nthreading.Thread(target=os._exit, args=(0,)).start()\ntime.sleep(9)"),
    ("exits at an alarm", "", FAILED, """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.05)
while True: pass"""),
    ("replaces built-in functions", "", FAILED, """
import builtins, os, sys
builtins.AssertionError = builtins.exec = builtins.compile = lambda *a, **k: None
os._exit = os.write = sys.exit = lambda *a: None
assert False"""),
    ("replaces the main module", "", FAILED,
     "import sys\nfor name in list(sys.modules): sys.modules[name] = None\nassert False"),
    ("closes its descriptors", "", FAILED, "import os\nos.closerange(0, 999)"),
    ("writes a verdict to every descriptor", "", "failed: it has written to the pipe of the verdict", """
import os
for fd in range(3, 64):
    try: os.write(fd, b'passed')
    except OSError: pass
os._exit(0)"""),
    ("copies every descriptor to every other", "", FAILED, """
import os
found = []
for fd in range(64):
    try:
        os.set_blocking(fd, False)
        found.append(os.read(fd, 1000))
    except OSError: pass
for data in filter(None, found):
    for fd in range(3, 64):
        try: os.write(fd, data)
        except OSError: pass
os._exit(0)"""),
    ("writes all secrets in memory to every descriptor", "", FAILED, """
import gc, os
texts = {{x for o in gc.get_objects() for x in gc.get_referents(o) if isinstance(x, (str, bytes))}}
for x in [x.encode() if isinstance(x, str) else x for x in texts if len(x) in (64, 128)]:
    for fd in range(3, 9):
        try: os.write(fd, x)
        except OSError: pass
os._exit(0)"""),
    ("writes its callers' variables to the pipe", "", FAILED, """
import os, sys
frame = sys._getframe()
while frame := frame.f_back:
    for value in frame.f_locals.values():
        if isinstance(value, str) and len(value) == 64: os.write(3, value.encode())
os._exit(0)"""),
    ("has its callers jump over the error", "", FAILED, """
import dis, sys
def tracer(frame, event, argument):
    lines = sorted({{line for _, line in dis.findlinestarts(frame.f_code)}})
    if frame.f_lineno < lines[-2]:
        try: frame.f_lineno = lines[-2]  # the report; the last line exits
        except ValueError: pass
    return tracer
sys.settrace(tracer)
frame = sys._getframe()
while frame := frame.f_back: frame.f_trace = tracer
assert False"""),
]  # fmt: skip

HOSTILE = [Hostile(*row) for row in _ALL]

# Name -> program, and what its verdict must match.
HONEST = {
    "nothing": ("", "passed"),
    "a test that holds": ("def f(x): return x + 1\nassert f(1) == 2", "passed"),
    "the main module": (
        "here = 1\nimport __main__\nassert __name__ == '__main__' and __main__.here == 1", "passed"),
    "a class that is pickled": (
        "import pickle\nclass A: x = 1\nassert pickle.loads(pickle.dumps(A())).x == 1", "passed"),
    "threads that end": (
        "import threading as t\nx = []\na = [t.Thread(target=x.append, args='x') for _ in range(20)]\n"
        "for b in a: b.start()\nfor b in a: b.join()\nassert len(x) == 20", "passed"),
    "asyncio": ("import asyncio\nasyncio.run(asyncio.sleep(0.01))", "passed"),
    "files of its own": (
        "import os, tempfile\nopen('f', 'w').write('x')\nassert os.listdir() == ['f']\nos.remove('f')\n"
        "with tempfile.TemporaryDirectory() as d: open(d + '/f', 'w').write('x')", "passed"),
    "much output": ("print('x' * 900_000)", "passed"),
    "numbers": ("import numpy as np\nassert (np.eye(99) @ np.eye(99)).sum() == 99", "passed"),
    "its own time limit": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\nsignal.alarm(1)", "passed"),
    "a handled exit": ("import sys\ntry: sys.exit(1)\nexcept SystemExit: pass", "passed"),
    "a test that does not hold": ("assert 1 + 1 == 3", "failed: AssertionError"),
    "an exception": ("{}['x']", "failed: KeyError: 'x'"),
    "not Python": ("def f(:", "failed: SyntaxError: invalid syntax"),
    "a null byte": ("x = '\0'", "failed: (Syntax|Value)Error: source code string cannot contain null bytes"),
    "half a character": ("x = '\ud800'", "failed: UnicodeEncodeError: .*"),
    "input": ("input()", "failed: EOFError: EOF when reading a line"),
    "its own exit code": ("import os\nos._exit(3)", "failed: it left with code 3 before its end"),
}  # fmt: skip
