"""Log-probabilities of given tokens, which all losses of fine-tuning are functions of.

Labels are integers (B, T), already shifted: label t is the token that should follow position t.
-100 marks a position that does not count: a prompt, or padding. Its log-probability is returned as
0 and has no gradient.

From logits (B, T, V) everything here is one line. The functions whose names begin with ``hidden_``
take the last hidden state and the output layer instead, use only the rows that count, and never
hold more than a block of their logits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor, no_grad, ops
from autograd.functional import recompute
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.layers import Linear
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.quantized.linear import ops_for
from tinygrad_llm.quantized.matrix import QuantizedMatrix

IGNORE = -100
BLOCK_BYTES = 16 << 20  # of logits that exist at once


def token_logps(logits: Tensor, labels: Any) -> Tensor:
    """log p(label) at each position: logits (B, T, V), labels (B, T) -> (B, T).

    Raises what ``ops.cross_entropy`` raises for labels that do not fit.
    """
    return -ops.cross_entropy(logits, labels, IGNORE, reduction="none")


def sequence_logps(logits: Tensor, labels: Any, average: bool = False) -> Tensor:
    """log p of each row's labels, given what came before: the sum over its tokens, (B,).

    ``average`` divides by the number of tokens that count. A row without any gets 0.
    """
    return over_tokens(token_logps(logits, labels), labels, average)


def over_tokens(logps: Tensor, labels: Any, average: bool = False) -> Tensor:
    """``sequence_logps`` from ``token_logps`` (B, T)."""
    total = ops.sum(logps, axis=-1)  # (B,)
    return total / np.maximum(lengths(labels), 1).astype(total.dtype) if average else total


def lengths(labels: Any) -> np.ndarray:
    """The number of labels in each row that count, (B,)."""
    return np.count_nonzero(as_array(labels) != IGNORE, axis=-1)


def as_array(x: Any) -> np.ndarray:
    """A Tensor's numbers, or anything else as a NumPy array."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def as_tensor(x: Any) -> Tensor:
    """x as a Tensor of floating-point numbers."""
    if isinstance(x, Tensor):
        return x
    x = np.asarray(x)
    return Tensor(x if x.dtype.kind == "f" else x.astype(np.float64))


# --- from the last hidden state -------------------------------------------------------------------


def hidden_token_logps(h: Tensor, head: Any, labels: Any, temperature: float = 1.0) -> Tensor:
    """``token_logps`` of the logits of h (B, T, C) at labels (B, T): (B, T).

    ``head`` is a model, or the matrix W (V, C) of its output layer if the logits are h W^T.
    ``temperature`` divides the logits, as it does in sampling.
    """
    counts, rows, targets = _counted(h, labels)
    losses = _losses(rows, _output_layer(head), targets, temperature)  # (N,)
    place = np.full(counts.shape, len(targets))  # of each position in the list of losses
    place[counts] = np.arange(len(targets))
    return -ops.concatenate([losses, np.zeros(1, losses.dtype)])[place]  # (B, T)


def hidden_sft_loss(h: Tensor, head: Any, labels: Any) -> Tensor:
    """``losses.sft_loss`` of the logits of h (B, T, C) at labels (B, T); ``head`` as above."""
    _, rows, targets = _counted(h, labels)
    head = _output_layer(head)
    if isinstance(head, Tensor):
        return ops.linear_cross_entropy(rows, head, targets, IGNORE)
    return ops.sum(_losses(rows, head, targets)) / max(1, len(targets))


