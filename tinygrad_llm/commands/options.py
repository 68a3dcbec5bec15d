"""Options that only the command line has, on top of those in config.py and text_options.py.

A field without a default is a positional argument; the string below a field is its help. This file
is imported even for ``--help``, so it imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

from tinygrad_llm.commands.eval_options import EvalOptions
from tinygrad_llm.commands.explore_options import ExploreOptions
from tinygrad_llm.commands.finetune_kinds import FinetuneCommands
from tinygrad_llm.commands.inspect_options import InspectOptions
from tinygrad_llm.commands.pipeline_options import PipelineOptions
from tinygrad_llm.commands.text_options import ChatOptions, GenerateOptions, also
from tinygrad_llm.config import TrainConfig, check_count
from tinygrad_llm.data_options import DataOptions, ReadOptions
from tinygrad_llm.errors import UserError

REQUIRED = "(required)"
"""What the help says of an argument that has a default only so that an error can say more."""


def positional(name: str, required: bool = False) -> Any:
    """Shows an argument as NAME in the help."""
    return arg(metavar=name, help_behavior_hint=REQUIRED if required else None)


@dataclass(frozen=True)
class TokenizerTrain(DataOptions):
    """Train a byte-level BPE tokenizer on the training side of a corpus."""

    corpus: Annotated[str, positional("CORPUS")]
    """stdlib, tinyshakespeare, the-verdict, the path of a file or folder, a pattern
    (texts/*.jsonl), hub:OWNER/NAME, - for standard input, or several, as in a:0.7,b:0.3."""
    vocab_size: int = 4096
    """Number of ids: 256 bytes + merges + 1 for end of text."""
    pattern: str = "gpt4"
    """How text is split before merging: gpt4, gpt2 or a regular expression."""
    out: str = "tokenizer"
    """Folder for tokenizer.json, which must not exist yet."""


@dataclass(frozen=True)
class TokenizerEncode:
    """Text to token ids, on one line. Text never yields special tokens."""

    tokenizer: Annotated[str, positional("TOKENIZER")]
    """A name (gpt2, cl100k_base, ...), a run, or the path of a tokenizer.json or its folder."""
    text: Annotated[tuple[str, ...], positional("[TEXT ...]")]
    """Words, joined by spaces; without any, standard input is read."""


@dataclass(frozen=True)
class TokenizerDecode:
    """Token ids to text: the exact bytes, without a line end."""

    tokenizer: Annotated[str, positional("TOKENIZER")]
    """A name (gpt2, cl100k_base, ...), a run, or the path of a tokenizer.json or its folder."""
    ids: Annotated[tuple[int, ...], positional("[ID ...]")]
    """Token ids; without any, standard input is read."""


@dataclass(frozen=True)
class TokenizerCommands:
    """Train a tokenizer or use one: train, encode, decode."""

    command: (
        Annotated[TokenizerTrain, subcommand("train")]
        | Annotated[TokenizerEncode, subcommand("encode")]
        | Annotated[TokenizerDecode, subcommand("decode")]
    )


@dataclass(frozen=True)
class DataPrepare(DataOptions):
    """Clean, split and encode a corpus into the cache, and report what was done."""

    source: Annotated[str, positional("SOURCE")]
    """stdlib, tinyshakespeare, the-verdict, the path of a file or folder, a pattern
    (texts/*.jsonl), hub:OWNER/NAME, - for standard input, or several, as in a:0.7,b:0.3."""
    tokenizer: str | None = None
    """A name (gpt2, ...), a run, or a path; None trains one on the corpus."""
    vocab_size: int | None = None
    """Vocabulary size of the new tokenizer; None means 4096."""


@dataclass(frozen=True)
class DataInspect(DataOptions):
    """Show samples of what each rule of cleaning drops or changes; nothing is written."""

    source: Annotated[str, positional("SOURCE")]
    """As for data prepare."""
    samples: int = 3
    """Samples for each rule, drawn evenly from all its documents."""
    seed: int = 0
    """Seed of the draw."""
    rule: str | None = None
    """Show only rules whose report has these words in it; None means all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise UserError(f"samples is {self.samples}, expected at least 1")


@dataclass(frozen=True)
class DataList:
    """List the corpora that have a name, and whether they are on this machine."""


@dataclass(frozen=True)
class DataCommands:
    """Prepare training data, look at its cleaning, or list the known corpora."""

    command: (
        Annotated[DataPrepare, subcommand("prepare")]
        | Annotated[DataInspect, subcommand("inspect")]
        | Annotated[DataList, subcommand("list")]
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ReadOptions):
    """How well a model predicts a text: loss, perplexity and bits per byte."""

    model: Annotated[str, positional("MODEL")]
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name."""
    data: Annotated[
        str | None, arg(aliases=("-d",), metavar="SOURCE", help_behavior_hint=REQUIRED)
    ] = None
    """The text: a file, a folder, or any other source that train reads, without its cleaning."""
    window: int | None = None
    """Tokens in a window; None means as many as the model reads, and one more."""
    stride: int | None = None
    """Tokens by which the window moves on; fewer give each token more context and take longer. None
    means that windows do not overlap."""
    prefix: bool = False
    """Score the first token, too, after the id that begins a text."""
    json: bool = False
    """Write the numbers, also those of each document, as a JSON object."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter, which is added to the model's weights."""
    weights: Literal["float32", "int8", "as-stored"] = "float32"
    """Matrices in memory: float32, int8 (rounded), or as-stored: in the types of the file."""
    batch_size: Annotated[int, also("-b")] = 8
    """Windows that are read together; it changes scores by no more than rounding."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""

    def __post_init__(self) -> None:
        if self.data is None:
            raise UserError("evaluate needs a text to predict: --data SOURCE")
        ReadOptions.__post_init__(self)
        check_count("batch_size", self.batch_size)
        for name in ("window", "stride"):
            if (value := getattr(self, name)) is not None:
                check_count(name, value)


@dataclass(frozen=True)
class ExportOptions:
    """Write a model for other programs: a directory for transformers or a file for llama.cpp."""

    model: Annotated[str, positional("MODEL")]
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name."""
    format: Literal["safetensors", "gguf"] = "safetensors"
    """safetensors makes a directory, gguf a file."""
    dtype: Literal["f32", "f16", "bf16", "q8_0"] = "f32"
    """What the weights are stored as; q8_0, about 8.5 bits per weight, for gguf only."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter, ours or PEFT's, which is added to the weights."""
    out: str | None = None
    """Where to write, which must not exist; None means MODEL-DTYPE in the current folder."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""


@dataclass(frozen=True)
class FuseOptions:
    """Add a LoRA adapter to a model's weights: a directory for transformers, without adapter."""

    model: Annotated[str, positional("MODEL")]
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name; or a run or an adapter whose files name its model."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of the adapter, ours or PEFT's, or the run that has trained it."""
    out: str | None = None
    """Where to write, which must not exist; None means MODEL-fused in the current folder."""
    dtype: Literal["f32", "f16", "bf16"] = "f32"
    """What the weights are stored as."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""


@dataclass(frozen=True)
class GradcheckOptions:
    """Check every operation's derivative: forward, order 1, order 2, and its kernels."""

    op: tuple[str, ...] = ()
    """Operations to check, by name; without any, all."""
    plot: Annotated[tuple[str, ...] | None, positional("[PATH]")] = None
    """Draw error against step size for the operations of --op, to gradcheck-OP.png or PATH."""


@dataclass(frozen=True)
class InfoOptions:
    """Show what a model is; without MODEL, versions, BLAS, kernels, threads, GPU and cache."""

    model: Annotated[Positional[str | None], positional("[MODEL]")] = None
    """A model directory of Hugging Face, a GGUF file, a run, a checkpoint or a name."""
    sha256: bool = False
    """Show the checksums of the model's files of weights, too."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter for the model, to show as well."""


@dataclass(frozen=True)
class ClassifyTextOptions:
    """Classify texts, one a line, with a model of `finetune classify`."""

    model: Annotated[str, positional("MODEL")]
    """A run of finetune classify (its best checkpoint is used), a checkpoint or a model
    directory."""
    file: Annotated[Positional[str | None], positional("[FILE]")] = None
    """File of texts, one a line; with --text-column a table (CSV, TSV, JSON lines, Parquet). None
    means lines of standard input."""
    json: bool = False
    """Write a JSON object a line: text, label and the probability of every label."""
    text_column: str | None = None
    """FILE is a table, and this is the name of its column of texts."""
    label_column: str | None = None
    """Name of its column of labels: the predictions are compared with them."""
    max_length: int = 256
    """Longest text, in tokens; of a longer one, the beginning is read."""

    def __post_init__(self) -> None:
        check_count("max_length", self.max_length)
        if self.text_column is not None and self.file is None:
            raise UserError("--text-column needs a FILE: only lines come from standard input")
        if self.label_column is not None and self.text_column is None:
            raise UserError("--label-column needs a --text-column, too: FILE must be a table")


@dataclass(frozen=True)
class PlotOptions:
    """Draw the losses of several runs in one picture, and show them as a table."""

    runs: Annotated[Positional[tuple[str, ...]], positional("RUN [RUN ...]", required=True)]
    """Folders of runs, of training or fine-tuning."""
    out: Annotated[str, also("-o")] = "losses.png"
    """File of the picture, which is replaced if it exists."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise UserError("plot needs the folder of at least one run")


@dataclass(frozen=True)
class CompletionOptions:
    """Print a script that lets a shell complete commands and options with the Tab key."""

    shell: Annotated[Literal["bash", "zsh", "fish"], positional("{bash,zsh,fish}")]
    """The shell, which reads the script from a file of its own: bash from
    ~/.local/share/bash-completion/completions/tinygrad-llm, zsh from _tinygrad-llm in a folder of
    fpath, fish from ~/.config/fish/completions/tinygrad-llm.fish."""


@dataclass(frozen=True)
class CommandLine:
    """The program: one of the commands."""

    command: (
        Annotated[TrainConfig, subcommand("train")]
        | Annotated[GenerateOptions, subcommand("generate")]
        | Annotated[ChatOptions, subcommand("chat")]
        | Annotated[FinetuneCommands, subcommand("finetune")]
        | Annotated[ClassifyTextOptions, subcommand("classify")]
        | Annotated[EvalOptions, subcommand("eval")]
        | Annotated[EvaluateOptions, subcommand("evaluate")]
        | Annotated[PlotOptions, subcommand("plot")]
        | Annotated[PipelineOptions, subcommand("pipeline")]
        | Annotated[InspectOptions, subcommand("inspect")]
        | Annotated[ExploreOptions, subcommand("explore")]
        | Annotated[TokenizerCommands, subcommand("tokenizer")]
        | Annotated[DataCommands, subcommand("data")]
        | Annotated[ExportOptions, subcommand("export")]
        | Annotated[FuseOptions, subcommand("fuse")]
        | Annotated[GradcheckOptions, subcommand("gradcheck")]
        | Annotated[InfoOptions, subcommand("info")]
        | Annotated[CompletionOptions, subcommand("completion")]
    )
    version: Annotated[bool, arg(help_behavior_hint="")] = False
    """show the version and exit"""
