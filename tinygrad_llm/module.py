"""Module: a tree of parameters, with PyTorch's names for what one does to it.

There is no registry. A module's attributes *are* its parameters and submodules, in the order in
which they were set, so everything below is a walk over ``vars(self)``. ``__setattr__`` only guards
against the two mistakes that would make a parameter vanish from that walk without a word.

A parameter that hangs in two places (tied weights) is one object. It is listed once, under its
first name, in ``parameters()`` and in ``state_dict()`` alike.
"""

import numpy as np

from autograd import Parameter, Tensor
from autograd.device import bring
from tinygrad_llm.device import arrays_on


class Module:
    """Something with parameters: subclass it, set them in ``__init__``, define ``forward``."""

    training = True
    """Whether dropout is on: see train() and eval()."""

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def __setattr__(self, name, value):
        held = vars(self).get(name)
        if isinstance(held, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter and {type(value).__name__} is not: "
                f"write .{name}.assign_(value) to change its elements"
            )
        if isinstance(value, (list, tuple)) and any(isinstance(v, (Module, Tensor)) for v in value):
            raise TypeError(
                f"{type(self).__name__}.{name}: modules in a {type(value).__name__} would not be "
                "found, put them in a ModuleList"
            )
        super().__setattr__(name, value)

    # --- walking the tree ------------------------------------------------------------------

    def named_children(self):
        """Pairs (name, module) of the modules directly below, in order of definition."""
        return [(n, child) for n, child in vars(self).items() if isinstance(child, Module)]

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
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self):
        """The parameters, each once, in order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self):
        """How many numbers the module learns."""
        return sum(parameter.size for parameter in self.parameters())

    # --- changing it -------------------------------------------------------------------------

    def train(self, mode=True):
        """Turn dropout on (or off, with ``mode=False``) everywhere below. Returns self."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Turn dropout off everywhere below. Returns self."""
        return self.train(False)

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
        """Dotted name -> array. The arrays are the parameters' own: copy what is to last."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state, strict=True):
        """Copy arrays (by dotted name) into the parameters, whose dtype they take.

        Nothing is changed unless everything fits. Returns the names that are missing from
        ``state`` and those that no parameter has; with ``strict`` either is an error.
        Raises KeyError for a name, ValueError for a shape.
        """
        parameters = dict(self.named_parameters())
        missing = [name for name in parameters if name not in state]
        unexpected = [name for name in state if name not in parameters]
        if strict and missing:
            raise KeyError(f"the state has no tensor {missing[0]} ({len(missing)} missing in all)")
        if strict and unexpected:
            raise KeyError(
                f"the state has a tensor {unexpected[0]}, which {type(self).__name__} has not "
                f"({len(unexpected)} unexpected in all)"
            )
        found = {name: state[name] for name in parameters if name in state}
        for name, value in found.items():
            shape = value.shape if hasattr(value, "shape") else np.shape(value)
            if shape != parameters[name].shape:
                raise ValueError(
                    f"tensor {name}: expected shape {parameters[name].shape}, found {shape}"
                )
        for name, value in found.items():
            parameters[name].assign_(value)
        return missing, unexpected


class ModuleList(Module):
    """Modules in a row, named "0", "1", ... as attributes of the list."""

    def __init__(self, modules=()):
        for module in modules:
            self.append(module)

    def append(self, module):
        setattr(self, str(len(self)), module)

    def __len__(self):
        return len(self.named_children())

    def __iter__(self):
        return (child for _, child in self.named_children())

    def __getitem__(self, index):
        return list(self)[index]


def functional_call(module, tensors, *args, method="forward", **kwargs):
    """``module.method(*args, **kwargs)`` with ``tensors`` in place of its parameters.

    ``tensors`` maps names, as ``named_parameters`` gives them, to Tensors of the parameters'
    shapes; parameters it does not name stay. This makes the module a function of its parameters,
    which is what a gradient check differentiates (torch.func.functional_call). The module is put
    back before this returns; two threads must not do it to one module at a time.

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
        (vars(owner), name, value)  # every place, so that tied parameters are replaced together
        for owner in module.modules()
        for name, value in vars(owner).items()
        if id(value) in stand_ins
    ]
    try:
        for attributes, name, value in places:
            attributes[name] = stand_ins[id(value)]
        return getattr(module, method)(*args, **kwargs)
    finally:
        for attributes, name, value in places:
            attributes[name] = value
