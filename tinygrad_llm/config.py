"""Shapes of models and options of training: the command line, run.json and the code read these.

A model's shape is a ``GPTConfig``, whose fields have GPT-2's names, or a ``LlamaConfig``.
``PRESETS`` are the usual shapes: ``llama-tiny`` is the default, ``tiny`` a GPT of about its size,
``gpt2`` and up are OpenAI's sizes. ``docs/recipe.md`` says what each choice of the default gains.
The options of ``train`` are made from ``TrainConfig``: each field is an option, the string below it
its help.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from tinygrad_llm.counts import check_count
from tinygrad_llm.data_options import DataOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.optimizer_options import OptimizerOptions
from tinygrad_llm.precision_options import PrecisionOptions
from tinygrad_llm.run_options import RunOptions


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a decoder-only transformer of GPT-2's kind."""

    vocab_size: int = 50257
    """Number of token ids (V)."""
    block_size: int = 1024
    """Longest sequence that the position embedding covers (T), in tokens."""
    n_layer: int = 12
    """Number of transformer blocks (L)."""
    n_head: int = 12
    """Attention heads per block (H)."""
    n_embd: int = 768
    """Channels of the residual stream (C)."""
    dropout: float = 0.0
    """Probability of zeroing an activation of the embedding or of a residual branch."""
    layer_norm_epsilon: float = 1e-5
    """Added to the variance in layer normalization."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            check_count(name, getattr(self, name))
        if self.n_embd % self.n_head:
            raise UserError(
                f"n_embd is {self.n_embd} and n_head {self.n_head}: the heads share the channels "
                f"equally, so n_embd must be a multiple of n_head"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}, but must be at least 0 and below 1")

    @property
    def n_kv_head(self) -> int:
        """Key and value heads per block (G): every head has its own."""
        return self.n_head

    @property
    def head_dim(self) -> int:
        """Channels of a head (D)."""
        return self.n_embd // self.n_head

    def window(self, layer: int) -> None:
        """The sliding window of a layer: there is none."""


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a decoder-only transformer of the Llama family.

    The defaults are Llama's. Each option from ``head_dim`` on is a choice that some published model
    makes differently (``tinygrad_llm/model/llama.py``).
    """

    vocab_size: int = 32000
    """Number of token ids (V)."""
    block_size: int = 2048
    """Longest sequence (T), in tokens."""
    n_layer: int = 22
    """Number of transformer blocks (L)."""
    n_head: int = 32
    """Query heads per block (H)."""
    n_kv_head: int = 0
    """Key and value heads per block (G), each of which serves H / G query heads; 0 means H."""
    n_embd: int = 2048
    """Channels of the residual stream (C)."""
    n_hidden: int = 5632
    """Channels inside the feed-forward layer (M)."""
    head_dim: int = 0
    """Channels of a head (D); 0 means C / H."""
    activation: Literal["silu", "gelu", "gelu_tanh"] = "silu"
    """Function of the feed-forward layer's gate: with silu it is SwiGLU, otherwise GeGLU."""
    norm_eps: float = 1e-6
    """Added to the mean square in RMS normalization."""
    norm_placement: Literal["before", "after", "both"] = "before"
    """What is normalized: the input of a branch (Llama), its output (OLMo 2) or both (Gemma)."""
    norm_offset: bool = False
    """Whether normalized values are multiplied by 1 + weight (Gemma) instead of by weight."""
    qk_norm: Literal["none", "head", "all"] = "none"
    """Whether queries and keys are normalized: each head by itself (Qwen3, Gemma 3), or all heads
    as one vector (OLMo 2)."""
    qkv_bias: bool = False
    """Whether the projections to queries, keys and values have biases (Qwen2)."""
    out_bias: bool = False
    """Whether the projection of the heads' outputs has a bias."""
    mlp_bias: bool = False
    """Whether the matrices of the feed-forward layer have biases."""
    tied: bool = False
    """Whether the output layer is the token table."""
    embedding_scale: float = 1.0
    """Factor of the token embeddings; Gemma's is sqrt(C)."""
    attention_scale: float | None = None
    """Factor of the scores q k^T; None means 1 / sqrt(D)."""
    attention_softcap: float | None = None
    """Bound s of the scores, which become s tanh(score / s); None means no bound."""
    logit_softcap: float | None = None
    """The same for the logits."""
    sliding_window: int | None = None
    """Tokens that a position in a sliding layer sees, itself included (None: no layer slides)."""
    sliding_layers: tuple[bool, ...] | None = None
    """Whether each layer slides (Gemma 3: five of six); None means that all do (Mistral)."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    rope_theta_sliding: float | None = None
    """Base in sliding layers, whose frequencies are then not scaled (Gemma 3); None means that they
    are like the other layers."""
    rope_scaling: dict[str, Any] | None = None
    """Scaling of the rotary frequencies for long texts (``model/rotary.py``)."""
    rope_share: float = 1.0
    """Share of a head's channels that are turned by position."""
    rope_layers: tuple[bool, ...] | None = None
    """Whether each layer has rotary embedding (SmolLM3: three of four); None means that all do."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd", "n_hidden"):
            check_count(name, getattr(self, name))
        if self.n_kv_head == 0:
            object.__setattr__(self, "n_kv_head", self.n_head)
        if self.head_dim == 0:
            if self.n_embd % self.n_head:
                raise UserError(
                    f"n_embd is {self.n_embd} and n_head {self.n_head}: without a head_dim the "
                    "heads share the channels equally, so n_embd must be a multiple of n_head"
                )
            object.__setattr__(self, "head_dim", self.n_embd // self.n_head)
        check_count("n_kv_head", self.n_kv_head)
        check_count("head_dim", self.head_dim)
        if self.n_head % self.n_kv_head:
            raise UserError(
                f"n_head is {self.n_head} and n_kv_head {self.n_kv_head}: each key head serves "
                "equally many query heads, so n_head must be a multiple of n_kv_head"
            )
        if self.sliding_window is not None:
            check_count("sliding_window", self.sliding_window)
        for name in ("sliding_layers", "rope_layers"):
            layers = getattr(self, name)
            if layers is not None and len(layers) != self.n_layer:
                raise UserError(
                    f"{name} has {len(layers)} entries, expected one for each of the "
                    f"{self.n_layer} layers"
                )
        if not 0 <= self.rope_share <= 1 or self.n_turned % 2:
            raise UserError(
                f"rope_share is {self.rope_share} and head_dim {self.head_dim}: rotary embedding "
                f"would turn {self.n_turned} channels, but must turn pairs of them"
            )

    @property
    def n_turned(self) -> int:
        """Channels of a head that rotary embedding turns (R)."""
        return int(self.head_dim * self.rope_share)

    def window(self, layer: int) -> int | None:
        """The sliding window of a layer, counted from 0; None if it sees all tokens before it."""
        slides = self.sliding_layers is None or self.sliding_layers[layer]
        return self.sliding_window if slides else None

    def has_rope(self, layer: int) -> bool:
        """Whether a layer, counted from 0, has rotary embedding."""
        return self.rope_layers is None or self.rope_layers[layer]


ModelConfig = GPTConfig | LlamaConfig
"""The shape of a model of either kind."""

PRESETS: dict[str, ModelConfig] = {
    "tiny": GPTConfig(vocab_size=4096, block_size=256, n_layer=2, n_head=4, n_embd=256),
    "small": GPTConfig(vocab_size=4096, block_size=256, n_layer=6, n_head=6, n_embd=384),
    "llama-tiny": LlamaConfig(
        vocab_size=4096, block_size=256, n_layer=2, n_head=4, n_kv_head=2, n_embd=256,
        n_hidden=704, norm_eps=1e-5, tied=True, qk_norm="head",
    ),
    "llama-small": LlamaConfig(
        vocab_size=4096, block_size=256, n_layer=6, n_head=6, n_kv_head=2, n_embd=384,
        n_hidden=1120, norm_eps=1e-5, tied=True, qk_norm="head",
    ),
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}  # fmt: skip
"""Model shapes by name. For the tiny and small ones the run trains a tokenizer of that vocabulary
size."""

PresetName = Literal[
    "tiny", "small", "llama-tiny", "llama-small", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"
]


@dataclass(frozen=True)
class Recipe:
    """Training options that suit a preset; TrainConfig's options of these names override them."""

    steps: int
    batch_size: int
    lr: float
    warmup_steps: int
    optimizer: Literal["adamw", "muon"] = "muon"


