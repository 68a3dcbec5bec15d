"""A small guide to try the guide's builder on; see tests/guide/conftest.py."""

from pathlib import Path

from builder.book import CHAPTERS

ENGINE = '''\
"""Numbers that double."""

def twice(x):
    return 2 * x

def thrice(x):
    return twice(x) + x
'''

TRAIN = '''\
"""Counts steps."""

import sys

print("steps", sys.argv[2])
'''

FIRST = """\
# First words

Every number has a double, as [the rule](#why-twice) says and
[the source](sources.md#somebody-1999) has it.

## Why twice?

A **double** is a number and itself again: $2x = x + x$.

```python from=engine.py
\"""Numbers that double.\"""

def twice(x):
    return 2 * x
```

```python from=engine.py
def thrice(x):
    return twice(x) + x
```

It can be used at once.

```python
import json
from engine import thrice, twice

print(twice(4), thrice(4))
json.dump([1, 2], open("kept.json", "w"))
```

```output
8 12
```

```python raises
twice(None)
```

```output
TypeError: unsupported operand type(s) for *: 'int' and 'NoneType'
```

## The program

```python from=train.py
\"""Counts steps.\"""

import sys

print("steps", sys.argv[2])
```

```sh
python train.py --steps 7
```

```output
steps 7
```

See [the tensor](../../autograd/_tensor.py), [its page](../page.md#a-heading),
[two walks](explorer.html#graph=twice&view=order), [next](02-gradients-by-hand.md#the-curve).
"""

SECOND = """\
# Curves

## The curve

What was kept is still there, and [the curve rises](figures/curve.svg).

```python
import json

import matplotlib.pyplot as plt

kept = json.load(open("kept.json"))
print(f"{sum(kept) + 0.001:.3f} seconds")
figure, axes = plt.subplots()
axes.plot(kept)
figure.savefig("figures/curve.svg")
```

```output approx
3.04 seconds
```

![A line that rises from `1` to 2.](figures/curve.svg)
"""


def write_guide(root: Path) -> Path:
    """Write the sample under a folder as docs/guide, with all sixteen chapters; its path.

    Nothing is wrong with it except that its figure is not made yet.
    """
    folder = root / "docs" / "guide"
    files = {
        "code/engine.py": ENGINE,
        "code/train.py": TRAIN,
        "code/requirements.txt": "# nothing but Python\n",
        "README.md": "# A small guide\n\n[Begin](01-what-a-language-model-is.md).\n",
        "../page.md": "# Page\n\n## A heading\n",
        "../../autograd/_tensor.py": "class Tensor: ...\n",
        "../../setup.cfg": "[metadata]\nname = small\n",
    }
    answers = ["# Answers\n"]
    for number, name in enumerate(CHAPTERS, 1):
        title = f"Part {number}"
        text = {1: FIRST, 2: SECOND}.get(number, f"# {title}\n\nNothing yet.\n")
        title = text.split("\n")[0].removeprefix("# ")
        questions = "".join(f"{count}. What is {count}?\n" for count in range(1, 6))
        text += f"\n## Questions\n\n{questions}\n## Exercises\n"
        solutions = f"test_{name.replace('-', '_')}.py"
        code = ""
        for count in range(1, 4):
            text += f"\n### Exercise {number}.{count}: count\n\n[solution](solutions/{solutions})\n"
            code += f"def test_exercise_{number}_{count}():\n    assert {count} > 0\n\n"
        files[f"{name}.md"] = text
        files[f"solutions/{solutions}"] = code
        answers.append(f"## Chapter {number}: {title[0].lower()}{title[1:]}\n\n{questions}")
    files["answers.md"] = "\n".join(answers)
    files["sources.md"] = (
        "# Sources\n\n### somebody-1999\n\nA. Somebody, 1999, *On doubles*, "
        "[here](https://example.org/doubles).\n"
    )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
