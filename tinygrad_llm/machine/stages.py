"""What makes a training step fast, one stage after the other, as data for a benchmark and a lesson.

Stage 0 is the project as its definitions: every fused operation is the plain NumPy of its
reference.py, in a process as Python starts it. Each stage adds one thing and keeps those before it;
the last is what ``tinygrad-llm train`` runs. benchmarks/stages.py measures them,
examples/11_faster_stage_by_stage.py and docs/performance.md explain them.

A stage is kernels, which ``stage_kernels`` turns on for a while, or a setting of the process, which
``set_up_process`` makes for good. Nothing here imports NumPy, since one setting must come before.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tinygrad_llm.machine.process import keep_freed_memory, let_blas_sleep


@dataclass(frozen=True)
class Stage:
    """One step of the way: what it changes, why that is faster, and where it is written."""

    name: str
    changed: str
    why: str
    where: str
    kernels: tuple[str, ...] = ()  # folders of autograd/kernels that are compiled from here on
    setting: Callable[[], bool] | None = None  # of the process


STAGES = (
    Stage(
        "the definitions",
        "Every operation is NumPy, one formula a line.",
        "Each of NumPy's operations reads and writes whole arrays, on one core.",
        "autograd/kernels/*/reference.py",
    ),
    Stage(
        "+ attention in tiles",
        "A tile of queries meets a block of keys; the scores (B, H, T, T) are never stored.",
        "A tile stays in cache from its first product to its last, and what only holds the future "
        "is skipped.",
        "autograd/kernels/attention/cpu.py",
        kernels=("attention",),
    ),
    Stage(
        "+ last layer and loss in blocks",
        "A block of logits becomes its own gradient in place; the logits (B T, V) are not kept.",
        "One pass over each block replaces eighteen over all, and backward has no need to make the "
        "logits again.",
        "autograd/kernels/linear_cross_entropy/cpu.py",
        kernels=("linear_cross_entropy",),
    ),
    Stage(
        "+ GELU in one pass",
        "One loop adds the bias and computes the whole formula, with exp as a polynomial.",
        "The widest activation, (B, T, 4 C), is read and written once in each direction, with "
        "vector instructions and on all cores; NumPy makes sixty passes over it.",
        "autograd/kernels/feed_forward/cpu.py",
        kernels=("feed_forward",),
    ),
    Stage(
        "+ layer norm in one pass",
        "Mean, variance and result of a row are made while it is in cache.",
        "Memory sees one pass each way; NumPy makes twelve over all rows, and fourteen backward.",
        "autograd/kernels/layer_norm/cpu.py",
        kernels=("layer_norm",),
    ),
    Stage(
        "+ embedding, bias, dropout",
        "Sums are made in place: BLAS adds its product to the bias, the kernel a token's gradient "
        "to the table's.",
        "NumPy makes a second array for each sum, and goes over it once more, on one core.",
        "autograd/kernels/embedding/cpu.py, linear/cpu.py, dropout/cpu.py",
        kernels=("embedding", "linear", "dropout"),
    ),
    Stage(
        "+ AdamW in one pass",
        "Weight and moments are read, updated and written in one loop, in place; the norm of the "
        "gradients is another.",
        "There is hardly any arithmetic: what it costs is NumPy's nineteen passes over all "
        "weights, or two.",
        "autograd/kernels/adamw/cpu.py",
        kernels=("adamw",),
    ),
    Stage(
        "+ freed memory kept",
        "The C library keeps what is freed instead of returning it to the system.",
        "The system clears every page it hands out: arrays of the step before are there already.",
        "tinygrad_llm/machine/process.py, keep_freed_memory",
        setting=keep_freed_memory,
    ),
    Stage(
        "+ BLAS threads asleep",
        "OpenBLAS's threads sleep soon after a product.",
        "They would spin for 20 milliseconds in case of another, on the core that the next kernel "
        "wants.",
        "tinygrad_llm/machine/process.py, let_blas_sleep",
        setting=let_blas_sleep,
    ),
)


def set_up_process(number: int) -> None:
    """Make the settings of stages 0 to ``number``, for good: before NumPy is imported."""
    for stage in STAGES[: number + 1]:
        if stage.setting is not None:
            stage.setting()


def stage_kernels(number: int):
    """A context in which the kernels of later stages than ``number`` run as their reference."""
    from autograd import use_kernels

    later = {name for stage in STAGES[number + 1 :] for name in stage.kernels}
    return use_kernels("reference", only=later)
