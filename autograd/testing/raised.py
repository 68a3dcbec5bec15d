"""An exception raised during a gradient check, as a sentence: which backward, where, and a fix.

The likeliest mistake in a first backward is ``np.sqrt`` or ``math.sqrt`` in place of ``xp.sqrt``.
On arrays it works. Under ``create_graph`` the values are Tensors, which NumPy does not accept.
"""

import linecache
import os
import re

import numpy as np

from autograd import ops
from autograd.call_site import OWN_FILES
from autograd.engine import Op

_FOREIGN = os.path.dirname(np.__file__)
_INTERCEPTED = {"__array_ufunc__": "ufunc", "__array_function__": "func"}
"""Methods of Tensor that NumPy calls, and the name of their argument for NumPy's function."""


def describe_error(error, order):
    """One sentence about an exception in f's forward or backward."""
    frames = list(_frames(error))
    backward = [f for f in frames if f[0].f_code.co_name == "backward" and _op(f[0]) is not None]
    own = backward[-1] if backward else None
    theirs = [f for f in frames if not _is_hidden(f[0].f_code.co_filename)]
    frame, line = theirs[-1] if theirs else own or frames[-1]
    file = frame.f_code.co_filename
    what = "f"
    if own is not None:
        what = f"the backward of {type(_op(own[0])).__name__}"
        frame, line = own if own in theirs or not theirs else theirs[-1]
        file = frame.f_code.co_filename
    source = linecache.getline(file, line).strip()
    text = f"{what} raises {type(error).__name__}: {error} ({os.path.basename(file)}:{line}"
    text += f": {source})" if source else ")"
    if own is not None:
        text = f"order {order}: {text}"
        if advice := _advice(frames, source):
            text += f". {advice}"
    return text


def _frames(error):
    """(frame, line number) from the outermost frame to the one that raised."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _op(frame):
    owner = frame.f_locals.get("self")
    return owner if isinstance(owner, Op) else None


def _is_hidden(file):
    return file in OWN_FILES or file.startswith((_FOREIGN, "<__array_function__"))


def _advice(frames, source):
    """ "Write xp.sqrt in place of np.sqrt", if a function of NumPy or math received a Tensor."""
    for frame, _ in frames:
        argument = _INTERCEPTED.get(frame.f_code.co_name)
        function = frame.f_locals.get(argument) if argument else None
        if function is not None:
            return _instead("np", function.__name__)
    if used := re.search(r"\b(np|numpy|math)\.(\w+(?:\.\w+)?)\(", source):
        return _instead(*used.groups())
    return ""


def _instead(module, name):
    names = {"math.fabs": "abs", "math.pow": "power", "math.asin": "arcsin", "math.acos": "arccos"}
    name = names.get(f"{module}.{name}", name)
    function = ops
    for part in name.split("."):
        function = getattr(function, part, None) or getattr(ops.constants, part, None)
    reason = "backward receives Tensors when a gradient is differentiated"
    if function is None:
        return f"Use only functions that xp has (there is no xp.{name}): {reason}"
    return f"Write xp.{name} in place of {module}.{name}: {reason}"
