"""The explorer's page for the site: with the built-in graphs, made by the project's own command."""

import subprocess
import sys
from pathlib import Path

from builder.problems import GuideError


def write_explorer(target: Path) -> None:
    """Write the page, as ``tinygrad-llm explore --out FILE --no-open`` does."""
    command = [sys.executable, "-m", "tinygrad_llm", "explore", "--out", str(target), "--no-open"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not target.is_file():
        said = (done.stderr or done.stdout).strip()
        raise GuideError(f"the explorer's page could not be made: {said}")
