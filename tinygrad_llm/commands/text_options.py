"""Options of the commands that write text with a model: ``generate`` and ``chat``.

The names are Hugging Face's; mlx-lm's and llama.cpp's names for the same are accepted too. A field
without a default is a positional argument; the string below a field is its help.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError

CHAT_MODEL = "smollm2-135m-instruct"
Rule = Literal["temperature", "top_k", "top_p", "min_p"]


def also(*names: str, metavar: str | None = None) -> Any:
    """Other names of an option."""
    return arg(aliases=names, metavar=metavar)


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How the next token is chosen (``generation/sampling.py`` has the definitions)."""

    max_new_tokens: Annotated[int, also("-n", "--max-tokens")] = 300
    """Most tokens to write; the text ends sooner where the model ends it."""
    temperature: Annotated[float, also("--temp")] = 0.8
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it; 0 always takes
    the most likely token."""
    top_k: int | None = 40
    """Sample among the k most likely tokens (0: all)."""
    top_p: float | None = None
    """Sample among the most likely tokens whose probabilities add up to p; None means all."""
    min_p: float | None = None
    """Sample among the tokens that are at least this many times as likely as the most likely one;
    None means all."""
    sampler_order: tuple[Rule, ...] = ("temperature", "top_k", "top_p", "min_p")
    """The order of these four; llama.cpp's has temperature at the end."""
    repetition_penalty: Annotated[float, also("--repeat-penalty")] = 1.0
    """Above 1 makes tokens less likely that are in the text already, the prompt included."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of each token that was written before."""
    frequency_penalty: float = 0.0
    """The same, times how often it was written."""
    logit_bias: dict[int, float] = field(default_factory=dict)
    """Ids of tokens, each with a number that is added to its logit."""
    stop: Annotated[UseAppendAction[tuple[str, ...]], also("-r", "--reverse-prompt")] = ()
    """End before this string; can be given several times."""
    stop_ids: tuple[int, ...] = ()
    """End before one of these ids too, not only where the model ends its text."""
    seed: int = 1337
    """The same seed, text and model give the same continuation."""

    def __post_init__(self) -> None:
        check_count("max_new_tokens", self.max_new_tokens)
        check_count("seed", self.seed, low=0)
        if "" in self.stop:
            raise UserError("a stop string is empty: the text would end before its first character")
        for stop_id in self.stop_ids:
            check_count("stop_ids", stop_id, low=0)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model is loaded and run."""

    weights: Literal["float32", "int8", "as-stored"] | None = None
    """Matrices in memory: float32, int8 (rounded, with a scale for each row), or as-stored: in the
    types of the file; None means as-stored, and float32 on a GPU."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter, ours or PEFT's, which is added to the model's weights."""
    draft_model: Annotated[str | None, also("-md")] = None
    """A smaller model with the same tokenizer, which guesses tokens ahead: quicker where it is
    right, and the text has the same distribution."""
    prompt_lookup: bool = False
    """Guess tokens ahead without a model: what followed the same words before."""
    draft_tokens: Annotated[int | None, also("--num-draft-tokens")] = None
    """How many tokens are guessed at a time; None means 4 by a model and 8 without."""
    stats: bool = False
    """Show tokens per second, on standard error."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute: cpu (NumPy and the compiled kernels) or cuda (a GPU, with CuPy)."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""

    def __post_init__(self) -> None:
        if self.draft_model is not None and self.prompt_lookup:
            raise UserError("draft_model and prompt_lookup are both given: choose one of them")
        if self.device != "cpu" and self.weights not in (None, "float32"):
            raise UserError(
                f"{self.weights} weights are multiplied on the CPU, not on {self.device}"
            )
        if self.draft_tokens is not None:
            check_count("draft_tokens", self.draft_tokens)


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(ModelOptions, SamplingOptions):
    """Generate text with a model."""

    model: Annotated[str, arg(metavar="MODEL")]
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name."""
    prompt: Annotated[str | None, also("-p")] = None
    """Start of the text; - reads it from standard input. None means that of the run's sample, and
    for any other model an empty one."""
    prompt_file: Annotated[str | None, also("-f")] = None
    """File with the start of the text, in place of --prompt; - is standard input."""
    crop: bool = False
    """Keep the end of a prompt that is longer than the model's context, instead of saying so."""
    allow_special: bool = False
    """Names of special tokens in the prompt stand for these tokens; without it, they are text."""
    quiet: bool = False
    """Write the continuation alone, without the prompt."""
    n: Annotated[int, also("--num-samples")] = 1
    """How many continuations to write; several are written at once, and shown at the end."""
    logprobs: int | None = None
    """Show the log-probability of each token, on standard error, with this many alternatives."""

    def __post_init__(self) -> None:
        SamplingOptions.__post_init__(self)
        ModelOptions.__post_init__(self)
        check_count("n", self.n)
        if self.prompt is not None and self.prompt_file is not None:
            raise UserError("prompt and prompt_file are both given: choose one of them")
        if self.n > 1 and (self.draft_model is not None or self.prompt_lookup):
            raise UserError(f"n is {self.n}, but tokens can be guessed ahead for one text only")
        if self.logprobs is not None:
            check_count("logprobs", self.logprobs, low=0)


@dataclass(frozen=True, kw_only=True)
class ChatOptions(ModelOptions, SamplingOptions):
    """Chat with a model: at a terminal, or one question a line from a pipe."""

    model: Annotated[Positional[str], arg(metavar="[MODEL]")] = CHAT_MODEL
    """A model directory of Hugging Face, a GGUF file, a run, a checkpoint or a name."""
    system: Annotated[str | None, also("--system-prompt", "-s")] = None
    """Instructions to the model before the conversation; None means what its template says."""
    context: Annotated[int | None, also("-c")] = None
    """Tokens that a conversation can have; None means the model's own limit, at most 8,192."""
    drop_oldest: bool = False
    """Forget the oldest turns when the context is full, instead of saying so."""
    max_new_tokens: Annotated[int, also("-n", "--max-tokens")] = 1024
    """Most tokens of one answer; it ends sooner where the model ends it."""
    temperature: Annotated[float, also("--temp")] = 0.2
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it; 0 always takes
    the most likely token."""
    top_k: int | None = None
    """Sample among the k most likely tokens (0 or None: all)."""
    top_p: float | None = 0.9
    """Sample among the most likely tokens whose probabilities add up to p; None means all."""

    def __post_init__(self) -> None:
        SamplingOptions.__post_init__(self)
        ModelOptions.__post_init__(self)
        if self.context is not None:
            check_count("context", self.context)
