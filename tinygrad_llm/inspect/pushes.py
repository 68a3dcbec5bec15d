"""Where the loss pushes: of one training row, what backward tells the model about every token.

    explain_sft    a row of supervised fine-tuning, alone or packed with others
    explain_pair   a pair of preferences: DPO and its relatives, ORPO

A token is predicted at the position before it, from logits z. dL/dz says which ids that position
should find more likely (negative: gradient descent raises the logit) and which less. It is the
engine's, from backward through the loss of training. Next to it stands the closed form
(closed_form.py), and ``Pushes.difference`` is how far the two are apart at most, over all positions
and ids.

Beneath the logits the loss goes on: attention carries it to every token that had a say in the
prediction. ``TokenPush.reach`` is the length of dL/dx at the token's embedding x.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autograd import Tensor, ops
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.collate import Rows, all_tokens, collate
from tinygrad_llm.finetune.examples import Example, Pair
from tinygrad_llm.finetune.logps import IGNORE, lengths, sequence_logps
from tinygrad_llm.finetune.lora import disable_adapter
from tinygrad_llm.finetune.losses import dpo_loss, orpo_loss, sft_loss
from tinygrad_llm.finetune.packing import Packed
from tinygrad_llm.inspect.closed_form import (
    closed_form,
    log_softmax,
    pair_factors,
    sft_factor,
)
from tinygrad_llm.inspect.measure import Measured, measure
from tinygrad_llm.tokenizer import Tokenizer

OTHERS = 4  # ids that are listed of a position, besides the token's own


@dataclass(frozen=True)
class Other:
    """Another id at a position: its text, its probability, and dL/dz of its logit."""

    text: str
    p: float
    gradient: float


@dataclass(frozen=True)
class TokenPush:
    """A token of a row, and what the loss says about it.

    The first token of a text is predicted nowhere: it has no ``logp``, and nothing is pushed.
    """

    id: int
    text: str
    document: int = 0
    """The number of its text in a packed row."""
    counts: bool = False
    """Whether its label counts. If not, ``gradient`` and ``norm`` are 0, exactly."""
    logp: float | None = None
    """Its log-probability under the policy."""
    reference_logp: float | None = None
    """The same under the reference, in pairs."""
    gradient: float = 0.0
    """dL/dz of its own logit."""
    norm: float = 0.0
    """The length of dL/dz, over all ids."""
    reach: float | None = None
    """The length of dL/dx at its embedding; None for a last token, which no prediction sees."""
    others: tuple[Other, ...] = ()
    """The other ids whose logits are pushed most."""
    both: float | None = None
    """In pairs, where the answers are the same up to here: dL/dz of its logit, summed over both."""
    both_norm: float | None = None
    """The length of that sum, over all ids."""


@dataclass(frozen=True)
class Line:
    """The tokens of one row, and the factor c of its closed form, dL/dz = c (e_y - p)."""

    name: str
    tokens: tuple[TokenPush, ...]
    factor: float


@dataclass(frozen=True)
class Pushes:
    """What the loss says about a row, or about a pair: its ``lines`` are then chosen, rejected."""

    loss_type: str
    loss: float
    lines: tuple[Line, ...]
    difference: float
    """The largest difference of the engine's dL/dz and the closed form."""
    largest: float
    """The largest number in the closed form."""
    rewards: tuple[float, float] | None = None
    """Of a pair: beta (policy - reference) of the chosen and of the rejected answer."""

    @property
    def is_pair(self) -> bool:
        """Whether the lines are two answers to a prompt."""
        return self.rewards is not None


def explain_sft(
    model: Any, tokenizer: Tokenizer, row: Example | Packed, document: int | None = None
) -> Pushes:
    """What the loss of supervised fine-tuning, a mean over labels, says about a row.

    Of a packed row, ``document`` takes the labels of the text of that number alone, so that the
    others are its neighbours. Raises UserError if the row is longer than the model's context, and
    for a token table that is stored quantized.
    """
    rows = collate([row])
    labels = rows.labels
    if document is not None and rows.documents is not None:
        start = np.unique(rows.documents)[document]
        labels = np.where(rows.documents == start, labels, IGNORE)
    measured = measure(model, rows, lambda logits: sft_loss(logits, labels))
    factors = np.array([sft_factor(int(lengths(labels)[0]))])
    lines = [_line("row", tokenizer, measured, 0, row, labels, factors)]
    return _pushes("sft", measured, labels, factors, lines)


