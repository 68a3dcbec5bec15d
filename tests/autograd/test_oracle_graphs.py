"""Random expression graphs of 5 to 40 operations against PyTorch, to first and second order.

A seed fixes the graph, its constants and its inputs. Every node has one of four shapes that
broadcast together, and each operation first brings its arguments where it wants them, so that any
node can feed any other; old nodes are used again and again, which is what accumulation is for.
Values are kept of order 1, and every kink is moved by a random constant away from exact ties.
"""

import numpy as np
import pytest

from autograd import ops

torch = pytest.importorskip("torch", reason="compares random graphs with PyTorch")
F = torch.nn.functional

from oracle.compare import assert_near, ours, theirs  # noqa: E402

SHAPES = [(3, 4), (4,), (3, 1), ()]
ROWS, COLUMNS = [2, 0, 2], [3, 1, 1, 0]
MASK = np.arange(12).reshape(3, 4) % 3 == 1


def wide(xp, x):
    return xp.broadcast_to(x, (3, 4))


# name: (our operation, PyTorch's), each of two nodes a, b and a constant c of shape (3, 4). Those
# that could leave the range of order 1 are wrapped in a bounded function.
OPERATIONS = {
    "add": (lambda a, b, c: ops.add(a, b) / 2, lambda a, b, c: (a + b) / 2),
    "subtract": (ops.subtract, torch.sub),
    "multiply": (ops.multiply, torch.mul),
    "divide": (lambda a, b, c: a / (2 + ops.sin(b)), lambda a, b, c: a / (2 + torch.sin(b))),
    "power": (
        lambda a, b, c: ops.power(1 + ops.square(ops.tanh(a)), ops.sin(b)),
        lambda a, b, c: torch.pow(1 + torch.tanh(a) ** 2, torch.sin(b)),
    ),
    "scalars": (lambda a, b, c: 1 - 0.5 * a**3 / (1 + b * b), None),
    "exp": (lambda a, b, c: ops.exp(-a * a), lambda a, b, c: torch.exp(-a * a)),
    "expm1": (lambda a, b, c: ops.expm1(ops.tanh(a)), lambda a, b, c: torch.tanh(a).expm1()),
    "log": (lambda a, b, c: ops.log(1 + a * a), lambda a, b, c: torch.log(1 + a * a)),
    "log1p": (lambda a, b, c: ops.log1p(ops.abs(a + c)), lambda a, b, c: (a + c).abs().log1p()),
    "log2": (lambda a, b, c: ops.log2(2 + ops.cos(a)), lambda a, b, c: (2 + a.cos()).log2()),
    "sqrt": (lambda a, b, c: ops.sqrt(1 + a * a), lambda a, b, c: torch.sqrt(1 + a * a)),
    "reciprocal": (
        lambda a, b, c: ops.reciprocal(1.5 + ops.sigmoid(a)),
        lambda a, b, c: 1 / (1.5 + a.sigmoid()),
    ),
    "sin cos": (lambda a, b, c: ops.sin(a) * ops.cos(b), lambda a, b, c: a.sin() * b.cos()),
    "tan": (lambda a, b, c: ops.tan(ops.sin(a)), lambda a, b, c: a.sin().tan()),
    "arcsin": (
        lambda a, b, c: ops.arcsin(0.7 * ops.sin(a)),
        lambda a, b, c: (0.7 * a.sin()).asin(),
    ),
    "arctan2": (
        lambda a, b, c: ops.arctan2(a, 2 + ops.cos(b)),
        lambda a, b, c: torch.arctan2(a, 2 + b.cos()),
    ),
    "sinh": (lambda a, b, c: ops.sinh(ops.tanh(a)), lambda a, b, c: a.tanh().sinh()),
    "erf": (lambda a, b, c: ops.erf(a), lambda a, b, c: torch.erf(a)),
    "maximum": (lambda a, b, c: ops.maximum(a + c, b), lambda a, b, c: torch.maximum(a + c, b)),
    "clip": (lambda a, b, c: ops.clip(a + c, -0.5, 0.8), lambda a, b, c: (a + c).clamp(-0.5, 0.8)),
    "where": (
        lambda a, b, c: ops.where(MASK, a, b),
        lambda a, b, c: torch.where(torch.tensor(MASK), a, b),
    ),
    "logaddexp": (lambda a, b, c: ops.logaddexp(a, b) / 2, lambda a, b, c: a.logaddexp(b) / 2),
    "sum": (
        lambda a, b, c: ops.tanh(ops.sum(wide(ops, a), axis=0)),
        lambda a, b, c: wide(torch, a).sum(0).tanh(),
    ),
    "mean": (
        lambda a, b, c: ops.mean(wide(ops, a), axis=1, keepdims=True),
        lambda a, b, c: wide(torch, a).mean(1, keepdim=True),
    ),
    "std": (lambda a, b, c: ops.std(a + c), lambda a, b, c: torch.std(a + c, correction=0)),
    "prod": (
        lambda a, b, c: ops.prod(ops.tanh(wide(ops, a)), axis=0),
        lambda a, b, c: wide(torch, a).tanh().prod(0),
    ),
    "max": (lambda a, b, c: ops.max(a + c, axis=0), lambda a, b, c: torch.amax(a + c, 0)),
    "logsumexp": (
        lambda a, b, c: ops.logsumexp(a + c, axis=-1, keepdims=True) / 3,
        lambda a, b, c: (a + c).logsumexp(-1, keepdim=True) / 3,
    ),
    "cumsum": (lambda a, b, c: ops.cumsum(a + c, 1) / 3, lambda a, b, c: (a + c).cumsum(1) / 3),
    "cumprod": (
        lambda a, b, c: ops.cumprod(ops.sin(a + c), 0),
        lambda a, b, c: (a + c).sin().cumprod(0),
    ),
    "norm": (
        lambda a, b, c: ops.linalg.norm(a + c, axis=0) / 3,
        lambda a, b, c: torch.linalg.norm(a + c, dim=0) / 3,
    ),
    "sort": (lambda a, b, c: ops.sort(a + c, 1), lambda a, b, c: (a + c).sort(1).values),
    "matmul": (
        lambda a, b, c: ops.tanh(wide(ops, a) @ ops.transpose(wide(ops, b)) @ c),
        lambda a, b, c: torch.tanh(wide(torch, a) @ wide(torch, b).T @ c),
    ),
    "einsum": (
        lambda a, b, c: ops.sin(ops.einsum("ij,kj,kl->il", wide(ops, a), c, wide(ops, b))),
        lambda a, b, c: torch.einsum("ij,kj,kl->il", wide(torch, a), c, wide(torch, b)).sin(),
    ),
    "solve": (
        lambda a, b, c: ops.linalg.solve(
            4 * np.eye(3) + ops.tanh(wide(ops, a))[:, :3], wide(ops, b)
        ),
        lambda a, b, c: torch.linalg.solve(
            4 * torch.eye(3) + wide(torch, a).tanh()[:, :3], wide(torch, b)
        ),
    ),
    "det": (
        lambda a, b, c: ops.sin(ops.linalg.det(ops.tanh(a + c)[:, 1:])),
        lambda a, b, c: torch.det((a + c).tanh()[:, 1:]).sin(),
    ),
    "getitem": (
        lambda a, b, c: wide(ops, a)[ROWS] * wide(ops, b)[:, COLUMNS],
        lambda a, b, c: wide(torch, a)[ROWS] * wide(torch, b)[:, COLUMNS],
    ),
    "shuffle": (
        lambda a, b, c: ops.flip(ops.roll(wide(ops, a), 1, 1), 0)[:, ::2].reshape(3, 2)[:, :1],
        lambda a, b, c: wide(torch, a).roll(1, 1).flip(0)[:, ::2].reshape(3, 2)[:, :1],
    ),
    "concatenate": (
        lambda a, b, c: ops.concatenate([wide(ops, a)[:1], ops.tile(wide(ops, b)[1:2], (2, 1))]),
        lambda a, b, c: torch.cat([wide(torch, a)[:1], wide(torch, b)[1:2].tile(2, 1)]),
    ),
    "softmax": (lambda a, b, c: ops.softmax(a + c), lambda a, b, c: (a + c).softmax(-1)),
    "gelu": (lambda a, b, c: ops.gelu(a) - ops.silu(b), lambda a, b, c: F.gelu(a) - F.silu(b)),
    "norms": (
        lambda a, b, c: ops.layer_norm(a + c, wide(ops, b)[0], c[1]) / 2,
        lambda a, b, c: F.layer_norm(a + c, (4,), wide(torch, b)[0], c[1]) / 2,
    ),
    "rms": (
        lambda a, b, c: ops.rms_norm(a + c, wide(ops, b)[0]),
        lambda a, b, c: F.rms_norm(a + c, (4,), wide(torch, b)[0], eps=1e-5),
    ),
    "attention": (
        lambda a, b, c: ops.scaled_dot_product_attention(a + c, c, wide(ops, b), is_causal=True),
        lambda a, b, c: (
            ((a + c) @ c.T / 2 + torch.full((3, 3), -torch.inf).triu(1)).softmax(-1)
            @ wide(torch, b)
        ),
    ),
}
for _name, (_ours, _theirs) in OPERATIONS.items():
    if _name in ("subtract", "multiply"):
        OPERATIONS[_name] = tuple(lambda a, b, c, f=f: f(a, b) * 0.7 for f in (_ours, _theirs))
    elif _theirs is None:
        OPERATIONS[_name] = (_ours, _ours)


