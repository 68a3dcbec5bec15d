"""Every option of the project, as dataclasses: the command line, run.json and the code read these.

A model's shape is a ``GPTConfig`` with GPT-2's names for its fields. ``PRESETS`` names the shapes
people ask for: ``tiny`` is what the default run trains, ``gpt2`` and up are OpenAI's sizes. The
command line is made from ``TrainConfig`` and ``GenerateConfig``: a field is an option, the string
below it its help.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

LARGEST = 2**31 - 1
"""The greatest number of anything: what is larger is a slip of the finger, and fits no memory."""


def check_count(name: str, value: int, low: int = 1) -> None:
    """Raise UserError for a number of things that is below ``low`` or beyond all bounds."""
    if not low <= value <= LARGEST:
        at_least = f"at least {low}" if value < low else f"at most {LARGEST}"
        raise UserError(f"{name} is {value}, but must be {at_least}")


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a decoder-only transformer of GPT-2's kind."""

    vocab_size: int = 50257
    """Number of token ids (V)."""
    block_size: int = 1024
    """Longest sequence the position embedding knows (T), in tokens."""
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

    def __post_init__(self):
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            check_count(name, getattr(self, name))
        if self.n_embd % self.n_head:
            raise UserError(
                f"n_embd is {self.n_embd} and n_head {self.n_head}: the heads share the channels "
                f"equally, so n_embd must be a multiple of n_head"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}, but must be at least 0 and below 1")


PRESETS: dict[str, GPTConfig] = {
    "tiny": GPTConfig(vocab_size=4096, block_size=256, n_layer=2, n_head=4, n_embd=256),
    "small": GPTConfig(vocab_size=4096, block_size=256, n_layer=6, n_head=6, n_embd=384),
    "gpt2": GPTConfig(),
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}
"""Model shapes by name. A tokenizer of tiny's or small's vocabulary is trained for the run."""

PresetName = Literal["tiny", "small", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]


@dataclass(frozen=True)
class Recipe:
    """What suits the training of a preset; TrainConfig's options of these names override it."""

    steps: int
    batch_size: int
    lr: float
    warmup_steps: int