def explain_pair(
    model: Any,
    tokenizer: Tokenizer,
    pair: Pair,
    *,
    reference: Any = None,
    loss_type: str = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Pushes:
    """What a loss of preferences says about a pair: a prompt, a chosen and a rejected answer.

    ``reference`` is a model. None means ``model`` without its adapters; if it has none, that is the
    model itself, and policy and reference are equal as before the first step. loss_type is "orpo"
    or one of ``losses.DPO_LOSSES``; the other options are those of its function in losses.py.
    Raises what ``explain_sft`` raises.
    """
    examples = pair.examples()
    rows = collate(examples)
    average = loss_type == "orpo"
    sizes = lengths(rows.labels)  # (2,)
    before = _reference_logits(model, reference, rows)  # (2, T, V)
    old = sequence_logps(Tensor(before), rows.labels).numpy()  # (2,)

    def losses_and_rewards(logps: Tensor) -> tuple[Any, Any, Any]:
        if average:
            return orpo_loss(logps[:1], logps[1:], beta)
        return dpo_loss(
            logps[:1], logps[1:], old[:1], old[1:], beta, label_smoothing, loss_type,
            (sizes[:1], sizes[1:]),
        )  # fmt: skip

    def loss(logits: Tensor) -> Tensor:
        return ops.mean(losses_and_rewards(sequence_logps(logits, rows.labels, average))[0])

    measured = measure(model, rows, loss)
    logps = sequence_logps(Tensor(measured.logits), rows.labels)  # (2,)
    factors = pair_factors(logps.numpy(), old, sizes, loss_type, beta, label_smoothing)
    _, *rewards = losses_and_rewards(logps / sizes.astype(logps.dtype) if average else logps)
    lines = [
        _line(name, tokenizer, measured, b, row, rows.labels, factors, before)
        for b, (name, row) in enumerate(zip(("chosen", "rejected"), examples, strict=True))
    ]
    lines = _with_sums(lines, measured, pair)
    return replace(
        _pushes(loss_type, measured, rows.labels, factors, lines),
        rewards=(rewards[0].item(), rewards[1].item()),
    )


def _reference_logits(model: Any, reference: Any, rows: Rows) -> np.ndarray:
    if reference is not None:
        with evaluating(reference):
            return reference(rows.ids).numpy()
    with evaluating(model), disable_adapter(model):
        return model(rows.ids).numpy()


# --- token by token -------------------------------------------------------------------------------


def _pushes(
    loss_type: str, measured: Measured, labels: np.ndarray, factors: np.ndarray, lines: list[Line]
) -> Pushes:
    """The lines, with how far engine and closed form are apart at any position (b, t)."""
    difference = largest = 0.0
    for b, t in np.ndindex(labels.shape):
        expected = closed_form(measured.logits[b, t], int(labels[b, t]), float(factors[b]))
        difference = max(difference, float(np.abs(measured.g_logits[b, t] - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    return Pushes(loss_type, measured.loss, tuple(lines), difference, largest)


def _line(
    name: str,
    tokenizer: Tokenizer,
    measured: Measured,
    b: int,
    row: Example | Packed,
    labels: np.ndarray,
    factors: np.ndarray,
    reference_logits: np.ndarray | None = None,
) -> Line:
    """Row ``b`` of a batch, of whose labels those of ``labels`` (B, T) count."""
    tokens = []
    for document, (start, part) in enumerate(_texts(row)):
        ids = all_tokens(part).tolist()
        for i, (id_, text) in enumerate(zip(ids, pieces(tokenizer, ids), strict=True)):
            token, t = TokenPush(id_, text, document), start + i
            if i > 0:  # it is predicted at the position before
                token = _predicted(token, tokenizer, measured, b, t - 1, reference_logits)
                token = replace(token, counts=bool(labels[b, t - 1] != IGNORE))
            if i < len(part.ids):
                token = replace(token, reach=_length(measured.g_inputs[b, t]))
            tokens.append(token)
    return Line(name, tuple(tokens), float(factors[b]))


def _texts(row: Example | Packed) -> Iterator[tuple[int, Example]]:
    """The texts of a row, each with the position at which it starts."""
    starts = getattr(row, "documents", np.zeros(len(row.ids), np.int64))
    bounds = [*np.unique(starts).tolist(), len(row.ids)]
    for start, stop in itertools.pairwise(bounds):
        yield start, Example(row.ids[start:stop], row.labels[start:stop])


def _predicted(
    token: TokenPush,
    tokenizer: Tokenizer,
    measured: Measured,
    b: int,
    t: int,
    reference_logits: np.ndarray | None,
) -> TokenPush:
    """The token with what position t of row b predicts, and what the loss says to that."""
    logps, g = log_softmax(measured.logits[b, t]), measured.g_logits[b, t]  # (V,)
    others: tuple[Other, ...] = ()
    if g.any():
        largest = np.argsort(-np.abs(g), kind="stable")[: OTHERS + 1].tolist()
        largest = [j for j in largest if j != token.id][:OTHERS]
        texts = [pieces(tokenizer, [token.id, j])[1] for j in largest]
        others = tuple(
            Other(text, float(np.exp(logps[j])), float(g[j]))
            for text, j in zip(texts, largest, strict=True)
        )
    if reference_logits is not None:
        reference = float(log_softmax(reference_logits[b, t])[token.id])
        token = replace(token, reference_logp=reference)
    return replace(
        token, logp=float(logps[token.id]), gradient=float(g[token.id]), norm=_length(g),
        others=others,
    )  # fmt: skip


def _with_sums(lines: list[Line], measured: Measured, pair: Pair) -> list[Line]:
    """The lines of a pair with ``both``, up to the first token in which the answers differ.

    So far both positions have read the same, and their logits are equal. What the two gradients
    have in common is then for the same weights and the same inputs, and only the sum is left.
    """
    n = len(pair.prompt)
    ends = min(len(pair.chosen), len(pair.rejected))
    differs = np.flatnonzero(pair.chosen[:ends] != pair.rejected[:ends])
    stop = n + (int(differs[0]) + 1 if len(differs) else ends)
    found = []
    for line in lines:
        tokens = list(line.tokens)
        for i in range(n, stop):
            both = measured.g_logits[:, i - 1].sum(axis=0)  # (V,)
            value = float(both[tokens[i].id])
            tokens[i] = replace(tokens[i], both=value, both_norm=_length(both))
        found.append(replace(line, tokens=tuple(tokens)))
    return found


def _length(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(np.float64)))


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Each id as the text that it adds to those before it.

    Bytes that are no whole character stay visible as \\xNN, and so do ids that stand for no text.
    """
    texts = []
    for before, id_ in zip([None, *ids], ids, strict=False):
        try:
            texts.append(tokenizer.decode_bytes([id_], before).decode("utf-8", "backslashreplace"))
        except UserError:  # a model may have more ids than its tokenizer
            texts.append(f"<{id_}>")
    return texts
