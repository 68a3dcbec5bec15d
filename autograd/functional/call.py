"""One call of a function that is to be differentiated: what ``transforms.py`` is built on.

The arguments are flattened, replaced by new tensors, and rebuilt; the function runs; its output is
flattened in turn. From then on there are only lists of inputs and outputs, and ``pull`` carries
weights of the outputs back to the inputs: u^T J.
"""

from autograd import ops
from autograd._tensor import Tensor
from autograd.backward import grad, nodes_since
from autograd.device import is_array, namespace
from autograd.engine import Op
from autograd.functional.tree import flatten
from autograd.grad_mode import enable_grad, is_grad_enabled
from autograd.leaf import creation_order
from autograd.questions import see


class Input(Op):
    """y = x, a new node: what one transformation differentiates by.  Back: g."""

    returns_view = True

    def forward(self, xp, x):
        return x

    def backward(self, xp, g):
        return g


class Call:
    """f called on fresh tensors, made from the arguments that ``argnums`` names.

    ``inputs`` are these tensors and ``outputs`` the output's leaves. ``depends_on_more`` says
    whether the outputs depend on anything else that requires a gradient: then results are recorded.
    """

    def __init__(self, name, f, args, kwargs, argnums, has_aux):
        self.name, self.has_aux = name, has_aux
        recording = is_grad_enabled()
        start = next(creation_order)
        args, chosen = list(args), _chosen(name, argnums, len(args))
        leaves, self.in_structure = flatten(
            args[chosen] if isinstance(chosen, int) else tuple([args[i] for i in chosen])
        )
        with enable_grad():
            self.inputs = [
                _fresh(leaf, recording, f"{name}: argument {path}")
                for leaf, path in zip(leaves, self._paths(chosen), strict=True)
            ]
            fresh = self.in_structure.build(self.inputs)
            if isinstance(chosen, int):
                args[chosen] = fresh
            else:
                for i, tree in zip(chosen, fresh, strict=True):
                    args[i] = tree
            output, self.aux = _output_and_aux(name, f(*args, **kwargs), has_aux)
        self.outputs, self.out_structure = flatten(output)
        for y, path in zip(self.outputs, self.out_structure.paths(), strict=True):
            _check_output(name, y, path)
        aux = [x for x in flatten(self.aux)[0] if isinstance(x, Tensor)]
        self.depends_on_more = recording and bool(nodes_since(start, [*self.outputs, *aux])[0])

    def _paths(self, chosen):
        if isinstance(chosen, int):
            return self.in_structure.paths(str(chosen))
        parts = zip(chosen, self.in_structure.children, strict=True)
        return [path for i, part in parts for path in part.paths(str(i))]

    def check_single_number(self):
        """Raise ValueError unless the output is one Tensor of shape ()."""
        if self.out_structure.kind is not None:
            raise ValueError(f"{self.name}: f returned {self.out_structure}, expected one number")
        (y,) = self.outputs
        if y.shape != ():
            raise ValueError(
                f"{self.name}: f returned a Tensor of shape {y.shape}, expected a single number, "
                "of shape (): sum or average it, or use jacobian or vjp" + see("What is a vjp?")
            )

    def cotangents(self, tree):
        """u as Tensors shaped and typed like the outputs."""
        us = self.out_structure.leaves_of(tree, f"{self.name}: the cotangent")
        paths = self.out_structure.paths()
        return [
            _like(y, u, f"{self.name}: the cotangent{path}")
            for y, u, path in zip(self.outputs, us, paths, strict=True)
        ]

    def pull(self, us, create_graph, retain_graph=None):
        """u^T J for each input: ``us`` has a weight for each output (None: 1)."""
        return pull(self.outputs, self.inputs, us, create_graph, retain_graph)

    def like_inputs(self, leaves):
        """The tree of ``leaves``, one per input, in the structure of the arguments."""
        return self.in_structure.build(leaves)

    def result(self):
        """The result of f, with its history only if the outputs depend on more than the inputs."""
        output = self.out_structure.build([self._plain(y) for y in self.outputs])
        if not self.has_aux:
            return output
        leaves, structure = flatten(self.aux)
        return output, structure.build([self._plain(leaf) for leaf in leaves])

    def _plain(self, x):
        cut = isinstance(x, Tensor) and x.requires_grad and not self.depends_on_more
        return x.detach() if cut else x


