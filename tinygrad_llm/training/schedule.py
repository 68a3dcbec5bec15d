"""Learning rates as pure functions of the step.

A schedule is any function from a step, counted from 0, to the learning rate of that step.
``schedule`` makes the usual ones: a linear warm-up, then a way down.

    cosine      half a cosine wave from the peak to the floor
    linear      a straight line
    constant    the peak to the end

The warm-up, because AdamW's estimates of the gradient's size are poor in the first steps; the way
down (Loshchilov and Hutter, "SGDR", 2017), because small last steps settle what large ones found.
Nothing is remembered between steps, so a resumed run needs no state here.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

Schedule = Callable[[int], float]
Shape = Literal["cosine", "linear", "constant"]

SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "constant": lambda progress: 1.0,
}
"""What is left of the way from the peak to the floor, from 1 at progress 0 to 0 at progress 1."""


def schedule(
    peak: float,
    steps: int,
    *,
    shape: Shape = "cosine",
    warmup_steps: int = 0,
    floor: float = 0.0,
) -> Schedule:
    """The schedule of a run of ``steps``; ``learning_rate`` says what it gives.

    Raises ValueError for an unknown shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape is {shape!r}, expected one of {', '.join(SHAPES)}")
    return partial(
        learning_rate, peak=peak, floor=floor, warmup_steps=warmup_steps, steps=steps, shape=shape
    )


def learning_rate(
    step: int,
    *,
    peak: float,
    floor: float,
    warmup_steps: int,
    steps: int,
    shape: Shape = "cosine",
) -> float:
    """Learning rate of step ``step``, counted from 0, of a run of ``steps``.

    Step 0 gets peak / warmup_steps and step warmup_steps - 1 gets peak; then ``shape`` leads to
    ``floor``, the rate of step ``steps`` (the first that is not run) and all later ones; a constant
    one stays at the peak. A warm-up longer than the run simply never finishes.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= steps:
        return peak if shape == "constant" else floor
    progress = (step - warmup_steps) / (steps - warmup_steps)
    return floor + (peak - floor) * SHAPES[shape](progress)
