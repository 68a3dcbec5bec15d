"""Reverse-mode differentiation: the operation as a node of the graph, and how it is recorded.

The whole method in one paragraph. Calling an ``Op`` computes its output with plain arrays and, if
an input requires a gradient, keeps the Op itself as the node of the output: what its derivative
needs, and links to the nodes of its inputs. The pass (``backward.py``) walks these nodes from
newest to oldest. An operation is always newer than everything it was computed from, so when a node
is reached every use of its output has already been handled and its gradient is complete: newest
first *is* a reverse topological order, and no separate sort is needed.

    dL/dx = sum over the ops that used x of (dL/d output) (d output/dx)

The sum is the reason gradients are *added* into place: x may be used more than once.

``reference.py`` is this paragraph as code. What is here and in ``backward.py`` computes the same
numbers, bit for bit, and adds to it, strand by strand:

    memory       nodes link to nodes and not to Tensors; an input is saved only if a gradient needs
                 it (``saved_for``); a node is released when it has run
    in place     sums of gradients reuse a buffer (``accumulate.py``), and fused kernels add to it
                 or write over ``g`` (``in_place.py``)
    versions     a saved value that was changed before backward is an error, not a wrong gradient
    derivatives  of derivatives: under ``create_graph`` backward runs on Tensors and is recorded
    targets      ``grad()`` returns the gradients of some tensors and writes nothing
    hooks        functions that see a gradient on its way and may replace it (``hooks.py``)
    observers    the ledger, the profiler and other tools see every call and contribution
    messages     every error names the operation and the user's line that created its node
    packing      what is saved may be kept in another form (``saved_tensors.py``)
    libraries    arrays of CuPy or another library as well as NumPy's (``device.py``)
    threads      several may compute at once; passes that write ``.grad`` take turns
"""

from copy import copy
from typing import Any, Self

from autograd import device
from autograd._tensor import Tensor
from autograd.call_site import call_site, describe_site
from autograd.device import is_array, namespace, numpy_namespace
from autograd.grad_mode import is_grad_enabled
from autograd.leaf import creation_order
from autograd.observe import current_observers, notify
from autograd.plain import NUMBERS, name_operands, plain_operand, refuse_missing, refuse_result
from autograd.saved_tensors import current_hooks

new_tensor = object.__new__  # a Tensor without __init__, whose checks are for users
NOT_CALLED = ()  # the inputs of an Op that is not a node yet


