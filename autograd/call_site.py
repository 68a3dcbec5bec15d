"""Where in the user's code a node of the graph was made, for messages and explanations.

A node keeps a code object and an instruction offset, never a frame: frames keep every local
variable of their function alive. The line number is worked out only when it is asked for.
"""

import os
from itertools import islice
from sys import _getframe

_HERE = os.path.dirname(os.path.abspath(__file__))
OWN_FILES = {
    os.path.join(folder, file)
    for folder, _, files in os.walk(_HERE)
    for file in files
    if file.endswith(".py")
}


def call_site(own_frames=3):
    """(code, instruction offset) of the innermost caller outside this package.

    ``own_frames`` are known to be ours, and looking at a frame costs time. Three always are: this
    function, the one that calls it (``Op._record`` or an event of a tool), and the one that calls
    that.
    """
    try:
        frame = _getframe(own_frames)
    except ValueError:  # one of our ops called without its function, at the top of a program
        frame = _getframe(3)
    while frame.f_code.co_filename in OWN_FILES and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def find_line(site):
    """(file name, first line, last line) of the call at a site."""
    code, offset = site
    first, last, *_ = next(islice(code.co_positions(), offset // 2, None))
    return code.co_filename, first, last or first


def describe_site(node):
    """ "file.py:12" for the user's line that made the node."""
    if not hasattr(node, "site"):
        return "(not recorded)"
    file, line, _ = find_line(node.site)
    return f"{file}:{line}"


def describe(node):
    """The op and the line that created it, for messages."""
    return f"{type(node).__name__} (made at {describe_site(node)})"


def name_the_line(error, node):
    """Add a note to an error raised in a backward pass: the forward line that made the node."""
    where = describe(node) if hasattr(node, "site") else f"a leaf tensor of shape {node.shape}"
    if where not in str(error) and f"in the backward of {where}" not in _notes(error):
        error.add_note(f"in the backward of {where}")


def _notes(error):
    return getattr(error, "__notes__", ())
