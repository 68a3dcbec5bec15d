"""The learning rate as a pure function of the step: linear warm-up, then a cosine down.

The warm-up, because AdamW's estimates of the gradient's size are poor in the first steps; the
cosine of Loshchilov and Hutter ("SGDR", 2017), because small last steps settle what large ones
found. Nothing is remembered between steps, so a resumed run needs no state here.
"""

import math


def learning_rate(step: int, *, peak: float, floor: float, warmup_steps: int, steps: int) -> float:
    """Learning rate of step ``step``, counted from 0, of a run of ``steps``.

    Step 0 gets peak / warmup_steps and step warmup_steps - 1 gets peak; then half a cosine wave
    leads to ``floor``, the rate of step ``steps`` (the first that is not run) and all later ones. A
    warm-up longer than the run simply never finishes.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= steps:
        return floor
    progress = (step - warmup_steps) / (steps - warmup_steps)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))