def call_along(name, f, primals, tangents, has_aux):
    """The call of f on all of ``primals``, and the ``tangents`` as Tensors like its inputs."""
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError(
            f"{name}: primals and tangents are tuples, with one entry for each argument of f; "
            f"found {type(primals).__name__} and {type(tangents).__name__}"
        )
    call = Call(name, f, primals, {}, tuple(range(len(primals))), has_aux)
    vs = call.in_structure.leaves_of(tuple(tangents), f"{name}: tangents")
    paths = call.in_structure.paths()
    pairs = zip(call.inputs, vs, paths, strict=True)
    return call, [_like(x, v, f"{name}: tangents{path}") for x, v, path in pairs]


def pull(outputs, inputs, weights, create_graph, retain_graph=None):
    """autograd.grad, with zeros for an input that the outputs do not depend on."""
    pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    gradients = grad(
        [y for y, _ in pairs],
        inputs,
        [w for _, w in pairs],
        create_graph=create_graph,
        retain_graph=retain_graph,
        allow_unused=True,
    )
    return [
        Tensor(namespace(x.data).zeros_like(x.data)) if g is None else g
        for x, g in zip(inputs, gradients, strict=True)
    ]


def want_gradients(tensors):
    return is_grad_enabled() and any(x.requires_grad for x in tensors)


def _chosen(name, argnums, n):
    """``argnums``, an index or a tuple of indices, counted from the front."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in numbers:
        if not -n <= i < n:
            raise ValueError(
                f"{name}: argnums is {argnums}, but f was called with {n} positional arguments"
            )
    if isinstance(argnums, int):
        return argnums % n
    if len({i % n for i in numbers}) < len(numbers):
        raise ValueError(f"{name}: argnums is {argnums}, which names an argument twice")
    return tuple([i % n for i in numbers])


def _fresh(value, recording, where):
    """A tensor of the same array to differentiate by, whose gradients reach no ``.grad``."""
    x = _tensor_of(value, where)
    if x.dtype.kind != "f":
        raise TypeError(
            f"{where} is {x.dtype}, and only floating-point arrays have derivatives: convert it "
            "with .astype(np.float32), or leave it out of argnums"
            + see("Why has argmax no gradient?")
        )
    if x.requires_grad and recording:
        return Input()(x)
    x = x.detach()
    x.requires_grad = True
    return x


def _tensor_of(value, where):
    if isinstance(value, Tensor):
        return value
    try:
        return Tensor(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where} is {type(value).__name__}, expected an array, a Tensor, or nested tuples, "
            "lists and dicts of them"
        ) from None


def _like(x, value, where):
    """``value`` as a Tensor of x's shape, dtype and library, or a ValueError."""
    if not isinstance(value, Tensor) and not is_array(value):
        value = namespace(x.data).asarray(value)
    value = _tensor_of(value, where)
    if value.shape != x.shape:
        raise ValueError(f"{where} has shape {value.shape}, expected {x.shape}")
    return ops.astype(value, x.dtype)


def _output_and_aux(name, result, has_aux):
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{name}: with has_aux f must return (output, aux), but it returned "
            f"{type(result).__name__}"
        )
    return result


def _check_output(name, y, path):
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{name}: f returned {type(y).__name__}{' at ' + path if path else ''}, expected a "
            "Tensor: compute with autograd.ops, on Tensors throughout"
        )
    if y.dtype.kind != "f":
        raise TypeError(
            f"{name}: f returned a Tensor of {y.dtype}{' at ' + path if path else ''}, which has "
            "no derivative" + see("Why has argmax no gradient?")
        )
