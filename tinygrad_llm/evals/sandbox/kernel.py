"""What Linux offers to confine a process, each as one function. They raise OSError where the kernel
does not have it or does not allow it.

    namespaces   the process sees no network, no other processes and none of their shared memory
    mounts       every file system is read-only; the working directory is new, small and in memory
    landlock     files outside the working directory cannot be changed, and few can be read
    privileges   no capability of root is left, and no program can give one back

seccomp.py has the fifth.
"""

import ctypes
import os
import struct
from collections.abc import Sequence

_LIBC = ctypes.CDLL(None, use_errno=True)

# Namespaces (sched.h): mounts, host name, System V objects, users, processes, network.
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
)  # fmt: skip
_NOBODY = 65534
# Flags of mounts, and the system call mount_setattr (the same number on every processor).
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REC, _PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
# prctl
_PDEATHSIG, _CAPBSET_DROP, _SUBREAPER, _NO_NEW_PRIVS = 1, 24, 36, 38
# Landlock (linux/landlock.h)
_CREATE, _ADD, _RESTRICT, _PATH_BENEATH, _VERSION = 444, 445, 446, 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_EXECUTE, _MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK, _IOCTL = 1 << 0, 1 << 6, 1 << 9, 1 << 11, 1 << 15
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of Landlock -> how many rights on files it knows; later ones know 16."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/lib32",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",
)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _prctl(option: int, value: int) -> None:
    arguments = (ctypes.c_ulong(n) for n in (value, 0, 0, 0))
    _checked(_LIBC.prctl(option, *arguments), f"prctl {option}")


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    converted = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return _LIBC.syscall(ctypes.c_long(number), *converted)


def die_with_parent() -> None:
    """Be killed when the parent dies, however it dies."""
    _prctl(_PDEATHSIG, 9)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has died."""
    _prctl(_SUBREAPER, 1)


def enter_namespaces() -> None:
    """Leave the namespaces of the system; that of processes begins with the next child.

    Inside, the user has the id of the account "nobody"; outside it is the same user as before, with
    the rights to their files. An ordinary user needs a namespace of users to make the others; root
    can do without it.
    """
    user, group = os.geteuid(), os.getegid()
    flags = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    if _LIBC.unshare(flags | _NEWUSER):
        _checked(_LIBC.unshare(flags), "unshare")
        return
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{_NOBODY} {user} 1"),
        ("gid_map", f"{_NOBODY} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def make_read_only(work: str, size: int) -> None:
    """Make every file system read-only, mount a new one of ``size`` bytes at ``work``, hide /proc.

    Only inside namespaces.
    """
    _mount(None, "/", None, _REC | _PRIVATE)
    attributes = struct.pack("=4Q", _RDONLY | _NOSUID, 0, 0, 0)
    result = _syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes))
    _checked(result, "mount_setattr")
    _mount(b"tmpfs", "/proc", b"size=4k,nr_inodes=1", _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    options = f"size={size},nr_inodes=4096,mode=700".encode()
    _mount(b"tmpfs", work, options, _NOSUID | _NODEV | _NOEXEC)


def _mount(kind: bytes | None, target: str, options: bytes | None, flags: int) -> None:
    result = _LIBC.mount(kind, os.fsencode(target), kind, ctypes.c_ulong(flags), options)
    _checked(result, f"mount {target}")


def drop_privileges() -> None:
    """Give up every capability, in this process and in whatever it might execute."""
    _prctl(_NO_NEW_PRIVS, 1)
    for capability in range(64):
        try:
            _prctl(_CAPBSET_DROP, capability)
        except OSError:  # no more of them, or none to give up
            break
    header = struct.pack("=Ii", 0x20080522, 0)
    _checked(_LIBC.capset(header, bytes(24)), "capset")


def restrict_files(work: str, readable: Sequence[str]) -> None:
    """Landlock: change files only in ``work``, read them there, in ``readable``, in /usr and so on.

    Nothing can be executed, and no device or socket can be made. From its version 6 on, signals and
    abstract sockets do not leave the process either. Needs drop_privileges.
    """
    version = _checked(_syscall(_CREATE, None, 0, _VERSION), "Landlock")
    files = (1 << _RIGHTS.get(version, 16)) - 1
    handled = struct.pack("=3Q", files, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _checked(_syscall(_CREATE, handled[:size], size, 0), "Landlock")
    never = _EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _IOCTL
    reading = _READ_FILE | _READ_DIR
    for path, rights in (
        (work, files & ~never),
        *((path, reading) for path in (*_SYSTEM, *readable)),
        *((path, _READ_FILE | _WRITE_FILE) for path in _DEVICES),
    ):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # this system has no such path
            continue
        if not os.path.isdir(path):
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = struct.pack("=Qi", rights & files, descriptor)
        _checked(_syscall(_ADD, rules, _PATH_BENEATH, rule, 0), f"Landlock, {path}")
        os.close(descriptor)
    _checked(_syscall(_RESTRICT, rules, 0), "Landlock")
    os.close(rules)