_PRETRAINING = Recipe(steps=5000, batch_size=4, lr=6e-4, warmup_steps=200, optimizer="adamw")
_TINY = Recipe(steps=760, batch_size=16, lr=3e-3, warmup_steps=10)
_SMALL = Recipe(steps=1500, batch_size=16, lr=1.5e-3, warmup_steps=60)
RECIPES: dict[str, Recipe] = {
    "tiny": _TINY,
    "small": _SMALL,
    "llama-tiny": _TINY,
    "llama-small": _SMALL,
    "gpt2": _PRETRAINING,
    "gpt2-medium": _PRETRAINING,
    "gpt2-large": _PRETRAINING,
    "gpt2-xl": _PRETRAINING,
}
"""Training recipes by preset. Smaller models tolerate, and need, a higher learning rate."""


@dataclass(frozen=True)
class TrainingOptions:
    """The model, the corpus and the steps."""

    preset: PresetName = "llama-tiny"
    """Shape of the model, and the training recipe for it."""
    data: str = "stdlib"
    """Corpus: stdlib (this Python's standard library), tinyshakespeare, the-verdict, the path of a
    file or folder, a pattern (texts/*.jsonl), hub:OWNER/NAME (docs/sources.md), - for standard
    input, or several of these, with weights if you like: a:0.7,b:0.3."""
    tokenizer: str | None = None
    """Tokenizer: a name (gpt2, cl100k_base, ...) or a path; None trains one on the corpus."""
    vocab_size: int | None = None
    """Vocabulary size of the new tokenizer; None means the preset's."""
    block_size: int | None = None
    """Context in tokens (T); None means the preset's."""
    n_layer: int | None = None
    """Transformer blocks (L); None means the preset's."""
    n_head: int | None = None
    """Attention heads per block (H); None means the preset's."""
    n_kv_head: int | None = None
    """Key and value heads per block (G) of a Llama, of which n_head is a multiple; None means the
    preset's."""
    n_embd: int | None = None
    """Channels (C), a multiple of n_head; None means the preset's."""
    n_hidden: int | None = None
    """Channels inside the feed-forward layers (M) of a Llama; None means the preset's, in
    proportion to n_embd."""
    dropout: float = 0.0
    """Probability of zeroing an activation during training; a Llama has no dropout."""
    steps: int | None = None
    """Optimizer steps; None means the recipe's."""
    batch_size: int | None = None
    """Sequences in a micro-batch (B); None means the recipe's."""
    grad_accumulation: int = 1
    """Micro-batches whose gradients are summed for one step."""
    lr: float | None = None
    """Highest learning rate, reached after the warm-up; None means the recipe's, for sgd 0.1."""
    min_lr_ratio: float = 0.02
    """Final learning rate, as a share of the highest."""
    warmup_steps: int | None = None
    """Steps over which the learning rate grows from zero; None means the recipe's."""
    grad_clip: float = 1.0
    """Clip gradients to this global norm (0: no clipping)."""

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UserError(f"unknown preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        for name in _AT_LEAST_ONE:
            if (value := getattr(self, name)) is not None:
                check_count(name, value)
        if self.warmup_steps is not None:
            check_count("warmup_steps", self.warmup_steps, low=0)
        if not 0 <= self.grad_clip < float("inf"):
            raise UserError(f"grad_clip is {self.grad_clip}, but must be at least 0 and finite")
        if self.lr is not None and not 0 <= self.lr <= 10:
            raise UserError(f"lr is {self.lr}, but must be between 0 and 10")
        if self.lr == 0:
            raise UserError("lr is 0, but must be above 0: nothing would be learned")
        if not 0 <= self.min_lr_ratio <= 1:
            raise UserError(f"min_lr_ratio is {self.min_lr_ratio}, but must be between 0 and 1")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}, but must be at least 0 and below 1")
        if self.tokenizer is not None and self.vocab_size is not None:
            raise UserError(
                f"vocab_size is {self.vocab_size} and tokenizer {self.tokenizer!r}: a tokenizer "
                "has its own vocabulary; leave out one of the two"
            )

    def check_family(self) -> None:
        """Raise UserError for options that models of the preset's kind do not have."""
        is_llama = isinstance(PRESETS[self.preset], LlamaConfig)
        if is_llama and self.dropout:
            raise UserError(
                f"dropout is {self.dropout} and the preset {self.preset}: models of the Llama "
                "family have no dropout; leave it out, or choose a preset such as tiny"
            )
        for name in ("n_kv_head", "n_hidden"):
            if not is_llama and getattr(self, name) is not None:
                raise UserError(
                    f"{name} is {getattr(self, name)} and the preset {self.preset}: only Llama "
                    "models have this option; leave it out, or choose a preset such as llama-tiny"
                )

    def with_recipe(self) -> Self:
        """The same options, with the preset's recipe in place of None."""
        recipe = RECIPES[self.preset]
        fill = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
        return replace(self, **{k: v for k, v in fill.items() if getattr(self, k) is None})

    def model_config(self, vocab_size: int | None = None) -> ModelConfig:
        """The model's shape: the preset with this run's overrides.

        ``vocab_size`` is the tokenizer's, if it is known.
        """
        preset = PRESETS[self.preset]
        names = ("block_size", "n_layer", "n_head", "n_kv_head", "n_embd", "n_hidden")
        changed: dict[str, Any] = {k: v for k in names if (v := getattr(self, k)) is not None}
        changed["vocab_size"] = vocab_size or self.vocab_size or preset.vocab_size
        if isinstance(preset, GPTConfig):
            return replace(preset, dropout=self.dropout, **changed)
        n_embd, n_head = changed.get("n_embd", preset.n_embd), changed.get("n_head", preset.n_head)
        share = n_head * preset.n_kv_head // preset.n_head  # of another number of heads, as many
        changed.setdefault("n_kv_head", math.gcd(n_head, share) if share else 1)
        changed.setdefault("n_hidden", max(1, n_embd * preset.n_hidden // preset.n_embd))
        return replace(preset, head_dim=0, **changed)


@dataclass(frozen=True)
class TrainConfig(DataOptions, RunOptions, PrecisionOptions, OptimizerOptions, TrainingOptions):
    """Train a model: corpus, tokenizer, training, evaluation, sample, checkpoint and plot."""

    # the fields of the last base come first
    typed: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that were typed, defaults included; the command line sets it."""

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        if self.init_from is None:  # otherwise that model says what it has
            self.check_family()
        OptimizerOptions.__post_init__(self)
        PrecisionOptions.__post_init__(self)
        RunOptions.__post_init__(self)
        DataOptions.__post_init__(self)

    def with_recipe(self) -> Self:
        """The same options, with the optimizer's defaults and the preset's recipe for None."""
        optimizer = self.optimizer or RECIPES[self.preset].optimizer
        filled = TrainingOptions.with_recipe(replace(self, optimizer=optimizer).with_defaults())
        object.__setattr__(filled, "typed", self.typed)
        return filled


_AT_LEAST_ONE = (
    "vocab_size block_size n_layer n_head n_kv_head n_embd n_hidden steps batch_size "
    "grad_accumulation"
).split()
