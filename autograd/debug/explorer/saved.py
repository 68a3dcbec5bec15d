"""What a call keeps until its backward runs, and why: which gradient's formula reads it.

Three kinds of things are kept (``engine.Op``): inputs and the output, as the operation's
``save_inputs`` and ``save_output`` say; a cache of values that depend on the inputs; and attributes
without a derivative. An input that no formula needs is named too: that it is not kept is what makes
an operation cheap.
"""

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from autograd.debug.explorer.docstrings import equations, parts, readers
from autograd.debug.explorer.tape import Call, Tape, Value
from autograd.device import is_array
from autograd.engine import Op
from autograd.functional.recomputation import Recompute, Segment
from autograd.saved_tensors import PackedValues, arrays_kept, unpacked

ENGINE = set(vars(Op)) | {"inputs", "shape", "dtype", "order", "site", "saved_for", "save_inputs"}
"""Attributes of a node that are no options of its operation."""


@dataclass(frozen=True)
class Kept:
    """One thing that a call keeps, or (``kind`` "not kept") an input that it does not.

    ``kind`` is "input", "output", "cache", "attribute" or "not kept". ``value`` is the Value of the
    tape whose array this is, ``array`` the array, ``text`` a plain attribute such as an axis.
    """

    what: str
    kind: str
    why: str
    value: Value | None = None
    array: Any = None
    text: str = ""
    packed: Any = None
    """What saved_tensors_hooks made of the array: it is kept in its place."""

    @property
    def bytes(self) -> int:
        """The bytes that are kept: of the array, or of what it was packed into."""
        arrays = [self.array] if self.packed is None else arrays_kept(self.packed)
        return sum(int(array.nbytes) for array in arrays)


def part(tape: Tape, builder: Any) -> dict[str, Any]:
    """For each forward step, by its number, what it keeps; ``why`` is a number in ``reasons``."""
    reasons: dict[str, int] = {}
    steps = {}
    for call, n in builder.forward_step.items():
        steps[str(n)] = [_described(k, builder, reasons) for k in kept(call)]
    return {"reasons": list(reasons), "steps": steps}


def _described(found, builder, reasons):
    described = {
        "what": found.what,
        "kind": found.kind,
        "why": reasons.setdefault(found.why, len(reasons)),
    }
    if found.value is not None:
        described["tensor"] = builder.value_items[found.value].id
    if found.array is None:
        return described | {"text": found.text}
    kept_bytes = 0 if found.kind == "not kept" else found.bytes
    shape = [int(n) for n in found.array.shape]
    return described | {"shape": shape, "dtype": str(found.array.dtype), "bytes": kept_bytes}


def kept(call: Call) -> list[Kept]:
    """Everything that ``call`` keeps for its backward, then the inputs that it does not keep."""
    op, doc = call.op, parts(type(call.op))
    if isinstance(op, Recompute):
        return _of_a_segment(op)
    names = _input_names(op)
    arrays = dict(zip(op.save_inputs, op.saved or (), strict=False))
    packed = op.saved.kept if isinstance(op.saved, PackedValues) else [None] * len(op.saved or ())
    packed_inputs = dict(zip(op.save_inputs, packed, strict=False))
    found, others = [], []
    for i, name in enumerate(names):
        value = call.args[i] if i < len(call.args) else None
        value = value if isinstance(value, Value) else None
        if i in op.save_inputs and arrays.get(i) is not None:
            array = arrays[i] if is_array(arrays[i]) else None
            text = "" if array is not None else str(arrays[i])
            why = _why(op, doc, name, i)
            found.append(Kept(name, "input", why, value, array, text, packed_inputs[i]))
        elif value is not None:
            array = value.array if is_array(value.array) else None
            others.append(Kept(name, "not kept", _why_not(op, doc, name, i), value, array))
    if op.save_output and op.saved:
        name = _output_name(op)
        why = _why(op, doc, name, None)
        i = len(op.save_inputs)
        found.append(Kept(name, "output", why, call.out, op.saved[i], packed=packed[i]))
    return [*found, *_cache(op, doc), *_attributes(op, doc), *others]


def _of_a_segment(op):
    """What a recomputed segment of the graph reads: it is run once more before its backward."""
    why = "the segment is computed again in backward, from this, and only then keeps more"
    segments = [x for x in op.saved or () if isinstance(x, Segment)]
    arrays = {id(array): (name, array) for s in segments for name, array in s.arrays()}
    return [
        Kept(f"{name} ({i})", "input", why, None, array)
        for i, (name, array) in enumerate(arrays.values())
    ]


# --- inputs and the output ------------------------------------------------------------------------


