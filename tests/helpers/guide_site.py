"""A small project with a guide of two chapters, and its site; see tests/guide/test_site.py."""

import io
import shutil
import sys
from pathlib import Path

from guide_pdf import write_sample
from rich.console import Console

sys.path.append(str(Path(__file__).parents[2] / "docs" / "guide"))

FRONT = "# Build it\n\nStart with [gradients](02-gradients-by-hand.md).\n\n    pip install it\n"
MODULES = ("autograd", "autograd.functional", "autograd.grad_mode")
"""What the sample's reference of the API shows."""
INDEX = """# Documentation

- [The guide](guide/README.md) and [questions](questions.md#why-)
- [The programs](../programs/), [the engine's folder](guide/code/), [a picture](picture.png)
"""
QUESTIONS = r"""# Questions

    an indented block

## Why `+=`?

Because a **sum** needs it, and $\sum_i x_i$ is one:

```python
total += 1
```

![A white dot](picture.png)

[Up](index.md), [the engine](guide/03-the-engine.md#a-node-remembers).
"""
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f00010101001bb6ee560000000049454e44ae426082"
)
"""A PNG of one white pixel."""


def write_project(root: Path) -> Path:
    """Write the project under a folder; the path of its guide."""
    folder = write_sample(root)
    files = {
        "docs/index.md": INDEX,
        "docs/questions.md": QUESTIONS,
        "docs/guide/README.md": FRONT,
        "autograd/_tensor.py": '"""Lines\n\nof a file.\n"""\n\nclass Tensor:\n    pass\n',
        "programs/first.py": "print(1)\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "docs" / "picture.png").write_bytes(PICTURE)
    return folder


def build(folder: Path, out: Path, modules: tuple[str, ...] = (), explorer: Path | None = None):
    """Write a guide's site. With ``explorer``, that page is taken and not made again."""
    import pytest
    from builder import site
    from builder.book import read_book
    from builder.progress import Progress

    with pytest.MonkeyPatch.context() as patch:
        if explorer is not None:
            patch.setattr(site, "write_explorer", lambda target: shutil.copyfile(explorer, target))
        with Progress(Console(file=io.StringIO())) as progress:
            site.write_site(read_book(folder), out, progress, modules)
    return out
