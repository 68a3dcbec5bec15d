"""The options of ``train`` about a run's course: its beginning, evaluations, checkpoints and end.

This file is imported even for ``--help``, so it imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Literal

from tinygrad_llm.counts import check_count
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

MAY_CHANGE = (
    "steps", "eval_every", "eval_batches", "save_every", "keep", "patience", "profile", "device",
    "recompute", "require_fast", "log", "sample_tokens", "sample_prompt",
)  # fmt: skip
"""Options that may be given next to --resume. All others are the run's."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run begins with, and when it evaluates, saves and ends."""

    config: str | None = None
    """File of options, in TOML or JSON, or a run's run.json; typed options take precedence."""
    init_from: str | None = None
    """Start from this model instead of random weights: a run, a checkpoint or a model directory,
    which also gives the tokenizer and the shape."""
    eval_every: int = 120
    """Steps between quick evaluations."""
    eval_batches: int = 8
    """Batches of validation text in a quick evaluation, always the same ones; the final
    evaluation scores all of it."""
    patience: int = 0
    """End the training after this many evaluations without a lower validation loss (0: never)."""
    save_every: int = 120
    """Steps between checkpoints."""
    keep: int = 1
    """How many of the last checkpoints stay; the best one stays too."""
    seed: int = 1337
    """Seed of the initial weights, the order of the batches, dropout and the sample."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute: cpu (NumPy and the compiled kernels) or cuda (a GPU, with CuPy)."""
    recompute: bool = False
    """Keep only the input of each block, and compute the block again in backward: a third more
    arithmetic for a fraction of the memory, and the same gradients."""
    log: Literal["csv", "tensorboard"] | None = None
    """Also write the metrics to metrics.csv, or for TensorBoard (needs the extra tensorboard)."""
    out: str | None = None
    """Folder of the run; None means runs/<preset>. If it exists, -2 (-3, ...) is appended."""
    resume: str | None = None
    """Run to continue, exactly as if it had never stopped; its options come from its run.json.
    With --steps it is extended, and options of evaluation, saving, sample and device may change."""
    no_verify: bool = False
    """With --resume: use the run's files without comparing them with their checksums."""
    profile: bool = False
    """Profile steps 2 to 4: a table by operation and by line, and a trace, in the run's folder."""
    sample_tokens: int = 300
    """Length of the sample generated at the end, in tokens (0: no sample)."""
    sample_prompt: str | None = None
    """Start of the sample; None means "def" for stdlib, otherwise the first line of the
    validation text."""

    def __post_init__(self) -> None:
        for name in ("eval_every", "eval_batches", "save_every", "keep"):
            check_count(name, getattr(self, name))
        for name in ("patience", "sample_tokens", "seed"):
            check_count(name, getattr(self, name), low=0)
        if self.out is not None and user_path(self.out).name in ("", ".."):
            raise UserError(
                f"out is {self.out!r}, which already exists: name a new folder for the run"
            )
