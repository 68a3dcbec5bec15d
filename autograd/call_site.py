"""Where in the user's code a node of the graph was made, for messages and explanations.

A node keeps a code object and an instruction offset, never a frame: frames keep every local
variable of their function alive. The line number is worked out only when somebody asks.
"""

import os
import sys
from itertools import islice

_HERE = os.path.dirname(os.path.abspath(__file__))
_INTERNAL = {
    os.path.join(folder, file)
    for folder in (_HERE, os.path.join(_HERE, "ops"))
    for file in os.listdir(folder)
    if file.endswith(".py")
}


def call_site():
    """(code, instruction offset) of the innermost caller outside this package."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename in _INTERNAL and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe_site(node):
    """ "file.py:12" for the user's line that made the node."""
    site = getattr(node, "site", None)
    if site is None:
        return "(not recorded)"
    code, offset = site
    line = next(islice(code.co_positions(), offset // 2, None))[0]
    return f"{code.co_filename}:{line}"


def describe(node):
    """The op and the line that made it, for messages."""
    return f"{type(node).__name__} (made at {describe_site(node)})"
