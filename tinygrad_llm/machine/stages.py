"""What makes a training step fast, one stage at a time, as data for a benchmark and a lesson.

Stage 0 consists of the definitions: every fused operation is the plain NumPy of its reference.py,
in a process as Python starts it. Each stage adds one thing and keeps the earlier ones; the last is
what ``tinygrad-llm train`` runs. benchmarks/stages.py measures them,
examples/11_faster_stage_by_stage.py and docs/performance.md explain them.

A stage adds either kernels, which ``stage_kernels`` turns on temporarily, or a setting of the
process, which ``set_up_process`` makes permanently. Nothing here imports NumPy, since one setting
must come first.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tinygrad_llm.machine.process import keep_freed_memory, let_blas_sleep


@dataclass(frozen=True)
class Stage:
    """One stage: what it changes, why that is faster, and where the code is."""

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
        "A tile stays in cache from its first product to its last, and blocks of the future are "
        "skipped.",
        "autograd/kernels/attention/cpu.py",
        kernels=("attention",),
    ),
    Stage(
        "+ last layer and loss in blocks",
        "A block of logits becomes its own gradient in place; the logits (B T, V) are not kept.",
        "One pass over each block replaces eighteen over the whole, and backward need not compute "
        "the logits again.",
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
        "Mean, variance and result of a row are computed while it is in cache.",
        "Memory sees one pass in each direction; NumPy makes twelve over all rows, and fourteen "
        "backward.",
        "autograd/kernels/layer_norm/cpu.py",
        kernels=("layer_norm",),
    ),
    Stage(
        "+ embedding, bias, dropout",
        "Sums are computed in place: BLAS adds its product to the bias, the kernel a token's "
        "gradient to the table's.",
        "NumPy makes a second array for each sum, and passes over it once more, on one core.",
        "autograd/kernels/embedding/cpu.py, linear/cpu.py, dropout/cpu.py",
        kernels=("embedding", "linear", "dropout"),
    ),
    Stage(
        "+ AdamW in one pass",
        "Weight and moments are read, updated and written in one loop, in place; the norm of the "
        "gradients is another.",
        "There is hardly any arithmetic: the cost is the passes over all weights, nineteen in "
        "NumPy and two here.",
        "autograd/kernels/adamw/cpu.py",
        kernels=("adamw",),
    ),
    Stage(
        "+ freed memory kept",
        "The C library keeps what is freed instead of returning it to the system.",
        "The system clears every page it hands out; the pages of the last step's arrays are ready.",
        "tinygrad_llm/machine/process.py, keep_freed_memory",
        setting=keep_freed_memory,
    ),
    Stage(
        "+ BLAS threads asleep",
        "OpenBLAS's threads sleep soon after a product.",
        "Otherwise they spin for 20 milliseconds in case of another product, on a core that the "
        "next kernel needs.",
        "tinygrad_llm/machine/process.py, let_blas_sleep",
        setting=let_blas_sleep,
    ),
)


def set_up_process(number: int) -> None:
    """Make the settings of stages 0 to ``number``, permanently; call it before importing NumPy."""
    for stage in STAGES[: number + 1]:
        if stage.setting is not None:
            stage.setting()


def stage_kernels(number: int) -> AbstractContextManager[None]:
    """A context in which the kernels of the stages after ``number`` run as their reference."""
    from autograd import use_kernels

    later = {name for stage in STAGES[number + 1 :] for name in stage.kernels}
    return use_kernels("reference", only=later)
