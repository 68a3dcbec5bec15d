"""The bug zoo: typical wrong backwards, each with the check that catches it.

    from autograd.bug_zoo import ZOO
    bug = ZOO["layer-norm-without-third-term"]
    print(bug.story)
    print(bug.catch())        # what the check says about the wrong code
    bug.control()             # "": the right code passes the same check

Every entry is real code together with its correction: compare the two and find the difference
before you read the story. check_grad catches most of them. The others are the lesson: a gradient
check proves that backward is the derivative of forward, but not that forward computes the right
thing, nor that the gradient is used correctly. The test suite runs the whole zoo and fails if a bug
survives.
"""

from autograd.bug_zoo.bug import Bug
from autograd.bug_zoo.engine import ENGINE
from autograd.bug_zoo.layers import LAYERS
from autograd.bug_zoo.math import MATH
from autograd.bug_zoo.memory import MEMORY
from autograd.bug_zoo.training import TRAINING

__all__ = ["ZOO", "Bug", "table"]

ZOO = {bug.name: bug for bug in (*MATH, *LAYERS, *MEMORY, *ENGINE, *TRAINING)}
"""All bugs by name, in the order of a guided tour."""


def table(zoo=ZOO):
    """A zoo as a Markdown table: name, story, and what catches it."""
    lines = ["| bug | what the code does | caught by |", "|---|---|---|"]
    lines += [f"| `{bug.name}` | {bug.story} | {bug.caught_by} |" for bug in zoo.values()]
    return "\n".join(lines)
