"""SHA256SUMS: the checksum of every file of a checkpoint, in a file next to them.

The program ``sha256sum`` writes and checks the same lines (``sha256sum -c SHA256SUMS``), and other
readers of model directories ignore the file. A flipped bit, a file of another checkpoint, a missing
file: each is noticed before anything is computed from it.
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
    """Name -> sha256; raises UserError if the file is damaged."""
    lines = read_bounded(folder / SUMS, _MAX_BYTES).decode("utf-8", "replace").split("\n")
    matches = [_LINE.fullmatch(line) for line in lines[:-1]]
    sums = {match[2]: match[1] for match in matches if match}
    if lines[-1] or len(sums) != len(matches) or not sums:
        raise UserError(f"{folder / SUMS} is damaged: expected lines of a sha256 and a file's name")
    return sums


def verify(
    folder: Path,
    names: Iterable[str] | None = None,
    advice: str = "use another checkpoint, or try this one with --no-verify",
) -> bool:
    """Compare the files of ``folder`` (or those in ``names``) with SHA256SUMS.

    Returns False if there is no SHA256SUMS. Raises UserError, naming the file, for one that is
    missing or has changed since it was written; ``advice`` ends the sentence.
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
            raise UserError(f"there is no file {path}, which {SUMS} next to it names; {advice}")
        try:
            digest = file_sha256(path)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None
        if digest != sums[name]:
            raise UserError(
                f"{path} is not the file that was written: its sha256 starts with {digest[:8]}, "
                f"expected {sums[name][:8]} ({SUMS}); {advice}"
            )
    return True
