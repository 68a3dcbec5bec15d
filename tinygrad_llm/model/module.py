"""Module: a tree of parameters, with PyTorch's names for its methods.

There is no registry. A module's attributes *are* its parameters and submodules, in the order in
which they were set, so everything below is a walk over ``vars(self)``. It also looks into lists,
tuples and dicts, and into those inside them: what is in ``self.layers = [...]`` is named layers.0,
layers.1, ... Whatever the walk would silently miss is an error: a parameter or a module in a set, a
deque or an attribute of the class, a dict whose keys are not names, and a Tensor that requires a
gradient but is not a Parameter.

A parameter in two places (tied weights) is one object. It is listed once, under its first name, in
both ``parameters()`` and ``state_dict()``.
"""

import collections
import difflib
from collections.abc import Iterator
from typing import Any

import numpy as np

from autograd import Parameter, Tensor
from autograd.device import bring
from tinygrad_llm.device import arrays_on
from tinygrad_llm.model.tree import as_html, as_text, tree


class Module:
    """Base class: set parameters and modules in ``__init__``, and define ``forward``."""

    training = True
    """Whether dropout is on: see train() and eval()."""

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, value in vars(cls).items():
            if next(_found(name, value), None) is not None:
                raise TypeError(
                    f"{cls.__name__}.{name}: a parameter or module that belongs to the class would "
                    "not be found: set it in __init__ as an attribute of self"
                )

    def __setattr__(self, name, value):
        current = vars(self).get(name)
        if isinstance(current, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter and {type(value).__name__} is not: "
                f"write .{name}.assign_(value) to change its elements"
            )
        self._found(name, value)
        super().__setattr__(name, value)

    def _found(self, name, value):
        """Pairs (dotted name, parameter or module) in an attribute, which may contain several.

        Raises TypeError for what would not be found.
        """
        try:
            return list(_found(name, value))
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}.{error}") from None

    def _members(self):
        """Pairs (name, parameter or module) directly below, in order of definition.

        A container may have been filled after it was set, so each is looked into every time.
        """
        return [pair for name, value in vars(self).items() for pair in self._found(name, value)]

    # --- walking the tree ------------------------------------------------------------------

    def named_children(self):
        """Pairs (name, module) of the modules directly below, in order of definition."""
        return [(n, child) for n, child in self._members() if isinstance(child, Module)]

    def children(self):
        """The modules directly below, in order of definition."""
        return [child for _, child in self.named_children()]

    def named_modules(self, prefix="", seen=None):
        """Pairs (dotted name, module) of this module ("") and all below it, each once."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self):
        """This module and all below it, each once."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self):
        """Pairs (dotted name, Parameter), each parameter once, in order of definition."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in module._members():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self):
        """The parameters, each once, in order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def get_submodule(self, name):
        """The module of this dotted name; "" is this module. Raises AttributeError without one."""
        return self._named(name, Module, "module", self.named_modules())

    def get_parameter(self, name):
        """The parameter of this dotted name; a tied one has several.

        Raises AttributeError without one.
        """
        return self._named(name, Parameter, "parameter", self.named_parameters())

    def _named(self, name, kind, what, named):
        found = self._at(name)
        if isinstance(found, kind):
            return found
        near = difflib.get_close_matches(name, dict(named), 1)
        raise AttributeError(
            f"this {type(self).__name__} has no {what} {name!r}"
            + (f": did you mean {near[0]!r}?" if near else f": named_{what}s() lists them")
        )

    def _at(self, name):
        """The parameter or module of a dotted name, or None."""
        if name == "":
            return self
        for first, member in self._members():  # itself dotted if it is in a list or a dict
            if name == first:
                return member
            if isinstance(member, Module) and name.startswith(f"{first}."):
                return member._at(name.removeprefix(f"{first}."))
        return None

    def num_parameters(self):
        """How many numbers the module learns."""
        return sum(parameter.size for parameter in self.parameters())

    # --- looking at it -----------------------------------------------------------------------

    def extra_repr(self):
        """What stands in the brackets of ``repr``, such as sizes; "" shows the parameters."""
        return ""

    def _shown(self):
        """Pairs (name, member) that ``repr`` shows."""
        return self._members()

    def __repr__(self):
        return as_text(tree(self))

    def _repr_html_(self):
        """For notebooks."""
        return as_html(tree(self))

    # --- changing it -------------------------------------------------------------------------

    def train(self, mode=True):
        """Turn dropout on (or off, with ``mode=False``) everywhere below. Returns self."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Turn dropout off everywhere below. Returns self."""
        return self.train(False)

    def apply(self, function):
        """Call ``function(module)`` for every module below, and then for this one. Returns self.

        model.apply(lambda m: m.reset_parameters(rng) if isinstance(m, Linear) else None)
        """
        for _, child in self.named_children():
            child.apply(function)
        function(self)
        return self

    def requires_grad_(self, requires_grad=True):
        """Train every parameter from here on, or, with False, none of them. Returns self.

        A frozen parameter forgets its gradient. ``model.freezing`` chooses parameters by name.
        """
        for parameter in self.parameters():
            if not requires_grad:
                parameter.zero_grad()
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self):
        """Forget every gradient: ``.grad`` is None again."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def astype(self, dtype):
        """Convert every parameter in place, and forget the gradients. Returns self.

        float64 is for checking gradients. Tied parameters stay tied: the objects do not change.
        """
        for parameter in self.parameters():
            parameter.grad = None
            parameter.data = parameter.data.astype(dtype)
        return self

    def to(self, device):
        """Move every parameter, with its gradient, to "cpu" or "cuda". Returns self.

        Tied parameters stay tied: the objects do not change, only where their numbers are. Random
        numbers are drawn in main memory on every device, so that a seed means the same on each.
        Raises UserError when there is no such device.
        """
        xp = arrays_on(device)
        for parameter in self.parameters():
            parameter.data = bring(xp, parameter.data)
            if parameter.grad is not None:
                parameter.grad = bring(xp, parameter.grad.data)
        return self

    # --- saving and loading --------------------------------------------------------------------

    def state_dict(self):
        """Dotted name -> array. The arrays are the parameters' own: copy what you want to keep."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state, strict=True):
        """Copy arrays (by dotted name) into the parameters, converted to the parameters' dtype.

        Nothing is changed unless everything fits. Returns the names that are missing from
        ``state`` and those that no parameter has; with ``strict`` either is an error.
        Raises KeyError for a name, ValueError for a shape.
        """
        parameters = dict(self.named_parameters())
        missing = [name for name in parameters if name not in state]
        unexpected = [name for name in state if name not in parameters]
        if strict and (missing or unexpected):
            faults = [f"lacks {_some(missing)}"] if missing else []
            if unexpected:
                faults.append(f"has {_some(unexpected)}, which the model does not have")
            raise KeyError(
                f"the state does not fit this {type(self).__name__}: it {' and '.join(faults)} "
                "(strict=False loads what fits)"
            )
        arrays = {name: state[name] for name in parameters if name in state}
        for name, value in arrays.items():
            shape = value.shape if hasattr(value, "shape") else np.shape(value)
            if shape != parameters[name].shape:
                raise ValueError(
                    f"tensor {name}: expected shape {parameters[name].shape}, found {shape}"
                )
        for name, value in arrays.items():
            parameters[name].assign_(value)
        return missing, unexpected


