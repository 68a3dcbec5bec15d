"""The bug zoo: wrong backwards that people write, each with the check that catches it.

    from autograd.bug_zoo import ZOO
    bug = ZOO["layer-norm-without-third-term"]
    print(bug.story)
    print(bug.catch())        # what the check says about the wrong code
    bug.control()             # "": the right code passes the same check

Every entry is real code beside its correction: read the two classes and find the difference before
you read the story. Most are caught by check_grad. Those that are not are the lesson: a gradient
check proves that backward is the derivative of forward, not that forward is what was meant, nor
that the gradient is put to good use. The test suite runs the whole zoo and fails when one survives.
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


def table():
    """The zoo as a Markdown table: name, who makes it and why, what catches it."""
    lines = ["| bug | who makes it | caught by |", "|---|---|---|"]
    lines += [f"| `{bug.name}` | {bug.story} | {bug.caught_by} |" for bug in ZOO.values()]
    return "\n".join(lines)
