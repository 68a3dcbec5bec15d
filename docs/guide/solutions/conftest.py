"""The solutions import the guide's code: ``python -m pytest solutions``, from anywhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "code"))
