"""dL/dlogits by hand, to compare the engine's with. docs/finetuning.md derives all of it.

A loss depends on the logits z of a position only through the log-probability of its label y, and

    d log p_y / dz = e_y - p,    p = softmax(z)

So dL/dz = c (e_y - p), where c = dL/d log p_y is one number for all tokens of an answer:

    SFT     -1 / N                             N tokens count
    DPO     dL/dD of the chosen, -dL/dD of the rejected answer; D is the difference of log-ratios
"""

from typing import Any

import numpy as np

from tinygrad_llm.finetune.logps import IGNORE


def closed_form(z: np.ndarray, label: int, factor: float) -> np.ndarray:
    """dL/dz = c (e_y - p) at one position, in float64: z (V,) -> (V,); 0 for what is ignored."""
    if label == IGNORE:
        return np.zeros(z.shape)
    push = -np.exp(log_softmax(z))
    push[label] += 1
    return factor * push


def log_softmax(z: np.ndarray) -> np.ndarray:
    """log p from logits (V,), in float64."""
    z = z.astype(np.float64) - z.max()
    return z - np.log(np.exp(z).sum())


def sft_factor(count: int) -> float:
    """c of each token of a mean over ``count`` tokens."""
    return -1 / count if count else 0.0


def pair_factors(
    policy: Any, reference: Any, lengths: Any, loss_type: str, beta: float, label_smoothing: float
) -> np.ndarray:
    """c of the tokens of the chosen and of the rejected answer (2,).

    policy and reference (2,) are the summed log-probabilities of both answers, and lengths (2,)
    the numbers of their tokens. loss_type is "orpo" or one of ``losses.DPO_LOSSES``.
    """
    policy, reference, lengths = (np.asarray(x, np.float64) for x in (policy, reference, lengths))
    if loss_type == "orpo":
        P = np.exp(policy / lengths)
        log_odds = np.log(P) - np.log1p(-P)
        u = log_odds[0] - log_odds[1]
        of_odds = -beta * sigmoid(-u) / (1 - P)
        return np.array([-1 + of_odds[0], -of_odds[1]]) / lengths
    per_token = loss_type in ("sigmoid_norm", "ipo")
    n = lengths if per_token else np.ones(2)
    chosen, rejected = (policy - reference) / n
    return slope(chosen - rejected, loss_type, beta, label_smoothing) * np.array([1, -1]) / n


def slope(delta: float, loss_type: str, beta: float, label_smoothing: float) -> float:
    """dL/dD of a loss of DPO at D = ``delta``."""
    if loss_type in ("sigmoid", "sigmoid_norm"):
        return -beta * (sigmoid(-beta * delta) - label_smoothing)
    if loss_type == "hinge":
        return -beta if beta * delta < 1 else 0.0
    return 2 * (delta - 1 / (2 * beta))


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x) without overflow."""
    return float(np.exp(-np.logaddexp(0, -x)))
