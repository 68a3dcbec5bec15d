"""SHA256SUMS: the checksum of every file of a checkpoint, in a file beside them.

Its lines are what the program ``sha256sum`` writes and checks (``sha256sum -c SHA256SUMS``), and
other readers of model directories pass it over. A flipped bit, a file of another checkpoint, one
that is missing: each is found before anything is computed from it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.atomic import file_sha256
from tinygrad_llm.files.json_file import read_bounded

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)", re.ASCII)
_MAX_BYTES = 1 << 16


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files in ``folder``."""
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    text = "".join(f"{file_sha256(folder / name)}  {name}\n" for name in names)
    (folder / SUMS).write_text(text, encoding="ascii", newline="\n")


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> sha256; raises UserError where the file is damaged."""
    lines = read_bounded(folder / SUMS, _MAX_BYTES).decode("utf-8", "replace").split("\n")
    matches = [_LINE.fullmatch(line) for line in lines[:-1]]
    sums = {match[2]: match[1] for match in matches if match}
    if lines[-1] or len(sums) != len(matches) or not sums:
        raise UserError(f"{folder / SUMS} is damaged: expected lines of a sha256 and a file's name")
    return sums


def verify(
    folder: Path,
    names: Iterable[str] | None = None,
    advice: str = "take another checkpoint, or --no-verify to try it",
) -> bool:
    """Compare the files of ``folder`` (or those named) with SHA256SUMS; False where it is missing.

    ``advice`` ends each sentence. Raises UserError, naming the file, for one that is missing or is
    not the one that was written.
    """
    if not (folder / SUMS).exists():
        return False
    sums = read_sums(folder)
    for name in sums if names is None else names:
        path = folder / name
        if name not in sums:
            raise UserError(
                f"{folder / SUMS} does not name {name}: it belongs to other files; {advice}"
            )
        if not path.is_file():
            raise UserError(f"there is no file {path}, which {SUMS} beside it names; {advice}")
        try:
            found = file_sha256(path)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None
        if found != sums[name]:
            raise UserError(
                f"{path} is not the file that was written: its sha256 begins {found[:8]}, expected "
                f"{sums[name][:8]} ({SUMS}); {advice}"
            )
    return True