def _input_names(op):
    """The names of the inputs, as forward has them; x_0, x_1, ... where it takes any number."""
    found: list[str] = []
    for p in list(inspect.signature(op.forward).parameters.values())[1:]:  # without xp
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            found += [f"{p.name}[{i}]" for i in range(len(op.needs) - len(found))]
        else:
            found.append(p.name)
    return found


def _output_name(op):
    names = [n for n in inspect.signature(op.backward).parameters if n not in ("xp", "g", "room")]
    return names[-1] if names else "y"


def _why(op, doc, name, i):
    """Which of the gradients that are wanted read this input (or the output: ``i`` is None)."""
    formulas = [f for f in readers(doc.get("Derivative", ""), name) if _wanted(op, f)]
    if formulas:
        sentence = f"{' and '.join(formulas)} {'reads' if len(formulas) == 1 else 'read'} it"
    elif "Derivative" in doc and not equations(doc["Derivative"])[0]:
        sentence = "the derivative reads it"
    elif doc:
        sentence = "backward computes the derivative from it"
    else:
        sentence = "the operation asks for it: its backward receives it"
    others = op.saved_for.get(i, ()) if i is not None else ()
    names = _input_names(op)
    if which := " or ".join(names[j] for j in others if j < len(names)):
        sentence += f"; it would not be kept if {which} needed no gradient"
    return sentence


def _why_not(op, doc, name, i):
    if i in op.save_inputs:
        return "a formula reads it, but of an input that needs no gradient here"
    if doc and equations(doc.get("Derivative", ""))[0]:
        formulas = [f for f in readers(doc["Derivative"], name) if _wanted(op, f)]
        if not formulas:
            return "no formula reads it"
    return "backward does without it"


def _wanted(op, formula):
    """Whether a gradient "g_x = ..." is of an input that needs one."""
    name = formula.split(" = ")[0].removeprefix("g_").lower()
    names = [n.lower() for n in _input_names(op)]
    return name not in names or names.index(name) >= len(op.needs) or op.needs[names.index(name)]


# --- the cache and other attributes ---------------------------------------------------------------


def _cache(op, doc):
    """The arrays of ``op.cache``, with the docstring's names where it lists them."""
    arrays = _arrays(unpacked(op.cache))
    packed = None if unpacked(op.cache) is op.cache else op.cache
    said = _clause(doc, "caches")
    listed = re.match(r"((?:\w+, )*\w+)(?=[:;,]|$)", said)
    names = listed[1].split(", ") if listed else []
    why = f"{said}: " if said else ""
    why += "known from forward, so backward need not compute it; a second derivative does"
    for i, array in enumerate(arrays):
        name = names[i] if len(names) == len(arrays) else f"cache[{i}]"
        name = name if len(arrays) > 1 or names else "cache"
        yield Kept(name, "cache", why, None, array, packed=packed)


def _attributes(op, doc):
    """Options, indices and masks: what has no derivative."""
    said = _clause(doc, "keeps")
    reason = f"{said}: " if said else ""
    for name, value in _named_attributes(op):
        if is_array(value):
            yield Kept(name, "attribute", f"{reason}it has no derivative", None, value)
        elif value is not None:
            text = _short(value)
            yield Kept(name, "attribute", "an option of this call", None, None, text)


def _named_attributes(op):
    """Pairs (name, value); ``self.options = a, b`` counts as two, named a and b."""
    together = _names_of_tuples(type(op))
    for name, value in vars(op).items():
        if name in ENGINE or name.startswith("_"):
            continue
        names = together.get(name)
        if names and isinstance(value, tuple) and len(names) == len(value):
            yield from zip(names, value, strict=True)
        elif isinstance(value, tuple) and any(is_array(v) for v in value):
            yield from ((f"{name}[{i}]", v) for i, v in enumerate(value))
        else:
            yield name, value


def _names_of_tuples(operation):
    """{"options": ["a", "b"]} where __init__ says ``self.options = a, b``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(operation.__init__)))
    except (OSError, TypeError, SyntaxError):
        return {}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            (target,) = node.targets[:1]
            names = [e.id for e in node.value.elts if isinstance(e, ast.Name)]
            if isinstance(target, ast.Attribute) and len(names) == len(node.value.elts):
                found[target.attr] = names
    return found


def _arrays(value):
    if is_array(value):
        return [value]
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in _arrays(part)]
    return []


def _clause(doc, verb):
    """What the docstring says after "caches" or "keeps"."""
    for clause in doc.get("Saves", "").split("; "):
        if clause.startswith(f"{verb} "):
            return clause.removeprefix(f"{verb} ")
    return ""


def _short(value, length=60):
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
