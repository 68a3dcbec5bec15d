"""The options that every kind of ``tinygrad-llm finetune`` has, and those of classification.

A field without a default is a positional argument; the string below a field is its help. Names and
defaults are those of Hugging Face's TRL where it has them. This file is imported even for
``--help``, so it imports nothing heavy.
"""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal

from tyro.conf import Positional, arg

from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.optimizer_options import OptimizerChoice
from tinygrad_llm.precision_options import PrecisionOptions


@dataclass(frozen=True)
class FinetuneRunOptions:
    """What every kind of fine-tuning can be told, apart from its optimizer."""

    task: ClassVar[str]
    """The kind's name: the subcommand, ``"task"`` in run.json, and the folder in runs/."""

    model: Annotated[Positional[str | None], arg(metavar="[MODEL]")] = None
    """The model to start from: a model directory of Hugging Face, a GGUF file, a run (its best
    checkpoint is used), a checkpoint or a name. It may be left out only with --resume."""
    adapter: str | None = None
    """Folder of a LoRA adapter, ours or PEFT's, that is merged into the model first. A run of LoRA
    as MODEL means the same: its adapter on its model."""
    data: str | None = None
    """File of training data."""
    validation_data: str | None = None
    """File of validation data; None sets a share of --data aside."""
    validation_share: float = 0.1
    """Share of --data for validation, unless there is a file for it."""
    max_length: int = 1024
    """Longest row, in tokens, and at most the model's block_size."""
    epochs: float = 3.0
    """Passes over the training data."""
    steps: int | None = None
    """Optimizer steps, in place of --epochs."""
    batch_size: int = 8
    """Rows in a micro-batch."""
    grad_accumulation: int = 1
    """Micro-batches whose gradients are summed for one step."""
    lr: float = 2e-5
    """Highest learning rate, reached after the warm-up. The default is for adamw and muon; sgd
    needs a larger one, such as 0.01."""
    warmup_steps: int = 0
    """Steps over which the learning rate grows from zero."""
    min_lr_ratio: float = 0.0
    """Final learning rate, as a share of the highest."""
    lora_r: int | None = None
    """Rank of LoRA's adapters, which are trained in place of the model's weights; None trains the
    weights."""
    lora_alpha: float = 32.0
    """What the adapters add is multiplied by alpha / r."""
    lora_dropout: float = 0.0
    """Dropout of the adapters' input."""
    lora_targets: str = "all-linear"
    """The layers that get one: all-linear (all but the output layer), names with commas between
    them (q_proj,v_proj) or a regular expression."""
    use_rslora: bool = False
    """Multiply by alpha / sqrt(r) instead."""
    use_dora: bool = False
    """Train the lengths of the weights' rows, too (DoRA)."""
    weights: Literal["float32", "int8", "as-stored"] = "float32"
    """How the model's matrices are stored in memory; other than float32 only with --lora-r."""
    grad_clip: float = 1.0
    """Clip gradients to this global norm (0: no clipping)."""
    eval_every: int = 50
    """Steps between evaluations on the validation data."""
    save_every: int = 50
    """Steps between checkpoints."""
    seed: int = 1337
    """Seed of everything random: the split, the order of the rows, new weights, dropout."""
    out: str | None = None
    """Folder of the run; None means runs/ and the kind's name. If it exists, -2 (-3, ...) is
    appended."""
    resume: str | None = None
    """Run to continue, exactly as if it had never stopped; its options come from its run.json. The
    same as train --resume."""
    no_verify: bool = False
    """With --resume: use the run's files without comparing them with their checksums."""
    profile: bool = False
    """Profile steps 2 to 4: a table by operation and by line, and a trace, in the run's folder."""

    def __post_init__(self) -> None:
        if self.resume is None:
            for name in ("model", "data"):
                if getattr(self, name) is None:
                    what = "MODEL" if name == "model" else f"--{name}"
                    raise UserError(
                        f"{what} is missing: `tinygrad-llm finetune {self.task} MODEL --data FILE`"
                    )
        for name in ("batch_size", "grad_accumulation", "eval_every", "save_every", "max_length"):
            check_count(name, getattr(self, name))
        for name in ("warmup_steps", "seed"):
            check_count(name, getattr(self, name), low=0)
        if self.steps is not None:
            check_count("steps", self.steps)
        if not 0 < self.epochs <= 10_000:
            raise UserError(f"epochs is {self.epochs}, but must be above 0 and at most 10,000")
        if not 0 < self.lr <= 10:
            raise UserError(f"lr is {self.lr}, but must be above 0 and at most 10")
        if not 0 <= self.grad_clip < float("inf"):
            raise UserError(f"grad_clip is {self.grad_clip}, but must be at least 0 and finite")
        if not 0 <= self.min_lr_ratio <= 1:
            raise UserError(f"min_lr_ratio is {self.min_lr_ratio}, but must be between 0 and 1")
        if not 0 <= self.validation_share < 1:
            raise UserError(
                f"validation_share is {self.validation_share}, but must be at least 0 and below 1"
            )
        if self.lora_r is not None:
            check_count("lora_r", self.lora_r)
        elif self.weights != "float32":
            raise UserError(
                f"weights is {self.weights}, but matrices can be trained only in float32: add "
                "--lora-r 16, which trains adapters in their place"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith(("lora_", "use_")) and self.lora_r is None:
                if value != field.default:
                    raise UserError(f"{field.name} is {value}, but does nothing without --lora-r")
        if self.out is not None and user_path(self.out).name in ("", ".."):
            raise UserError(
                f"out is {self.out!r}, which already exists: name a new folder for the run"
            )


@dataclass(frozen=True)
class FinetuneOptions(PrecisionOptions, OptimizerChoice, FinetuneRunOptions):
    """What every kind of fine-tuning can be told."""

    # the fields of the last base come first
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"
    """adamw, muon (for the matrices of the blocks, and adamw for the rest) or sgd."""
    weight_decay: float | None = 0.0
    """Weight decay of tensors of two or more dimensions."""
    beta2: float = 0.999
    """adamw and muon: AdamW's decay of the mean of their squares."""

    def __post_init__(self) -> None:
        FinetuneRunOptions.__post_init__(self)
        OptimizerChoice.__post_init__(self)
        PrecisionOptions.__post_init__(self)


@dataclass(frozen=True)
class ClassifyOptions(FinetuneOptions):
    """Teach a model to sort texts into classes."""

    task: ClassVar[str] = "classify"

    text_column: str = "text"
    """Name of the column with the texts."""
    label_column: str = "label"
    """Name of the column with the labels."""
    test_data: str | None = None
    """File of test data; None sets a share of --data aside."""
    test_share: float = 0.2
    """Share of --data for the test at the end, unless there is a file for it."""
    train_layers: int | Literal["all"] = 1
    """Train the last blocks, this many, with the last normalization and the new output layer, and
    freeze all below."""
    pooling: Literal["last", "mean"] = "last"
    """What is classified: the hidden state of the last token, or the mean of all."""
    balanced: bool = False
    """Draw rows of every class equally often, however many there are."""
    max_length: int = 256
    """Longest text, in tokens; of a longer one, the beginning is read."""
    batch_size: int = 16
    """Texts in a micro-batch."""
    lr: float = 5e-4
    """Highest learning rate, reached after the warm-up."""
    warmup_steps: int = 10
    """Steps over which the learning rate grows from zero."""
    weight_decay: float | None = 0.1
    """Weight decay of tensors of two or more dimensions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_layers != "all":
            check_count("train_layers", self.train_layers, low=0)
            if self.lora_r is not None:
                raise UserError(
                    f"lora_r is {self.lora_r} and train_layers {self.train_layers}, but LoRA "
                    "adapts every block: add --train-layers all"
                )
        if self.weights != "float32":
            raise UserError(
                f"weights is {self.weights}, but a classifier's checkpoint has the whole model, in "
                "float32"
            )
        if not 0 <= self.test_share < 1 or self.validation_share + self.test_share >= 1:
            raise UserError(
                f"validation_share is {self.validation_share} and test_share {self.test_share}, "
                "but must leave something to train on: their sum must be below 1"
            )