def program(seed):
    """[(name, a, b, constant)]: an operation and the indices of its input nodes."""
    rng = np.random.default_rng([seed, 40])
    steps = []
    for k in range(rng.integers(5, 41)):
        a, b = (int(i) for i in rng.integers(0, len(SHAPES) + k, 2))
        name = list(OPERATIONS)[rng.integers(len(OPERATIONS))]
        steps.append((name, a, b, rng.standard_normal((3, 4))))
    return steps


def run(steps, side, wrap):
    """The function of four inputs that ``steps`` describe: the sum of all nodes."""

    def f(*inputs):
        nodes = list(inputs)
        for name, a, b, c in steps:
            nodes.append(OPERATIONS[name][side](nodes[a], nodes[b], wrap(c)))
        total = nodes[len(inputs)]
        for node in nodes[len(inputs) + 1 :]:
            total = total + node
        return total

    return f


@pytest.mark.parametrize("first", range(0, 150, 10))
def test_random_graphs(first):
    for seed in range(first, first + 10):
        steps = program(seed)
        rng = np.random.default_rng([seed, 41])
        inputs = [rng.standard_normal(s) for s in SHAPES]
        y = run(steps, 0, np.asarray)(*map(ops.asarray, inputs))
        w, v = rng.standard_normal(y.shape), [rng.standard_normal(s) for s in SHAPES]
        found = ours(run(steps, 0, np.asarray), inputs, w, v)
        expected = theirs(run(steps, 1, torch.tensor), inputs, w, v)
        assert_near(found, expected, 1e-9, f"graph {seed}: {[s[:3] for s in steps]}")


def test_every_operation_is_drawn():
    drawn = [step[0] for seed in range(150) for step in program(seed)]
    assert set(drawn) == set(OPERATIONS)
    assert all(drawn.count(name) >= 20 for name in OPERATIONS)
    assert {len(program(seed)) for seed in range(150)} >= {5, 40}
