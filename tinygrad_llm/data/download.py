"""Downloads that end whole or say why: resumed where they stopped, checked by size and sha256.

Bytes go to ``NAME.partial`` beside the target; only a file with the expected sha256 is renamed to
NAME, so whoever finds NAME can trust it. A later call continues the partial file with an HTTP
Range request (RFC 9110, section 14) and copes with a server that ignores it, that refuses it
(416), or whose file has changed in between. The size is known beforehand, so nothing larger than
expected is ever written.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tinygrad_llm.data.cache import cache_folder
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256

Progress = Callable[[int, int | None], None]
"""Called with (done, total); total is None where it is not known."""

CHUNK = 1 << 16
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
    """Path of a dataset's file in the cache, downloaded first where it is not there."""
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
    """Put the file of exactly ``size`` bytes and this sha256 from ``url`` at ``path``.

    A file that is there and right is left alone. An interrupted transfer is taken up again, here
    up to ATTEMPTS times and by the next call; ``timeout`` is in seconds without a byte. Raises
    UserError naming the url where there is no network, the server refuses, or the file is not
    the one expected. One process at a time may download to a path.
    """
    if not re.match(r"https?://", url):
        raise UserError(f"cannot download {url!r}; expected an address with http:// or https://")
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        if path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        found = ""
        for _ in range(ATTEMPTS):
            had = partial.stat().st_size if partial.exists() else 0
            if had < size and _transfer(url, partial, had, size, progress, timeout) < size:
                continue
            found = file_sha256(partial)
            if found == sha256:
                os.replace(partial, path)
                return path
            partial.unlink()
            if had == 0:  # not one resumed byte in it: the server's file is another one
                break
        if found:
            raise UserError(
                f"the file at {url} has sha256 {found[:16]}..., expected {sha256[:16]}...: it is "
                "not the file this version knows; fetch the text by hand and pass its path"
            )
        done = partial.stat().st_size if partial.exists() else 0
        raise UserError(
            f"the download of {url} stopped after {done:,} of {size:,} bytes, {ATTEMPTS} times; "
            "run again to go on from there, or fetch the file by hand and pass its path"
        )
    except OSError as error:  # network errors are UserErrors by now: this is the disk
        raise UserError(
            f"cannot write {path} ({error.strerror or error}); free some space, or set "
            "TINYGRAD_LLM_CACHE to a folder that can be written"
        ) from error


def _transfer(
    url: str, partial: Path, had: int, size: int, progress: Progress | None, timeout: float
) -> int:
    """One request, appended to the partial file of ``had`` bytes; returns the bytes now there."""
    # Imported here: with ssl they take longer than all the rest of a --help.
    import http.client
    import urllib.error
    import urllib.request

    headers = {"User-Agent": "tinygrad-llm", "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    by_hand = "fetch the file by hand and pass its path"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and had:  # "that part does not exist": begin again without Range
            partial.unlink()
            return 0
        raise UserError(
            f"the server refused {url} ({error.code} {error.reason}); try later, or {by_hand}"
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"could not reach {url} ({reason}); check the network and run again, or {by_hand}"
        ) from None
    with response:
        start = 0
        if response.status == 206:
            span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
            if span is None or int(span[1]) != had:  # not the part that was asked for
                partial.unlink(missing_ok=True)
                return 0
            start = had
        length = response.headers.get("Content-Length") or ""
        if length.isdecimal() and start + int(length) != size:
            partial.unlink(missing_ok=True)
            raise UserError(
                f"the file at {url} has {start + int(length):,} bytes, expected {size:,}: it has "
                f"changed since this version; {by_hand}"
            )
        done = start
        with open(partial, "ab" if start else "wb") as file:
            while True:
                if progress is not None:
                    progress(done, size)
                try:
                    chunk = response.read(CHUNK)
                except (OSError, http.client.HTTPException):
                    break  # the line went dead: what has come so far is kept
                if not chunk:
                    break
                if done + len(chunk) > size:
                    file.close()
                    partial.unlink()
                    raise UserError(
                        f"{url} sends more than the expected {size:,} bytes: it has changed since "
                        f"this version; {by_hand}"
                    )
                file.write(chunk)
                done += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    return done


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Shows bytes done on standard error: a bar on a terminal, a line per quarter elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress as Bar,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        with Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
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
