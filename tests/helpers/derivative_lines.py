"""Evaluate the lines on derivatives in the docstrings of operations, and compare with backward.

    g_x = g * s * (1 + x * (1 - s)) with s = sigmoid(x)

Names are the inputs and the output of an operation, its options, what it caches (where the
docstring names that) and NumPy's functions. docs/derivatives.md says how a line is read.
"""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np

from autograd import Tensor, grad, ops, use_kernels
from autograd.device import numpy_namespace
from autograd.engine import Op
from autograd.observe import Observer
from autograd.ops.linalg import Det, LogAbsDet
from autograd.ops.loss import CrossEntropy, LinearCrossEntropy, SoftCrossEntropy
from autograd.ops.reduce import Reduction
from autograd.samples import SAMPLES

SCRIPT = Path(__file__).parent.parent.parent / "docs" / "derivatives.py"
_spec = importlib.util.spec_from_file_location("derivatives", SCRIPT)
derivatives = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(derivatives)

REDUCING = (Reduction, Det, LogAbsDet, SoftCrossEntropy, CrossEntropy, LinearCrossEntropy)
"""Operations that have g and y with the axes they reduced, as length 1."""

ENGINE = {"needs", "inputs", "saved", "versions", "read", "cache", "hooks", "shape", "dtype",
          "order", "site"}  # fmt: skip
"""Attributes of a node that are no options of its operation."""


class Recorder(Observer):
    """Keeps the first call of each class of operation: op, args, output."""

    def __init__(self):
        self.calls = {}

    def after_forward(self, op, args, output):
        if output.requires_grad:
            self.calls.setdefault(type(op), (op, args, output))


def recorded_calls():
    """For each Op class, one call from each sample that it takes part in (second order too)."""
    calls = {}
    for sample in SAMPLES:
        xs = [Tensor(x, requires_grad=True) for x in sample.inputs()]
        with use_kernels("reference"), Recorder() as recorder:
            y = sample.call(*xs)
            grad(y, xs, np.ones(y.shape), create_graph=True)
        for operation, call in recorder.calls.items():
            calls.setdefault(operation, []).append(call)
    return calls


def error(operation, op, args, output):
    """The relative error of a docstring's line for one call, or None if it does not apply."""
    if not applies(op, args):
        return None
    positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad]
    with use_kernels("reference"):
        if len(positions) > 1:  # one argument may have been computed from another: separate them
            args = [Tensor(a.data, requires_grad=True) if i in positions else a
                    for i, a in enumerate(args)]  # fmt: skip
            output = op(*args)
            op = output._node
        g = np.random.default_rng(len(positions)).standard_normal(output.shape)
        actual = grad(output, [args[i] for i in positions], g, retain_graph=True)
    names = received(op.forward)[1:]
    line = Line(operation, op, args, output, g)
    errors = []
    for i, gradient in zip(positions, actual, strict=True):
        expected = fit(line.gradient(names[i]), args[i].shape)
        scale = np.abs(gradient.data).max() or 1.0
        errors.append(float(np.abs(gradient.data - expected).max() / scale))
    return max(errors)


def applies(op, args):
    """Whether the docstring's line is about this call: it may leave out an option."""
    if isinstance(op, CrossEntropy | LinearCrossEntropy):
        return not getattr(op, "label_smoothing", 0)
    if getattr(op, "activation", "silu") != "silu":
        return False
    if getattr(op, "approximate", "none") != "none" or getattr(op, "padding", None) is not None:
        return False
    return all(arg is not None for arg in args) and getattr(op, "axes", 0) is not None


def fit(value, shape):
    """``value`` summed over the axes along which an input of ``shape`` was broadcast."""
    value = np.asarray(value)
    extra = tuple(range(value.ndim - len(shape)))
    value = value.sum(axis=extra)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and value.shape[i] != 1)
    return np.broadcast_to(value.sum(axis=stretched, keepdims=True), shape)


