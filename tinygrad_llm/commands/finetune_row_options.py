"""The options of the kinds of fine-tuning that learn from rows: SFT, preferences, rewards.

Names and defaults are those of Hugging Face's TRL where it has them. Imports nothing heavy.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError


@dataclass(frozen=True)
class RowOptions(FinetuneOptions):
    """What these kinds have in common."""

    template: Literal["auto", "chat", "plain"] = "auto"
    """How prompts, completions and instructions are written: as a conversation in the model's chat
    template (chat), or as they are and instructions in Alpaca's template (plain); auto is chat if
    the model has a template."""
    skip_faulty: bool = False
    """Drop faulty rows and count them, instead of stopping at the first."""
    log_every: int = 10
    """Steps between measurements that need the logits of all answers: entropy, accuracy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("log_every", self.log_every)


@dataclass(frozen=True)
class SampledOptions(RowOptions):
    """What those of them have in common whose model writes text."""

    samples: int = 3
    """Held-out prompts that are answered before the training and at every evaluation."""
    sample_tokens: int = 64
    """Most tokens of such an answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("samples", self.samples, low=0)
        check_count("sample_tokens", self.sample_tokens)


@dataclass(frozen=True)
class SFTOptions(SampledOptions):
    """Teach a model to answer as in the data: supervised fine-tuning."""

    task: ClassVar[str] = "sft"

    completion_only_loss: bool = True
    """Learn the answers alone; otherwise the prompts, too."""
    packing: bool = False
    """Put several examples into a row of --max-length, each as if it stood alone: less padding.
    --batch-size then counts such rows."""


@dataclass(frozen=True)
class DPOOptions(SampledOptions):
    """Teach a model to prefer some answers to others: DPO, IPO, hinge, ORPO, KTO."""

    task: ClassVar[str] = "dpo"

    loss_type: Literal[
        "sigmoid", "sigmoid_norm", "hinge", "ipo", "ipo_sum", "orpo", "kto"
    ] = "sigmoid"  # fmt: skip
    """DPO with summed log-probabilities, as in the paper (sigmoid), or with their means
    (sigmoid_norm); hinge; IPO per token (ipo), or summed as in its paper (ipo_sum); ORPO, which
    needs no reference; KTO, for which chosen answers are desirable and rejected ones are not."""
    beta: float = 0.1
    """How strongly the model is held to the reference; of ORPO, the weight of the odds ratio."""
    label_smoothing: float = 0.0
    """Share of pairs whose answers are expected to be exchanged, for sigmoid and sigmoid_norm."""
    reference_free: bool = False
    """Compare with a reference that finds all answers equally likely."""
    lr: float = 1e-6
    """Highest learning rate, reached after the warm-up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_preference_loss(self.loss_type, self.beta, self.label_smoothing)
        if self.reference_free and self.loss_type == "kto":
            raise UserError("kto compares with the reference, so it cannot be reference-free")


def check_preference_loss(loss_type: str, beta: float, label_smoothing: float) -> None:
    """Raise UserError for options that a loss of preferences cannot have."""
    if not 0 < beta < float("inf"):
        raise UserError(f"beta is {beta}, but must be above 0 and finite")
    if not 0 <= label_smoothing <= 0.5:
        raise UserError(f"label_smoothing is {label_smoothing}, but must be between 0 and 0.5")
    if label_smoothing and loss_type not in ("sigmoid", "sigmoid_norm"):
        raise UserError(
            f"label_smoothing is {label_smoothing}, but works with the loss types sigmoid and "
            f"sigmoid_norm, not with {loss_type}"
        )


@dataclass(frozen=True)
class RewardOptions(RowOptions):
    """Teach a model to score answers, the chosen ones of pairs above the rejected ones."""

    task: ClassVar[str] = "reward"

    center_rewards_coefficient: float = 0.0
    """Weight of a term that keeps the mean of the rewards near 0."""
    train_layers: int | Literal["all"] = "all"
    """Train the last blocks, this many, with the last normalization and the new output layer, and
    freeze all below."""
    lr: float = 1e-5
    """Highest learning rate, reached after the warm-up."""
    epochs: float = 1.0
    """Passes over the training data."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.center_rewards_coefficient < float("inf"):
            raise UserError(
                f"center_rewards_coefficient is {self.center_rewards_coefficient}, but must be at "
                "least 0 and finite"
            )
        if self.train_layers != "all":
            check_count("train_layers", self.train_layers, low=0)
            if self.lora_r is not None:
                raise UserError(
                    f"lora_r is {self.lora_r} and train_layers {self.train_layers}, but LoRA "
                    "adapts every block: leave one of them out"
                )
        if self.weights != "float32":
            raise UserError(
                f"weights is {self.weights}, but a reward model's checkpoint has the whole model, "
                "in float32"
            )
