"""Writing what snippets printed into the Markdown."""

import os
import tempfile
from pathlib import Path

from builder.markdown import Block


def write_outputs(path: Path, outputs: list[tuple[Block, str]]) -> None:
    """Replace, add or remove the output blocks of some blocks of a file."""
    rows = path.read_text(encoding="utf-8").split("\n")
    for block, text in sorted(outputs, key=lambda pair: -pair[0].line):
        words = block.output.words if block.output else ()
        fence = "```"
        while fence in text:
            fence += "`"
        made = []
        if text.strip():
            kept = [line.rstrip() for line in text.rstrip().split("\n")]
            made = [fence + " ".join(("output", *words)), *kept, fence]
        if block.output is None:
            rows[block.end : block.end] = ["", *made] if made else []
        elif made:
            rows[block.output.line - 1 : block.output.end] = made
        else:
            rows[block.end : block.output.end] = []
    write_text(path, "\n".join(rows))


def write_text(path: Path, text: str) -> None:
    """Write a file beside its name and rename it, so that it is never half there."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same for bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
