"""Looking into a model while it reads: what each layer would say, where each head looks.

    logit_lens        the residual stream after every layer, read by the model's own last layer
    residual_stream   those states themselves
    attention_maps    the weights P of every head, and what kind of head that makes it
    input_gradients   how much the loss would change with each token that was read

All of it is seen in the model's own passes (watch.py). The layers only ever *add* to the residual
stream, so each state of it can be read by what reads the last one, the final normalization and the
head: the prediction is seen taking shape (nostalgebraist, "interpreting GPT: the logit lens",
2020). That the fused attention never stores P is no obstacle: its definition (reference.py in its
folder) gives P from the queries and keys that the operation was called with.

Shape letters: T tokens of one text, L layers of H heads, K = ``top`` of V ids, C channels.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autograd import Tensor, enable_grad, grad
from autograd.device import numpy_namespace
from autograd.kernels.attention import reference as packed
from autograd.kernels.grouped_query_attention import reference as grouped
from autograd.observe import Observer
from autograd.ops.attention import CausalAttention
from autograd.ops.grouped_attention import GroupedQueryAttention
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.inspect.measure import frozen
from tinygrad_llm.inspect.watch import parts_of, watched

Ids = Sequence[int] | np.ndarray
ROWS = 32  # positions whose V probabilities exist in float64 at the same time


# --- the logit lens -------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogitLens:
    """What each of N = L + 1 states of the residual stream predicts, at each of T positions."""

    ids: np.ndarray
    """(T,): the tokens that were read."""
    names: tuple[str, ...]
    """Of the N states: "embedding", and the layer after which each of the others was seen."""
    top_ids: np.ndarray
    """(N, T, K): the most likely ids, the most likely first."""
    top_p: np.ndarray
    """(N, T, K): their probabilities."""
    entropy: np.ndarray
    """(N, T), in nats: 0 is certainty, ln V is no idea."""
    rank: np.ndarray
    """(N, T - 1): the place of the token that does come next, 1 for the most likely."""
    logp: np.ndarray
    """(N, T - 1): its log-probability, in nats."""
    difference: float
    """How far the last state's logits and those of ``model(ids)`` are apart at most: 0.0."""

    @property
    def settled(self) -> np.ndarray:
        """(T,): the first state from which on the most likely id is that of the last one."""
        same = self.top_ids[..., 0] == self.top_ids[-1, :, 0]  # (N, T)
        return len(same) - np.cumprod(same[::-1], axis=0).sum(axis=0)


def logit_lens(model: Any, ids: Ids, top: int = 5) -> LogitLens:
    """Every state of the residual stream, through the last normalization and the head.

    Raises UserError for a model that is neither a GPT nor a Llama, and for ids that do not fit it:
    none, more than its context, or an id outside its vocabulary.
    """
    ids = checked_ids(ids)
    if top < 1:
        raise UserError(f"top is {top}, but must be at least 1")
    with evaluating(model):
        stream, last = _stream(model, ids)
    names, found = [], []
    for name, logits in _layer_logits(model, stream):
        names.append(name)
        found.append(_read(logits, ids[1:], top))
    top_ids, top_p, entropy, rank, logp = (np.stack(arrays) for arrays in zip(*found, strict=True))
    difference = float(np.abs(logits - last).max())
    return LogitLens(ids, tuple(names), top_ids, top_p, entropy, rank, logp, difference)


def residual_stream(model: Any, ids: Ids) -> list[tuple[str, np.ndarray]]:
    """The states (T, C) of the residual stream, each with its name: "embedding", "h.0", ...

    Raises what ``logit_lens`` raises.
    """
    with evaluating(model):
        stream, _ = _stream(model, checked_ids(ids))
    return [(name, x.numpy()[0]) for name, x in stream]


def layer_logits(model: Any, ids: Ids) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs (name, logits (T, V)), one for each state of the residual stream, one at a time.

    The first is what the embedding alone predicts, the last are the model's own logits. Raises what
    ``logit_lens`` raises.
    """
    with evaluating(model):
        stream, _ = _stream(model, checked_ids(ids))
    yield from _layer_logits(model, stream)


def _layer_logits(
    model: Any, stream: Sequence[tuple[str, Tensor]]
) -> Iterator[tuple[str, np.ndarray]]:
    norm = parts_of(model).norm
    for name, x in stream:
        with evaluating(model):
            yield name, model.logits(norm(x)).numpy()[0]


def _stream(model: Any, ids: np.ndarray) -> tuple[list[tuple[str, Tensor]], np.ndarray]:
    """The states (1, T, C) of the residual stream by name, and the model's logits (T, V)."""
    parts = parts_of(model)
    states: list[tuple[str, Tensor]] = []

    def after(name: str) -> Any:
        def see(x: Tensor, y: Tensor) -> None:
            if not states:
                states.append(("embedding", x))
            states.append((name, y))

        return see

    with contextlib.ExitStack() as stack:
        for name, block in zip(parts.names, parts.blocks, strict=True):
            stack.enter_context(watched(block, after(name)))
        logits = model(ids[None]).numpy()[0]
    return states, logits