class Op:
    """One differentiable operation, and once called, one node of the graph.

    A subclass defines ``forward(self, xp, *inputs)``, which returns the output as an array, and
    ``backward(self, xp, g, *saved)``, which is given the gradient ``g`` of the output and returns
    the gradient of every input (None where ``self.needs[i]`` is false). Both compute with the
    functions of a namespace ``xp``. For first derivatives it is NumPy or CuPy. Under
    ``create_graph=True`` it is ``autograd.ops``, all values are Tensors, and backward itself is
    recorded: second derivatives need no other rule.

    Three kinds of things may be kept for backward:

    - ``save_inputs`` (positions) and ``save_output``: passed to backward after ``g``, in that
      order, the output last;
    - ``self.cache``: values that depend differentiably on the inputs (a mean, a log-sum-exp). It
      is None under ``create_graph``, where they must be recomputed, or a second derivative would
      take them for constants;
    - any other attribute: what has no derivative (an axis, a shape, ids, a dropout mask). NumPy
      arrays among them are moved to the inputs' array library when the Op is called. If one was
      taken out of a Tensor, ``Op(...).reading(tensor)(x)`` declares it.
    """

    broadcasts = False
    """The engine may sum a gradient over the axes along which its input was broadcast."""
    save_inputs: tuple[int, ...] = ()
    save_output = False
    saved_for: dict[int, tuple[int, ...]] = {}
    """A saved input named here is kept only if one of these inputs requires a gradient."""
    returns_view = False
    """The output may share memory with input 0, and so shares its version."""
    fresh_gradients = False
    """backward returns arrays that nothing else uses: they may be kept without a copy."""
    works_in_place = False
    """backward takes ``room``, an InPlace or None: what it may change in place."""

    compares = False
    """backward asks which saved number is larger, or whether two are equal: not to be rounded."""

    caches_activations = False
    """``self.cache`` is an array that may be packed, and backward reads it by ``unpacked``."""

    multiplied: tuple[int, ...] = ()
    """Positions in ``saved`` of what backward reads in products alone, which may round it."""
    packing: Any = None
    """Hooks for what is saved if this context has none: those of its precision (activations.py)."""

    needs: tuple[bool, ...] = ()
    inputs: Any = NOT_CALLED
    saved: Any = ()
    versions: Any = ()
    read: Any = ()
    cache = None
    hooks: Any = None
    _own_frames = 3

    def __init_subclass__(cls):
        # In autograd.ops a function calls the Op: one more frame to skip (call_site.py).
        cls._own_frames = 4 if cls.__module__.startswith("autograd.ops.") else 3

    def forward(self, xp, *inputs):
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, xp, g, *saved):
        raise TypeError(f"{type(self).__name__} defines no backward")

    def __call__(self, *args) -> Tensor:
        """Compute the output, and become its node if recording is on and an input requires it.

        ``args`` are Tensors, arrays and numbers. Raises TypeError for anything else.
        """
        if self.inputs is not NOT_CALLED:  # a node already: this call needs one of its own
            return self._uncalled_copy()(*args)
        observers = current_observers()
        if observers:
            notify(observers, "before_forward", self, args)

        # Take the inputs apart: arrays to compute with, and the nodes that they came from.
        arrays: list[Any] = []
        nodes: list[Any] = []
        needs = []
        xp = None
        for arg in args:
            if isinstance(arg, Tensor):
                array, node = arg._data, arg._node
                if xp is None:
                    xp = namespace(array)
            else:
                array = arg if type(arg) in NUMBERS else plain_operand(arg, self, len(arrays))
                node = None
            arrays.append(array)
            nodes.append(node)
            needs.append(node is not None)

        # Will there be a gradient to compute? Then ``needs`` tells backward for which inputs.
        record = True in needs and is_grad_enabled()
        self.needs = tuple(needs) if record else (False,) * len(needs)

        # Compute, with the functions of the library that the inputs belong to.
        if xp is None:
            xp = self._namespace_of_any(arrays)
        if xp is not numpy_namespace:
            device.bring_constants(xp, self)
        try:
            if len(arrays) == 1:  # calls without unpacking are faster
                data = self.forward(xp, array)
            elif len(arrays) == 2:
                data = self.forward(xp, arrays[0], array)
            else:
                data = self.forward(xp, *arrays)
        except Exception as error:
            self._explain(error, arrays)
            raise
        if type(data) is not xp.array_type:
            data = self.as_array(xp, data)

        # Wrap the result. If it has a gradient, this Op becomes its node, and keeps what its
        # derivative will need.
        version = args[0]._version if self.returns_view and isinstance(args[0], Tensor) else [0]
        kind = data.dtype.kind
        record = record and kind == "f"
        output = new_tensor(Tensor)
        output._data, output._node, output._grad = data, self if record else None, None
        output._version = version
        if record:
            self._record(args, arrays, nodes, data, version)
        else:
            self.cache = None
            if kind not in "fiub":
                refuse_result(self, data.dtype)
        if observers:
            notify(observers, "after_forward", self, args, output)
        return output

    def _uncalled_copy(self):
        """A copy that knows nothing of the call in which this Op became a node."""
        op = copy(self)
        op.inputs, op.cache, op.hooks = NOT_CALLED, None, None
        return op

    def _namespace_of_any(self, arrays):
        """The namespace of the first array there is, where no input is a Tensor.

        It may be an attribute, such as a condition; without one, numbers are NumPy's.
        """
        values = (*arrays, *vars(self).values())
        return next((namespace(a) for a in values if is_array(a)), numpy_namespace)

    def _explain(self, error, arrays):
        """Turn an error of forward into one that names the operands, if they are the reason."""
        device.refuse_mixture(type(self).__name__, arrays)
        refuse_missing(self, arrays, error)
        name_operands(self, arrays, error)

    def _record(self, args, arrays, nodes, data, version):
        """Become the node of the output ``data``: link to the inputs' nodes, save what is needed.

        A Tensor's version is a list of one number, which its views share and every change raises.
        With each saved Tensor the list is kept, and the number it held: if they differ in backward,
        the value has changed.
        """
        self.inputs = nodes
        self.shape, self.dtype, self.order = data.shape, data.dtype, next(creation_order)
        self.site = call_site(self._own_frames)
        saved: list[Any] = []
        versions: list[Any] = []
        only_for = self.saved_for
        for i in self.save_inputs:
            value, source = arrays[i], args[i]
            if only_for and i in only_for and not self._needs_any(only_for[i]):
                value = source = None
            saved.append(value)
            if isinstance(source, Tensor):
                versions.append((source._version, source._version[0]))
            else:
                versions.append(None)
        if self.save_output:
            saved.append(data)
            versions.append((version, version[0]))
        if self.read:
            versions.extend(self.read)
        self.saved, self.versions = saved, versions
        packing = current_hooks()
        if packing is None:
            packing = self.packing
        if packing is not None:
            packing.pack(self)

    def as_array(self, xp, data):
        """The output as an array: NumPy's reductions return scalars, and we keep 0-d arrays."""
        return xp.asarray(data)

    def reading(self, *values: Any) -> Self:
        """Note the versions of the Tensors among ``values``, whose arrays this Op keeps.

        An argument without a derivative (an index, targets, a mask) is kept as a raw array. If the
        Tensor that it came from is changed before backward, that is an error, as it is for inputs.
        Returns the Op itself.
        """
        for value in values:
            if isinstance(value, Tensor):
                self.read = (*self.read, (value._version, value._version[0]))
            elif type(value) in (tuple, list):
                self.reading(*value)
        return self

    def _needs_any(self, inputs):
        for i in inputs:
            if i < len(self.needs) and self.needs[i]:
                return True
        return False

    def _saved_tensors(self):
        """What was saved, as Tensors that continue this graph (for ``create_graph``)."""
        nodes = [self.inputs[i] for i in self.save_inputs]
        if self.save_output:
            nodes.append(self)
        return [
            Tensor._make(value, node, version[0] if version else [0]) if is_array(value) else value
            # not strict: after the versions of what was saved come those of ``read``
            for value, node, version in zip(self.saved, nodes, self.versions, strict=False)
        ]

    def __repr__(self):
        return f"<{type(self).__name__} {describe_site(self)}>"