class Line(dict):
    """The names that a docstring's line may use, looked up as they are needed."""

    def __init__(self, operation, op, args, output, g):
        options = {k: v for k, v in vars(op).items() if k not in ENGINE}
        super().__init__({k: np.array(v) if k == "shift" else v for k, v in options.items()})
        doc = derivatives.parts(operation)
        gradients, definitions = derivatives.equations(doc["Derivative"])
        self.expressions = {**gradients, **definitions}
        inputs = received(op.forward)[1:]
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        y = received(op.backward)[-1] if op.save_output else "y"
        values = {**dict(zip(inputs, arrays, strict=False)), y: output.data, "g": g}
        if isinstance(op, REDUCING):
            for name in (y, "g"):
                values[name] = self.with_axes(op, values[name], arrays[0].ndim)
        self.update(values)
        for name, value in values.items():
            self.setdefault(name.upper(), value)
        cached = re.search(r"caches ((?:\w+, )*\w+)(?=[:;]|$)", doc["Saves"])
        if cached:
            names = cached[1].split(", ")
            self.update(zip(names, op.cache if len(names) > 1 else [op.cache], strict=True))
        self.update(functions(op, arrays[0]))

    @staticmethod
    def with_axes(op, a, ndim):
        return a if np.ndim(a) in (0, ndim) else np.expand_dims(a, axes_of(op, ndim))

    def gradient(self, name):
        """The value of g_name."""
        (key,) = [k for k in self.expressions if k.lower() == f"g_{name}".lower()]
        return self[key]

    def __missing__(self, name):
        if name not in self.expressions:
            return getattr(numpy_namespace, name)
        text = re.sub(r"(\w+)\^-T", r"inv(\1).mT", self.expressions[name])
        text = re.sub(r"(\w+)\^-1", r"inv(\1)", text).replace("^T", ".mT").replace("^", "**")
        self[name] = eval(text, {"__builtins__": {}}, self)
        return self[name]


def axes_of(op, ndim):
    """The axes that an operation works along."""
    if isinstance(op, Reduction):
        return tuple(op.reduced())
    if type(op).__module__ in ("autograd.ops.linalg", "autograd.ops.decompositions"):
        return (-2, -1)
    return getattr(op, "axis", -1)


def functions(op, x):
    """The functions that run along the axes of an operation, and N, their number of elements."""
    axes = axes_of(op, np.ndim(x))

    def along(function):
        return lambda a: function(a, axis=axes, keepdims=True)

    def over_differences(values):
        with np.errstate(divide="ignore"):
            inverse = 1 / (values[..., None, :] - values[..., :, None])
        return np.where(np.eye(values.shape[-1], dtype=bool), 0, inverse)

    names = {name: along(getattr(np, name)) for name in ("sum", "mean", "var")}
    names |= {
        "logsumexp": along(numpy_namespace.logsumexp),
        "cumsum": lambda a: np.cumsum(a, axis=axes),
        "flip": lambda a, axis=axes: np.flip(a, axis),
        "softmax": lambda a: np.exp(a - numpy_namespace.logsumexp(a, axis=-1, keepdims=True)),
        "inv": np.linalg.inv,
        "diag": lambda a: a[..., None, :] * np.eye(a.shape[-1]),
        "over_differences": over_differences,
    }
    if isinstance(op, Reduction):
        names["N"] = op.count()
    if isinstance(op, CrossEntropy | LinearCrossEntropy):
        names |= class_targets(op, *op.options)
    if isinstance(op, ops.attention.ScaledDotProductAttention):
        names["m"] = 1 if op.keep is None else op.keep / (1 - op.p)
    return names


def class_targets(op, targets, ignore_index, reduction):
    """What a cross-entropy has besides logits: targets, the weight of each row, one_hot."""
    n_classes = op.saved[-1].shape[0 if isinstance(op, LinearCrossEntropy) else 1]
    weight = getattr(op, "weight", None)
    counts = targets != ignore_index
    w = np.where(counts, 1.0 if weight is None else weight[targets * counts], 0)[:, None]
    w = w / (w.sum() or 1) if reduction == "mean" else w
    return {"targets": targets, "w": w, "one_hot": lambda t: np.arange(n_classes) == t[:, None]}


def saves_problem(operation):
    """What is wrong with the line on what an operation saves, or None."""
    listed, *others = derivatives.parts(operation)["Saves"].split("; ")
    said = [] if listed == "nothing" else listed.removeprefix("the ").lower().split(", ")
    saved = received(operation.backward)[3:]
    if said != saved:
        return f"says that it saves {said}, and backward receives {saved}"
    inputs = received(operation.forward)[2:]
    asked = [inputs[i] for i in operation.save_inputs] + saved[-1:] * operation.save_output
    by_call = "save_inputs" in attributes(operation.__init__)
    if asked != saved and not by_call:
        return f"saves {asked}, and backward receives {saved}"
    caches = "cache" in attributes(operation.__init__) | attributes(operation.forward)
    if caches != any(text.startswith("caches ") for text in others):
        return f"{'caches' if caches else 'does not cache'} something, and says otherwise"
    return None


def received(method):
    """The names of a method's parameters, but for what a kernel works in place with."""
    return [name for name in inspect.signature(method).parameters if name != "room"]


def attributes(method):
    """The names that a method's code uses."""
    return set(method.__code__.co_names) if inspect.isfunction(method) else set()


def all_operations():
    """Every complete Op class under autograd.ops."""
    classes = {c for c in _subclasses(Op) if c.__module__.startswith("autograd.ops.")}
    complete = [c for c in classes if c.forward is not Op.forward and c.backward is not Op.backward]
    return sorted(complete, key=lambda c: c.__name__)


def _subclasses(cls):
    return {c for child in cls.__subclasses__() for c in {child, *_subclasses(child)}}
