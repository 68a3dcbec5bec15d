"""Compiled kernels on disk, so that the next process need not compile them again.

numba has such a cache, next to the source files. There it outlives the package when that is
uninstalled, and its folder then hides a newer installation. And if one of its files is emptied or
damaged, every later process ends with EOFError or a crash until the file is deleted. This one:

- It is the folder ``kernels`` in the user's cache folder (``TINYGRAD_LLM_CACHE``).
- An entry is one file, named by a hash of everything that determines its content: the sources, the
  types of the arguments, the processor, the versions. It is written under another name and then
  renamed, and never changed. There is no index.
- An entry begins with the sha256 of the rest. If that does not match, the entry is deleted and the
  function compiled again, with a warning of one line.
- numba stores a compiled function as a pickle, which can run code when it is read. So a file is
  read only if it belongs to this user and no one else can write to it.
"""

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import re
import secrets
import shutil
import stat
import sys
import time
import warnings
from pathlib import Path

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, _Cache
from numba.core.serialize import dumps

from autograd._cache_folder import VARIABLE, cache_folder

FOLDER = "kernels"
PARTIAL = ".partial-"
DIGEST = hashlib.sha256().digest_size
UNUSED = 60 * 24 * 3600
"""Seconds after which an entry that no process has read is deleted."""
ABANDONED = 3600
"""Seconds after which a file that is still half written must be left from a dead process."""


_to_tell: list = []


@contextlib.contextmanager
def before_compiling(tell):
    """Call ``tell()`` before the first kernel that is compiled inside the ``with`` statement.

    Never, if all that is needed can be loaded. This is for a message to the person who waits.
    """
    _to_tell.append(tell)
    try:
        yield
    finally:
        if tell in _to_tell:
            _to_tell.remove(tell)


class DiskCache(_Cache):
    """The compiled versions of one function; numba's dispatcher calls load and save.

    ``helpers`` is a hash of the other files whose functions it may call.
    """

    def __init__(self, function, helpers):
        name = f"{function.__module__.rpartition('kernels.')[2]}.{function.__qualname__}"
        self._name = re.sub(r"[^\w.]+", "_", name)
        source = inspect.getsourcefile(function)
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
        self._determines = (
            function.__module__,
            function.__qualname__,
            function.__code__.co_code,
            dumps(closure) if closure else b"",
            _file_hash(source),
            helpers,
            sys.implementation.cache_tag,
            numba.__version__,
            llvmlite.__version__,
        )
        self._form = _Form()
        self._enabled = _file_hash(source) is not None  # None: typed at the prompt

    @property
    def cache_path(self):
        return str(_folder() or "")

    def load_overload(self, signature, target_context):
        """The compiled function for these types, or None."""
        target_context.refresh()  # numba's part of the contract
        path = self._path(signature, target_context.codegen()) if self._enabled else None
        payload = None if path is None else _read(path)
        if payload is None:
            while _to_tell:
                _to_tell.pop()()
            return None
        return self._form.rebuild(target_context, pickle.loads(payload))

    def save_overload(self, signature, compiled):
        if self._enabled and self._form.check_cachable(compiled):
            path = self._path(signature, compiled.codegen)
            if path is not None:
                _write(path, dumps(self._form.reduce(compiled)))

    def _path(self, signature, codegen):
        """The file of the function compiled for these types; None if there is no folder."""
        folder = _folder()
        if folder is None:
            return None
        parts = (*self._determines, str(signature), codegen.magic_tuple())
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()
        return folder / f"{self._name}-{digest[:40]}"

    def enable(self):
        self._enabled = True

    def disable(self):
        self._enabled = False

    def flush(self):
        """Nothing to do: after an edit the function has other names on the disk."""


class _Form(CompileResultCacheImpl):
    """numba's pickle of a compiled function, without numba's search for a folder."""

    def __init__(self):
        pass

    def check_cachable(self, compiled):
        return not compiled.lifted and not compiled.library.has_dynamic_globals


def _folder():
    """The folder of all compiled kernels; None if the cache folder has no valid name."""
    try:
        return cache_folder() / FOLDER
    except ValueError as error:
        _say(f"{error}: until then every process compiles the kernels again")
        return None


@functools.cache
def _file_hash(path):
    """sha256 of a source file, None if there is no file."""
    if path is None or not os.path.isfile(path):
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _read(path):
    """The payload of the entry at ``path``; None if there is none that can be trusted."""
    try:
        if not _is_ours(os.stat(path.parent)) or not _is_ours(os.stat(path)):
            _say(
                f"the compiled kernels in {path.parent} are not used, since others can write "
                "there: every process compiles its own until only you can write to the folder and "
                f"its files (chmod -R go-w), or {VARIABLE} names another folder"
            )
            return None
        content = b"" if path.is_dir() else path.read_bytes()
        if time.time() - path.stat().st_mtime > UNUSED / 10:
            os.utime(path)  # it is in use
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _say(f"the compiled kernel {path} cannot be read ({error.strerror}): compiling it again")
        return None
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        _say(f"the compiled kernel {path} was damaged: deleting it and compiling again")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return None
    return content[DIGEST:]


def _write(path, payload):
    """Write an entry to ``path``. If that fails, the next process compiles again, and that is all.

    There is no fsync: if a crash leaves the entry damaged, ``_read`` notices.
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _sweep(path.parent)
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        _say(
            f"compiled kernels cannot be stored in {path.parent} ({error.strerror}): every process "
            f"compiles them again until they can, or {VARIABLE} names another folder"
        )


@functools.cache  # once per process and folder
def _sweep(folder):
    """Delete entries unused for two months, and files that a killed process left half written."""
    now = time.time()
    for path in folder.iterdir():
        try:
            age = now - path.lstat().st_mtime
            if age > (ABANDONED if path.name.startswith(PARTIAL) else UNUSED):
                path.unlink()
        except (FileNotFoundError, IsADirectoryError, PermissionError):  # the last: macOS
            pass  # another process has just renamed or deleted it, or it is a folder


def _is_ours(status):
    """Whether a file or folder belongs to this user, and no one else can write to it."""
    if not hasattr(os, "getuid"):  # Windows: a user's cache folder is private
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@functools.cache  # each sentence once
def _say(sentence):
    warnings.warn(sentence, stacklevel=2)
