"""Downloads that finish whole or say why not: resumed where they stopped, checked by sha256.

Bytes go to ``NAME.partial`` next to the target; only a file with the expected sha256 is renamed to
NAME, so a file called NAME can be trusted. A later call continues the partial file with an HTTP
Range request (RFC 9110, section 14) and copes with a server that ignores it, that refuses it
(416), or whose file has changed in between. The size is known in advance, so nothing larger than
expected is ever written.
"""

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tinygrad_llm.data.cache import cache_folder
from tinygrad_llm.data.transfer import BY_HAND, BeginAgain, request
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.lock import TAKEN, lock_file
from tinygrad_llm.notebook import NotebookBar, is_notebook

Progress = Callable[[int, int | None], None]
"""Called with (done, total); total is None if it is not known."""

ATTEMPTS = 4


class Dataset(NamedTuple):
    """A text that can be downloaded by name; all are in the public domain."""

    url: str
    sha256: str
    size: int


DATASETS = {
    "tinyshakespeare": Dataset(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
    ),
    "the-verdict": Dataset(
        "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/"
        "01_main-chapter-code/the-verdict.txt",
        "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        20_479,
    ),
}


def fetch(
    name: str, cache_dir: str | os.PathLike | None = None, progress: Progress | None = None
) -> Path:
    """Path of a dataset's file in the cache, downloaded first if need be.

    ``progress(done, total)`` counts bytes; without it a bar is drawn. Raises as ``download`` does,
    and for a name not in DATASETS.
    """
    if name not in DATASETS:
        raise UserError(f"there is no download named {name!r}; expected {' or '.join(DATASETS)}")
    dataset = DATASETS[name]
    path = cache_folder(cache_dir) / "downloads" / f"{name}.txt"
    if progress is not None:
        return download(dataset.url, path, dataset.sha256, progress, size=dataset.size)
    with progress_bar(f"downloading {name}") as bar:
        return download(dataset.url, path, dataset.sha256, bar, size=dataset.size)


def download(
    url: str,
    path: str | os.PathLike,
    sha256: str,
    progress: Progress | None = None,
    *,
    size: int,
    timeout: float = 30.0,
) -> Path:
    """Download the file of exactly ``size`` bytes and this sha256 from ``url`` to ``path``.

    A correct file that is already there is left alone. An interrupted transfer is resumed, up to
    ATTEMPTS times here and then by the next call; ``timeout`` is in seconds without a byte, and
    transfer.py limits the total time. Raises UserError naming the url if there is no network, the
    server refuses or is too slow, or the file is not the expected one, and if another process is
    downloading to the path.
    """
    if not re.match(r"https?://", url):
        raise UserError(f"cannot download {url!r}; expected an address with http:// or https://")
    path = Path(path)
    try:
        if path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with _open_partial(partial) as file:
            _fill(file, url, sha256, size, progress, timeout)
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
            os.replace(partial, path)
        return path
    except OSError as error:  # network errors are UserErrors by now: this is the disk
        raise UserError(
            f"cannot write {path} ({error.strerror or error}); free some space, or set "
            "TINYGRAD_LLM_CACHE to a folder that can be written to"
        ) from error


def _fill(
    file: BinaryIO, url: str, sha256: str, size: int, progress: Progress | None, timeout: float
) -> None:
    """Bring the partial file to its full length; raises UserError if that is impossible."""
    digest = ""
    for _ in range(ATTEMPTS):
        had = file.seek(0, os.SEEK_END)
        if had < size and _transfer(file, url, had, size, progress, timeout) < size:
            continue
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if digest == sha256:
            return
        file.truncate(0)
        if had == 0:  # no byte of it was resumed: the server has another file
            break
    if digest:
        raise UserError(
            f"the file at {url} has sha256 {digest[:16]}..., expected {sha256[:16]}...: it is "
            f"not the file this version knows; {BY_HAND}"
        )
    done = file.seek(0, os.SEEK_END)
    raise UserError(
        f"the download of {url} stopped after {done:,} of {size:,} bytes, {ATTEMPTS} times; "
        f"run again to continue from there, or {BY_HAND}"
    )


def _transfer(
    file: BinaryIO, url: str, had: int, size: int, progress: Progress | None, timeout: float
) -> int:
    """One request, appended to the partial file of ``had`` bytes; returns its new length."""
    done = had
    try:
        for at, piece in request(url, had, size, timeout):
            if not piece:
                file.truncate(at)  # a server without Range requests sends the whole file again
            done = at + len(piece)
            if done > size:
                file.truncate(0)
                raise UserError(
                    f"{url} sends more than the expected {size:,} bytes: it has changed since "
                    f"this version; {BY_HAND}"
                )
            file.seek(at)
            file.write(piece)
            if progress is not None:
                progress(done, size)
        if progress is not None:
            progress(done, size)
    except BeginAgain:
        file.truncate(0)
        done = 0
    file.flush()
    os.fsync(file.fileno())
    return done


@contextlib.contextmanager
def _open_partial(path: Path) -> Iterator[BinaryIO]:
    """The partial file, open and locked for this process; removed if it is still empty at the end.

    Only a regular file is written to: a link would lead somewhere else, and a pipe would take
    bytes for ever.
    """
    with contextlib.suppress(FileNotFoundError):
        info = path.lstat()
        is_file = stat.S_ISREG(info.st_mode)
        if not is_file or info.st_nlink > 1:
            what = "a link" if is_file or stat.S_ISLNK(info.st_mode) else "not a regular file"
            raise UserError(
                f"{path} is {what}, expected the beginning of a download; remove it and run again"
            )
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o644), "r+b") as file:
        try:
            lock_file(file.fileno())
        except OSError as error:  # on a file system without locks, continue without one
            if error.errno in TAKEN:
                raise UserError(
                    f"another process is downloading {path}; wait for it and run again"
                ) from None
        on_disk = path.stat(follow_symlinks=False) if path.exists() else None
        if on_disk is None or not os.path.samestat(on_disk, os.fstat(file.fileno())):
            raise UserError(f"another process has just finished with {path}; run again")
        try:
            yield file
        finally:
            if file.seek(0, os.SEEK_END) == 0:
                path.unlink()


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Shows progress on standard error: a bar, or a line per quarter in a file or a pipe."""
    if is_notebook(sys.stderr):
        notebook_bar = NotebookBar(label)
        try:
            yield lambda done, total: notebook_bar.update(done, total, f"{done:,} bytes")
        finally:
            notebook_bar.stop()
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress as Bar,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        console.print(label, markup=False, highlight=False)  # a line of its own: the bar fits below
        with Bar(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return

    quarter = -1

    def line(done: int, total: int | None) -> None:
        nonlocal quarter
        now = 4 * done // total if total else 0
        if now > quarter:
            quarter = now
            of = f" of {total:,}" if total else ""
            print(f"{label}: {done:,}{of} bytes", file=sys.stderr, flush=True)

    yield line