def _counted(h: Tensor, labels: Any) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Which positions count (B, T), and the hidden states (N, C) and labels (N,) of these."""
    labels = as_array(labels)
    if labels.shape != h.shape[:-1]:
        raise ValueError(f"labels have shape {labels.shape}, expected {h.shape[:-1]}")
    counts = labels != IGNORE
    rows = ops.reshape(h, (-1, h.shape[-1]))
    if not counts.all():
        rows = rows[np.flatnonzero(counts)]
    return counts, rows, labels[counts]


def _output_layer(head: Any) -> Any:
    """The matrix of a model's output layer if the logits are h W^T, otherwise the model itself.

    They are not if there is a soft-cap, or an adapter on the matrix.
    """
    if isinstance(head, GPT):
        return head.wte.weight
    if isinstance(head, Llama) and head.config.logit_softcap is None:
        return head.head if head.lm_head is None or type(head.lm_head) is Linear else head
    return head


def _losses(rows: Tensor, head: Any, targets: np.ndarray, temperature: float = 1.0) -> Tensor:
    """-log p of each target: rows (N, C) -> (N,)."""
    if isinstance(head, Tensor):
        rows = _over(rows, temperature)
        return ops.linear_cross_entropy(rows, head, targets, IGNORE, "none")
    rngs = [rng for rng in [getattr(head, "rng", None)] if rng is not None]
    losses = [
        recompute(_block_losses, rows[part], head, targets[part], temperature, rngs=rngs)
        for part in _blocks(rows, head)
    ]
    return ops.concatenate(losses)


def _block_losses(rows, head, targets, temperature):
    logits = _logits(rows, head, temperature)
    return ops.cross_entropy(logits, targets, IGNORE, reduction="none")


def _logits(rows: Tensor, head: Any, temperature: float) -> Tensor:
    is_matrix = isinstance(head, (Tensor, QuantizedMatrix))
    return _over(ops_for(head).linear(rows, head) if is_matrix else head.logits(rows), temperature)


def _blocks(rows: Tensor, head: Any) -> list[slice]:
    """Parts of the rows, at least one, so that the logits of each have about BLOCK_BYTES."""
    is_matrix = isinstance(head, (Tensor, QuantizedMatrix))
    n_ids = head.shape[0] if is_matrix else head.config.vocab_size
    size = max(1, BLOCK_BYTES // (n_ids * rows.dtype.itemsize))
    return [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]


def _over(x: Tensor, temperature: float) -> Tensor:
    return x if temperature == 1 else x / temperature


# --- what else the logits say ---------------------------------------------------------------------


@dataclass(frozen=True)
class TokenStatistics:
    """What a model predicts at each position: (B, T) each, 0 where the label is -100."""

    counts: np.ndarray
    """Whether the position counts."""
    entropy: np.ndarray
    """Of the predicted distribution, in nats."""
    correct: np.ndarray
    """Whether the label has the largest logit; of equal ones, that of the lowest id."""
    mean_logit: np.ndarray
    """The mean of all V logits."""

    def mean(self, values: np.ndarray, rows: slice = slice(None)) -> float:
        """The mean of ``values`` (B, T) over the positions of ``rows`` that count; 0 if none do."""
        counts = self.counts[rows]
        return float(values[rows][counts].sum() / max(1, np.count_nonzero(counts)))


def token_statistics(logits: Any, labels: Any) -> TokenStatistics:
    """The statistics of logits (B, T, V) at labels (B, T)."""
    labels = as_array(labels)
    counts = labels != IGNORE
    return _statistics(counts, labels[counts], [as_array(logits)[counts]])


def hidden_statistics(
    h: Tensor, head: Any, labels: Any, temperature: float = 1.0
) -> TokenStatistics:
    """``token_statistics`` of the logits of h; the arguments are those of hidden_token_logps."""
    counts, rows, targets = _counted(h.detach(), labels)
    head = _output_layer(head)
    with no_grad():
        blocks = (_logits(rows[part], head, temperature).numpy() for part in _blocks(rows, head))
        return _statistics(counts, targets, blocks)


def _statistics(counts, targets, blocks) -> TokenStatistics:
    """From the logits of the positions that count, some (N, V) at a time."""
    found = TokenStatistics(
        counts, np.zeros(counts.shape), np.zeros(counts.shape, bool), np.zeros(counts.shape)
    )
    places, done = np.flatnonzero(counts), 0
    for logits in blocks:
        part = slice(done, done + len(logits))
        below = logits - logits.max(axis=-1, keepdims=True)  # (N, V)
        e = np.exp(below)
        total = e.sum(axis=-1)  # (N,)
        # log p = below - log(total), so -sum p log p = log(total) - sum p below
        found.entropy.flat[places[part]] = np.log(total) - (e * below).sum(axis=-1) / total
        found.correct.flat[places[part]] = logits.argmax(axis=-1) == targets[part]
        found.mean_logit.flat[places[part]] = logits.mean(axis=-1)
        done = part.stop
    return found