def _some(names, n=3):
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _learns(value):
    """Whether a value is a leaf tensor that learns, such as a Parameter (not computed from one)."""
    return isinstance(value, Tensor) and value.requires_grad and value.is_leaf


def _found(name: str, value: Any, inside: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Pairs (dotted name, parameter or module) in a value: itself, or in the containers it is.

    ``inside`` are the ids of the containers around it. Raises TypeError, beginning with the name,
    for what learns and would not be found.
    """
    if isinstance(value, (Module, Parameter)):
        yield name, value
    elif _learns(value):
        raise TypeError(
            f"{name} is a Tensor that requires a gradient and would not be found among the "
            "parameters: make it a Parameter, or .detach() it"
        )
    elif id(value) in inside:
        return  # a list that contains itself
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            for pair in _found(f"{name}.{key}", item, (*inside, id(value))):
                if isinstance(value, dict) and not (isinstance(key, str) and is_a_name(key)):
                    raise TypeError(
                        f"{name}: {key!r} cannot name what a module contains: expected a string "
                        "without a dot"
                    )
                yield pair
    elif isinstance(value, (set, frozenset, collections.deque)):
        for item in value:
            for _ in _found(name, item, (*inside, id(value))):
                raise TypeError(
                    f"{name}: modules and parameters in a {type(value).__name__} would not be "
                    "found: put them in a list or a dict"
                )


def is_a_name(text: str) -> bool:
    """Whether a text can be a part of a dotted name."""
    return text != "" and "." not in text


def _replaced(value: Any, stand_ins: dict[int, Any]) -> Any:
    """A value with other objects in place of those whose ids are in ``stand_ins``.

    Containers are copied if there is one in them; anything else is itself.
    """
    if id(value) in stand_ins:
        return stand_ins[id(value)]
    if not isinstance(value, (list, tuple, dict)):
        return value
    if not any(id(item) in stand_ins for _, item in _found("", value)):
        return value
    if isinstance(value, dict):
        return {key: _replaced(item, stand_ins) for key, item in value.items()}
    items = [_replaced(item, stand_ins) for item in value]
    if isinstance(value, list):
        return items
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def functional_call(module, tensors, *args, method="forward", **kwargs):
    """``module.method(*args, **kwargs)`` with ``tensors`` in place of its parameters.

    ``tensors`` maps names, as in ``named_parameters``, to Tensors of the parameters' shapes; other
    parameters stay. This makes the module a function of its parameters, which is what a gradient
    check differentiates (torch.func.functional_call). The module is restored before this returns;
    two threads must not do it to one module at the same time.

    Raises KeyError for an unknown name, ValueError for a shape.
    """
    parameters = dict(module.named_parameters())
    for name, tensor in tensors.items():
        if name not in parameters:
            raise KeyError(f"{type(module).__name__} has no parameter {name}")
        if tensor.shape != parameters[name].shape:
            raise ValueError(
                f"tensor {name}: expected shape {parameters[name].shape}, found {tensor.shape}"
            )
    stand_ins = {id(parameters[name]): tensor for name, tensor in tensors.items()}
    places = [
        (vars(owner), name, value, new)  # every place, so that tied parameters go together
        for owner in module.modules()
        for name, value in vars(owner).items()
        if (new := _replaced(value, stand_ins)) is not value
    ]
    try:
        for attributes, name, _, new in places:
            attributes[name] = new
        return getattr(module, method)(*args, **kwargs)
    finally:
        for attributes, name, value, _ in places:
            attributes[name] = value
