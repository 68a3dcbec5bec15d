"""Where we differ from NumPy on purpose; docs/differences.md says why.

A rule: the functions (a regular expression), what our error says (None: we accept what NumPy
refuses), and whether the rule applies to a call.
"""

import numpy as np


def flat(value):
    """The single values of an argument."""
    if isinstance(value, (tuple, list)):
        return [single for item in value for single in flat(item)]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [value.flat[0]] if value.size else []
    return [value]


def options_hold(*types):
    return lambda call: any(isinstance(v, types) for v in flat(list(call.options.values())))


CHOICES = {
    "True and 1.0 are not integers": (
        ".*",
        "must be an integer, not|must be integers, not (bool|float)"
        "|must hold numbers or booleans, not <U",
        options_hold(bool, np.bool_, float, np.floating, str),
    ),
    "tril and triu take matrices": (
        "tril|triu",
        "takes matrices",
        lambda call: np.ndim(call.operands[0].theirs) == 1,
    ),
    "Python's rules for two Python numbers": (
        "power|negative",
        None,
        lambda call: all(type(x.theirs) in (int, bool) for x in call.operands),
    ),
    "no complex numbers": (
        "power",
        "complex",
        lambda call: all(type(x.theirs) in (int, float) for x in call.operands),
    ),
    "a number must fit the integer type of the other operand": (
        "linspace",
        "out of bounds for u?int",
        lambda call: any(type(x.theirs) is int for x in call.operands),
    ),
    "of 3 components": (
        "cross",
        "must have 3 components",
        lambda call: any(np.shape(x.theirs)[-1:] == (2,) for x in call.operands),
    ),
    "a number is a vector of one": (
        "linalg.vector_norm",
        None,
        lambda call: np.ndim(call.operands[0].theirs) == 0,
    ),
    "a number cannot be sorted": (
        "argsort",
        "axis (0|-1) is out of bounds for array of dimension 0",
        lambda call: np.ndim(call.operands[0].theirs) == 0,
    ),
    "a count must not be negative, even of nothing": (
        "repeat|tile",
        "must not be negative",
        lambda call: np.size(call.operands[0].theirs) == 0,
    ),
    "an array of axes is as good as a tuple": (
        "expand_dims|tensordot",
        None,
        lambda call: any(np.shape(v) == (1,) for v in call.options.values()),
    ),
    "an index out of range is an error even if nothing is read": (
        "take",
        "out of bounds|nothing to take",
        lambda call: np.size(call.operands[0].theirs) == 0,
    ),
    "a list of one axis is not an axis": (
        "linspace",
        "axis must be an integer, not the (list|ndarray|tuple)",
        lambda call: np.shape(call.options["axis"]) == (1,),
    ),
    "no axes, no roll": (
        "roll",
        None,
        lambda call: np.size(call.options["axis"]) == 0,
    ),
}

WITHOUT_ENTRY: dict[str, str] = {
    "product": "np.matmul of matrices, at a precision that NumPy does not have (test_oracle.py)",
}
"""Functions that are not compared with anything, and why."""
