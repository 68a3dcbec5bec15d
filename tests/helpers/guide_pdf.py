"""A book of two chapters for the tests of the guide's PDF; see tests/guide/test_pdf.py."""

from pathlib import Path

CAPTION = "The loss against the steps: it falls quickly while the model learns `unigrams`."
WIDEST = "print('" + "W" * 79 + "')"
"""A line of code as wide as it may be."""

SECOND = r"""# Gradients by hand

A derivative says how much. **Chain rule** is its name: where functions follow each other, the
chain rule multiplies.

## The product

**GELU** is one, and `gelu` its name in a program. It was before [the engine](03-the-engine.md).
"""

THIRD = rf"""# The engine

Every program that learns by gradient descent needs the same thing, and it's "short".
A **computation graph** records what was computed from what. With $x \in \mathbb{{R}}^{{n}}$,

$$
\frac{{\partial L}}{{\partial x_i}} = \sum_{{j=1}}^{{m}}
\frac{{\partial L}}{{\partial y_j}}\,\frac{{\partial y_j}}{{\partial x_i}},
\qquad
g_x = J^\top g_y .
$$

[Vaswani et al. 2017, section 3.2](sources.md#vaswani-2017), is cited; [the order
matters](#why-newest-first); [the loss, which falls in two stages](figures/loss.svg);
[the earlier chapter](02-gradients-by-hand.md); see
[section 2.1](02-gradients-by-hand.md#the-product) for more. The package has
[its own tensor](../../autograd/_tensor.py), and [NumPy](https://numpy.org/doc/stable/) has arrays.

## A node remembers

```python
{WIDEST}
```

```output
{"W" * 79}
```

The **Jacobian** of a softmax, $p = \operatorname{{softmax}}(z)$, is square. So:

```python from=engine.py
class Tensor:
    '''An array that remembers how it was made.'''

    def __init__(self, data):
        self.data = data
```

### Why newest first?

Because. [Watch it](explorer.html#graph=reuse&view=order).

| Part | Shape | What it holds |
| --- | --: | --- |
| `x` | (B, T, C) | the input, which has one row for each token |
| $W \odot V$ | (C, D) | the weights |

> A quotation.

- one thing
- another thing, with a list inside:
  1. first
  2. second

![{CAPTION}](figures/loss.svg)

```sh
tinygrad-llm train --steps 200
```

```text
token     id
the       262
```

## Exercises

### Exercise 3.1: a tanh

[Solution](solutions/test_03_the_engine.py).
"""

ENGINE = """'''The engine.'''

import numpy as np


class Tensor:
    '''An array that remembers how it was made.'''

    def __init__(self, data):
        self.data = data
"""

SOLUTION = """def test_exercise_3_1():
    assert 1 + 1 == 2  # and a comment that makes this line longer than one of a chapter may be
"""

FIGURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 230" width="460pt" height="230pt">'
    '<path d="M 20 20 C 80 200 200 200 440 210" fill="none" stroke="#12355b"/></svg>\n'
)

SOURCES = """# Sources

What is cited.

### vaswani-2017

Ashish Vaswani and others, 2017. *Attention is all you need.*
[arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
"""


def write_sample(root: Path) -> Path:
    """Write the book under a folder, as docs/guide; its path."""
    folder = root / "docs" / "guide"
    files = {
        "02-gradients-by-hand.md": SECOND,
        "03-the-engine.md": THIRD,
        "answers.md": "# Answers\n\n## Chapter 3: the engine\n\n1. Because $2x$.\n",
        "sources.md": SOURCES,
        "code/engine.py": ENGINE,
        "solutions/test_03_the_engine.py": SOLUTION,
        "figures/loss.svg": FIGURE,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
