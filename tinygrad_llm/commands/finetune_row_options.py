"""The options of the kinds of fine-tuning that learn from rows: SFT, preferences, rewards, GRPO.

Names and defaults are those of Hugging Face's TRL where it has them. Imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from tyro.conf import UseAppendAction, arg

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


@dataclass(frozen=True)
class GRPOOptions(SampledOptions):
    """Let a model answer prompts, and make answers of high reward more likely: GRPO."""

    task: ClassVar[str] = "grpo"

    reward: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="REWARD")] = ()
    """What an answer is worth: gsm8k_strict, gsm8k_flexible, format:REGEX, length:N, or
    FILE.py:NAME for a function of your own; can be given several times."""
    reward_weights: tuple[float, ...] = ()
    """A weight for each reward; by default 1."""
    prompt_column: str = "prompt"
    """Name of the column with the prompts."""
    system_prompt: str | None = None
    """The system prompt of prompts that have none."""
    num_generations: int = 8
    """Answers to each prompt: a group."""
    max_completion_length: int = 512
    """Longest answer, in tokens."""
    temperature: float = 1.0
    """Divides the logits, where answers are sampled and where they are learned from."""
    top_k: int | None = None
    """Sample among the k most likely tokens (0: all)."""
    top_p: float | None = None
    """Sample among the most likely tokens whose probabilities add up to p; None means all."""
    min_p: float | None = None
    """Sample among the tokens that are at least this many times as likely as the most likely one;
    None means all."""
    loss_type: Literal["grpo", "dapo", "dr_grpo"] = "dapo"
    """What the loss is a mean over: the answers (grpo), all their tokens (dapo), or all the tokens
    that there could be (dr_grpo)."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What rewards are divided by: their standard deviation in the group, in the batch, or 1."""
    beta: float = 0.0
    """Weight of the distance to the model before the first step; above 0, without --lora-r, that
    model is kept in memory, too."""
    epsilon: float = 0.2
    """How far the probability of a token may move from that at its writing, as a ratio."""
    epsilon_high: float | None = None
    """The same upwards; None means --epsilon."""
    num_iterations: int = 1
    """How often is learned from the same answers."""
    steps_per_generation: int | None = None
    """Micro-batches that the answers written at a time are divided into, a multiple of
    --grad-accumulation; None means those of one step."""
    mask_truncated_completions: bool = False
    """Learn nothing from answers that were cut off at --max-completion-length."""
    eval_prompts: int = 32
    """Most held-out prompts that are answered at an evaluation; the final one takes all."""
    batch_size: int = 8
    """Answers in a micro-batch."""
    log_every: int = 1
    """Steps between measurements of the entropy, which takes all logits of the answers."""
    lr: float = 1e-6
    """Highest learning rate, reached after the warm-up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume is None and not self.reward:
            raise UserError(
                "--reward is missing: gsm8k_strict, gsm8k_flexible, format:REGEX, length:N or "
                "FILE.py:NAME"
            )
        if self.reward_weights and len(self.reward_weights) != len(self.reward):
            raise UserError(
                f"there are {len(self.reward_weights)} reward weights for {len(self.reward)} "
                "rewards"
            )
        check_count("num_generations", self.num_generations, low=2)
        for name in ("max_completion_length", "num_iterations", "eval_prompts"):
            check_count(name, getattr(self, name))
        if self.steps_per_generation is not None:
            check_count("steps_per_generation", self.steps_per_generation)
        if not 0 < self.temperature < float("inf"):
            raise UserError(
                f"temperature is {self.temperature}, but must be above 0 and finite: the answers "
                "to a prompt must differ"
            )
        for name in ("beta", "epsilon", "epsilon_high"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"{name} is {value}, but must be at least 0 and finite")
