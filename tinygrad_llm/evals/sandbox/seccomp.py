"""The system calls that a program may not make: a filter in the kernel's bytecode (BPF).

The kernel runs a filter before each system call of a process, and nothing can take it away again.
It needs no privileges and works in most containers. With it a program stays one process with
threads, so limits on a process are limits on the program; it has no sockets, so no network; and it
sends signals to no process but itself.

The filter is a list of instructions over this record (linux/seccomp.h):

    offset 0    number of the call
    offset 4    architecture
    offset 16   arguments, 8 bytes each, the low half first
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# The name of a call, and its numbers on x86_64 and on aarch64 ("-": it has none).
_DENIED = """
fork 57 -                 vfork 58 -                 execve 59 221              execveat 322 281
socket 41 198             io_uring_setup 425 425     tkill 200 130              rt_sigqueueinfo 129 138
rt_tgsigqueueinfo 297 240 pidfd_open 434 434         pidfd_send_signal 424 424  pidfd_getfd 438 438
ptrace 101 117            process_vm_readv 310 270   process_vm_writev 311 271  process_madvise 440 440
kcmp 312 272              perf_event_open 298 241    bpf 321 280                userfaultfd 323 282
unshare 272 97            setns 308 268              mount 165 40               umount2 166 39
pivot_root 155 41         chroot 161 51              open_tree 428 428          move_mount 429 429
fsopen 430 430            fsconfig 431 431           fsmount 432 432            mount_setattr 442 442
keyctl 250 219            add_key 248 217            request_key 249 218        personality 135 92
chmod 90 -                fchmod 91 52               fchmodat 268 53            fchmodat2 452 452
chown 92 -                fchown 93 55               lchown 94 -                fchownat 260 54
utime 132 -               utimes 235 -               futimesat 261 -            utimensat 280 88
setxattr 188 5            lsetxattr 189 6            fsetxattr 190 7            setxattrat 463 463
removexattr 197 14        lremovexattr 198 15        fremovexattr 199 16        removexattrat 466 466
shmget 29 194             msgget 68 186              semget 64 190              mq_open 240 180
memfd_create 319 279      memfd_secret 447 447       setpriority 141 140        ioprio_set 251 30
sched_setparam 142 118    sched_setscheduler 144 119 sched_setattr 314 274      sched_setaffinity 203 122
migrate_pages 256 238     move_pages 279 239         landlock_restrict_self 446 446
"""  # noqa: E501
_CLONE, _CLONE3, _KILL, _TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
_PRLIMIT, _FCNTL, _PRCTL = (302, 261), (72, 25), (157, 167)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24

_CLONE_THREAD, _F_SETOWN, _F_SETOWN_EX, _PR_SET_PDEATHSIG = 0x10000, 8, 15, 1
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if the comparison holds and if it does not, constant."""


class UnknownMachine(OSError):
    """There is no table of system calls for this processor."""


def denied() -> list[tuple[str, int, int]]:
    """The name and both numbers of each call that is refused whatever its arguments; -1: none."""
    words = _DENIED.split()
    triples = zip(words[::3], words[1::3], words[2::3], strict=True)
    return [(name, *(-1 if n == "-" else int(n) for n in numbers)) for name, *numbers in triples]  # type: ignore[misc]


def instructions(machine: str, process: int) -> list[Instruction]:
    """The filter for the process with this id. Raises UnknownMachine."""
    if sys.byteorder != "little" or machine not in _MACHINES:
        raise UnknownMachine(f"there is no list of system calls for {machine}")
    column, architecture = _MACHINES[machine]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":  # the same calls once more, under other numbers
        program += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL_PROCESS)]
    for _, *numbers in denied():
        if numbers[column] >= 0:
            program += _if_number(numbers[column], [(_RETURN, 0, 0, _EPERM)])
    # the flags of clone3 lie in memory, which a filter cannot read; glibc then takes clone
    program += _if_number(_CLONE3[column], [(_RETURN, 0, 0, _ENOSYS)])
    program += _if_argument(_CLONE[column], _ARGUMENT_0, (_ANY_BIT, 1, 0, _CLONE_THREAD))
    for call in (_KILL, _TGKILL):
        program += _if_argument(call[column], _ARGUMENT_0, (_EQUAL, 1, 0, process))
    allowed_ids = [(_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, process)]  # 0: the caller itself
    program += _if_argument(_PRLIMIT[column], _ARGUMENT_0, *allowed_ids)
    for command in (_F_SETOWN, _F_SETOWN_EX):  # who receives a signal when there is input
        program += _if_argument(_FCNTL[column], _ARGUMENT_1, (_EQUAL, 0, 1, command))
    program += _if_argument(_PRCTL[column], _ARGUMENT_0, (_EQUAL, 0, 1, _PR_SET_PDEATHSIG))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _if_number(number: int, body: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(body), number), *body]


def _if_argument(number: int, argument: int, *tests: Instruction) -> list[Instruction]:
    """Refuse a call unless a test jumps over the refusal, which follows the last one."""
    refusal = (_RETURN, 0, 0, _EPERM)
    return _if_number(number, [(_LOAD, 0, 0, argument), *tests, refusal, (_LOAD, 0, 0, _NUMBER)])


def install() -> None:
    """Filter the calls of this thread and of all that it starts. Raises OSError.

    The process must have given up new privileges (PR_SET_NO_NEW_PRIVS).
    """
    program = instructions(platform.machine(), os.getpid())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("=H6xQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")