def _read(logits: np.ndarray, targets: np.ndarray, top: int) -> tuple[np.ndarray, ...]:
    """The most likely ids of logits (T, V), their p, the entropy, and rank and log p of targets."""
    found: list[list[np.ndarray]] = [[], [], [], [], []]
    for start in range(0, len(logits), ROWS):
        best = _largest(logits[start : start + ROWS], top)  # (R, K)
        z = logits[start : start + ROWS].astype(np.float64)  # (R, V)
        z -= z.max(axis=-1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=-1)  # (R,)
        entropy = np.log(total) - np.einsum("rv,rv->r", e, z) / total
        p = np.take_along_axis(e, best, axis=-1) / total[:, None]  # (R, K)
        goal = targets[start : start + ROWS, None]
        own = np.take_along_axis(z[: len(goal)], goal, axis=-1)  # (R, 1)
        rank = 1 + (z[: len(goal)] > own).sum(axis=-1)
        logp = own[:, 0] - np.log(total[: len(goal)])
        for part, value in zip(found, (best, p, entropy, rank, logp), strict=True):
            part.append(value)
    return tuple(map(np.concatenate, found))


def _largest(z: np.ndarray, n: int) -> np.ndarray:
    """The places of the n largest numbers in each row, the largest first, of equal ones the first.

    Which of several equal ones are the last of the n is left open.
    """
    n = min(n, z.shape[-1])
    some = np.sort(np.argpartition(z, -n, axis=-1)[:, -n:])
    order = np.argsort(-np.take_along_axis(z, some, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(some, order, axis=-1)


# --- attention ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttentionMaps:
    """Where every head looks, and what that says of the head.

    The numbers of a head are means over its queries but the first, which sees itself alone.
    """

    weights: dict[int, np.ndarray]
    """Of each layer that was asked for, P (H, T, T): row t says how query t divides its attention
    among the keys 0 to t."""
    entropy: np.ndarray
    """(L, H), in nats: 0 looks at one token, ln t at t tokens alike."""
    first: np.ndarray
    """(L, H): the share that goes to the first token."""
    previous: np.ndarray
    """(L, H): the share that goes to the token before the query."""
    repeated: np.ndarray
    """(L, H): the share that goes to what came next the last time the query's token was read, as
    induction heads do (Olsson et al. 2022); NaN where no token is repeated."""
    difference: float
    """How far P V and what the model's attention returned are apart at most."""
    largest: float
    """The largest number that it returned."""


def attention_maps(model: Any, ids: Ids, layers: Sequence[int] | None = None) -> AttentionMaps:
    """The attention weights of ``layers`` (None: of all), and the numbers of every head.

    All weights together are 4 L H T^2 bytes. Raises what ``logit_lens`` raises, and UserError for a
    layer that the model does not have.
    """
    ids = checked_ids(ids)
    n = len(parts_of(model).blocks)
    for layer in layers or ():
        if not 0 <= layer < n:
            raise UserError(f"the model has layers 0 to {n - 1}, so there is no layer {layer}")
    watch = _AttentionWatch(ids, range(n) if layers is None else layers)
    with evaluating(model), watch:
        model.hidden(ids[None])
    return watch.maps()


class _AttentionWatch(Observer):
    """Sees the operations of attention, whose order is that of the layers."""

    def __init__(self, ids: np.ndarray, layers: Sequence[int]) -> None:
        self.ids, self.layers = ids, set(layers)
        self.weights: dict[int, np.ndarray] = {}
        self.numbers: list[np.ndarray] = []
        self.differences, self.sizes = [0.0], [0.0]

    def after_forward(self, op: Any, args: Any, output: Tensor) -> None:
        if not isinstance(op, (CausalAttention, GroupedQueryAttention)):
            return
        p, pv = weights_of(op, *(_plain(arg) for arg in args))
        y = _plain(output)
        self.differences.append(float(np.abs(pv - y).max()))
        self.sizes.append(float(np.abs(y).max()))
        if len(self.numbers) in self.layers:
            self.weights[len(self.numbers)] = p
        self.numbers.append(_numbers_of_heads(p, self.ids))

    def maps(self) -> AttentionMaps:
        entropy, first, previous, repeated = np.stack(self.numbers, axis=1)  # (L, H) each
        return AttentionMaps(
            self.weights, entropy, first, previous, repeated, max(self.differences), max(self.sizes)
        )


def weights_of(
    op: CausalAttention | GroupedQueryAttention, *inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P (H, T, T) of one text, by the definition of the operation, and P V as it returns that."""
    if isinstance(op, CausalAttention):
        q, k, v = packed.split(np, inputs[0], op.n_head)  # (1, H, T, D)
        p = packed.weights(numpy_namespace, q, k)[0]  # (1, H, T, T)
        pv = np.swapaxes(p @ v, 1, 2).reshape(1, q.shape[2], -1)  # (1, T, C)
    else:
        q, k, v = inputs
        p = grouped.weights(numpy_namespace, q, k, *op.options)[0]  # (1, G, H/G, T, T)
        pv = (p @ v[:, :, None]).reshape(q.shape)  # (1, H, T, D)
        p = p.reshape(*q.shape[:3], -1)
    return p[0], pv


def _numbers_of_heads(p: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Entropy, and the shares on the first, the previous and the repeated token: (4, H)."""
    p = p.astype(np.float64)
    rows = p[:, 1:] if len(ids) > 1 else p  # (H, T - 1, T)
    logs = np.log(np.where(rows > 0, rows, 1.0))
    entropy = -(rows * logs).sum(axis=-1).mean(axis=-1)
    first = rows[..., 0].mean(axis=-1)
    t = np.arange(1, len(ids))
    previous = p[:, t, t - 1].mean(axis=-1) if len(t) else np.full(len(p), np.nan)
    queries, keys = _after_the_last_time(ids)
    repeated = p[:, queries, keys].mean(axis=-1) if queries else np.full(len(p), np.nan)
    return np.stack((entropy, first, previous, repeated))


def _after_the_last_time(ids: np.ndarray) -> tuple[list[int], list[int]]:
    """The positions of tokens that were read before, and those that followed them then."""
    seen: dict[int, int] = {}
    queries, keys = [], []
    for t, token in enumerate(ids.tolist()):
        if token in seen:
            queries.append(t)
            keys.append(seen[token] + 1)
        seen[token] = t
    return queries, keys


def _plain(value: Any) -> np.ndarray:
    """A tensor's numbers in main memory, in a type in which a sum of exponentials is not lost."""
    array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float16 else array


# --- gradients of the inputs ----------------------------------------------------------------------


@dataclass(frozen=True)
class InputGradients:
    """What the loss says to the embeddings x (T - 1, C) of the tokens that were read.

    The last token of the text is not among them: it is only predicted.
    """

    of: str
    """"last": the loss of the last token; "all": the mean over all tokens but the first."""
    loss: float
    """In nats."""
    gradient: np.ndarray
    """(T - 1, C): dL/dx."""
    length: np.ndarray
    """(T - 1,): of that vector."""
    times_input: np.ndarray
    """(T - 1,): the sum of x dL/dx over the channels: positive where less of x would lower the
    loss, to first order (Shrikumar et al. 2017)."""


def input_gradients(model: Any, ids: Ids, of: Literal["last", "all"] = "last") -> InputGradients:
    """The gradient of the loss at the row of the token table that each position was given.

    Weights may be stored quantized: they are constants here, and the gradient passes through their
    products. Raises what ``logit_lens`` raises, and UserError for a single token, which has no
    loss.
    """
    ids = checked_ids(ids)
    if of not in ("last", "all"):
        raise UserError(f"of is {of!r}, but must be 'last' or 'all'")
    if len(ids) < 2:
        raise UserError("one token alone predicts nothing that is known, so there is no loss")
    targets = ids[None, 1:].copy()
    if of == "last":
        targets[:, :-1] = IGNORE
    inputs: list[Tensor] = []

    def see(_: Any, x: Tensor) -> None:
        if not x.requires_grad:
            x.requires_grad = True
        inputs.append(x)

    with evaluating(model), frozen(model), enable_grad(), watched(parts_of(model).table, see):
        loss = model.loss(ids[None, :-1], targets, ignore_index=IGNORE)
        (g,) = grad(loss, inputs[:1])
    x, gradient = (a.numpy()[0].astype(np.float64) for a in (inputs[0], g))  # (T - 1, C)
    return InputGradients(
        of, loss.item(), gradient, np.linalg.norm(gradient, axis=-1), (gradient * x).sum(axis=-1)
    )


def checked_ids(ids: Ids) -> np.ndarray:
    """Ids (T,) as int64. Raises UserError unless they are at least one integer in a row."""
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise UserError(
            f"ids are {array.dtype} {array.shape}, expected (T,) integers: the tokens of one text"
        )
    if array.size == 0:
        raise UserError("the text is empty: there is no token to look at")
    return array.astype(np.int64)