_PRETRAINING = Recipe(steps=5000, batch_size=4, lr=6e-4, warmup_steps=200)
RECIPES: dict[str, Recipe] = {
    "tiny": Recipe(steps=840, batch_size=16, lr=3e-3, warmup_steps=40),
    "small": Recipe(steps=1500, batch_size=16, lr=1.5e-3, warmup_steps=60),
    "gpt2": _PRETRAINING,
    "gpt2-medium": _PRETRAINING,
    "gpt2-large": _PRETRAINING,
    "gpt2-xl": _PRETRAINING,
}
"""Training recipes by preset. Smaller models bear, and need, a higher learning rate."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a GPT: corpus, tokenizer, training, evaluation, sample, checkpoint and plot."""

    preset: PresetName = "tiny"
    """Shape of the model and the recipe that goes with it."""
    data: str = "stdlib"
    """Corpus: stdlib (this Python's standard library), tinyshakespeare, the-verdict, or the path
    of a file or folder of text."""
    min_ascii_share: float = 0.9
    """Leave out documents with a smaller share of ASCII characters; 0 keeps every language."""
    tokenizer: str | None = None
    """Tokenizer: a name (gpt2, cl100k_base, ...) or the path of one; None trains one on the
    corpus."""
    vocab_size: int | None = None
    """Ids of the tokenizer that is trained here; None is the preset's number."""
    block_size: int | None = None
    """Context in tokens (T); None is the preset's."""
    n_layer: int | None = None
    """Transformer blocks (L); None is the preset's."""
    n_head: int | None = None
    """Attention heads per block (H); None is the preset's."""
    n_embd: int | None = None
    """Channels (C), a multiple of n_head; None is the preset's."""
    dropout: float = 0.0
    """Probability of zeroing an activation while training."""
    steps: int | None = None
    """Optimizer steps; None is the recipe's number."""
    batch_size: int | None = None
    """Sequences in a micro-batch (B); None is the recipe's number."""
    grad_accumulation: int = 1
    """Micro-batches whose gradients are added up for one step."""
    lr: float | None = None
    """Highest learning rate, reached after the warm-up; None is the recipe's."""
    min_lr_ratio: float = 0.02
    """The last learning rate as a share of the highest."""
    warmup_steps: int | None = None
    """Steps in which the learning rate grows from zero; None is the recipe's number."""
    weight_decay: float = 0.1
    """Decoupled weight decay of tensors of two or more dimensions."""
    beta1: float = 0.9
    """AdamW's decay of the mean of the gradients."""
    beta2: float = 0.95
    """AdamW's decay of the mean of their squares."""
    grad_clip: float = 1.0
    """Greatest global norm of the gradients; 0 turns clipping off."""
    eval_every: int = 120
    """Steps between quick evaluations."""
    eval_batches: int = 8
    """Batches of validation text in a quick evaluation, always the same ones; the evaluation at
    the end scores all of it."""
    save_every: int = 120
    """Steps between checkpoints."""
    seed: int = 1337
    """Seed of the initial weights, the order of the batches, dropout and the sample."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute: cpu (NumPy and the compiled kernels) or cuda (a GPU, with CuPy)."""
    out: str | None = None
    """Folder of the run; None is runs/<preset>. Where it exists, -2 (-3, ...) is appended."""
    resume: str | None = None
    """Run to continue, exactly as if it had never stopped; its options come from its run.json."""
    no_verify: bool = False
    """With --resume: take the run's files as they are, without comparing them with the checksums
    they were saved with."""
    profile: bool = False
    """Profile steps 2 to 4: a table by operation and by line, and a trace, in the run's folder."""
    sample_tokens: int = 300
    """Length of the sample that is written at the end, in tokens; 0 writes none."""
    sample_prompt: str | None = None
    """What the sample begins with; None is "def " for stdlib, else the first words of the
    validation text."""

    def __post_init__(self):
        if self.preset not in PRESETS:
            raise UserError(f"unknown preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        for name in _AT_LEAST_ONE:
            if (value := getattr(self, name)) is not None:
                check_count(name, value)
        for name in ("warmup_steps", "sample_tokens", "seed"):
            if (value := getattr(self, name)) is not None:
                check_count(name, value, low=0)
        if not 0 <= self.grad_clip < float("inf"):
            raise UserError(f"grad_clip is {self.grad_clip}, but must be at least 0 and finite")
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 10:
                raise UserError(f"{name} is {value}, but must be between 0 and 10")
        if self.lr == 0:
            raise UserError("lr is 0, but must be above 0: nothing would be learnt")
        if self.out is not None and user_path(self.out).name in ("", ".."):
            raise UserError(
                f"out is {self.out!r}, which is there already: name a new folder for the run"
            )
        for name in ("min_lr_ratio", "min_ascii_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f"{name} is {value}, but must be between 0 and 1")
        for name in ("beta1", "beta2", "dropout"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UserError(f"{name} is {value}, but must be at least 0 and below 1")
        if self.tokenizer is not None and self.vocab_size is not None:
            raise UserError(
                f"vocab_size is {self.vocab_size} and tokenizer {self.tokenizer!r}: a tokenizer "
                "brings its own vocabulary; leave out one of the two"
            )

    def with_recipe(self) -> "TrainConfig":
        """The same options with every None that the preset's recipe decides filled in."""
        recipe = RECIPES[self.preset]
        fill = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
        return replace(self, **{k: v for k, v in fill.items() if getattr(self, k) is None})

    def model_config(self, vocab_size: int | None = None) -> GPTConfig:
        """The model's shape: the preset with this run's overrides.

        ``vocab_size`` is the tokenizer's, where it is known.
        """
        names = ("block_size", "n_layer", "n_head", "n_embd")
        changed = {k: v for k in names if (v := getattr(self, k)) is not None}
        vocab_size = vocab_size or self.vocab_size or PRESETS[self.preset].vocab_size
        return replace(PRESETS[self.preset], vocab_size=vocab_size, dropout=self.dropout, **changed)


_AT_LEAST_ONE = (
    "vocab_size block_size n_layer n_head n_embd steps batch_size grad_accumulation eval_every "
    "eval_batches save_every"
).split()


@dataclass(frozen=True)
class GenerateConfig:
    """How text is sampled from a model (exactly: generation/sampling.py)."""

    prompt: str = "def "
    """What the text begins with."""
    max_new_tokens: int = 300
    """Tokens to generate; the text ends sooner where the model ends the document."""
    temperature: float = 0.8
    """Divides the logits: below 1 the likely becomes likelier; 0 takes the likeliest token."""
    top_k: int | None = 40
    """Sample among the k likeliest tokens; 0 is all of them."""
    top_p: float | None = None
    """Sample among the likeliest tokens that together have probability p; None is all of them."""
    seed: int = 1337
    """The same seed, prompt and model give the same text."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute: cpu (NumPy and the compiled kernels) or cuda (a GPU, with CuPy)."""

    def __post_init__(self):
        check_count("max_new_tokens", self.max_new_tokens)
        check_count("seed", self.seed, low=0)
