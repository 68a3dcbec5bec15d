"""What the solutions share: the example that they belong to, and how their answers are printed.

A solution has the name of its example and one function for each exercise. The function's docstring
is the answer: the exercise's title, then the words. Its code is the proof, and prints the figures.
"""

import inspect
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent


def example_of(solution):
    """The example with the name of the file ``solution``, as a module; its ``main`` is not run."""
    sys.path.insert(0, str(EXAMPLES))  # for what the examples share
    path = EXAMPLES / Path(solution).name
    spec = spec_from_file_location("example", path)
    module = module_from_spec(spec)
    sys.modules["example"] = module
    spec.loader.exec_module(module)
    return module


def answer(*exercises):
    """Print each exercise's title, its answer, and the figures that its code prints."""
    for number, exercise in enumerate(exercises, start=1):
        title, _, words = inspect.getdoc(exercise).partition("\n")
        print(f"{number}. {title}\n{words}\n")
        exercise()
        print()
