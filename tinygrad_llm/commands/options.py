"""Options that only the command line has, on top of those in config.py.

A field without a default is a positional argument; the string below a field is its help. This file
is imported for ``--help``, so it imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg, subcommand

from tinygrad_llm.config import GenerateConfig


def positional(name: str):
    """Shows an argument as NAME in the help."""
    return arg(metavar=name)


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(GenerateConfig):
    """Write text with a trained model."""

    run: Annotated[str, positional("RUN")]
    """A run (its best checkpoint is used), a checkpoint, or a GPT-2 directory of Hugging Face."""
    no_verify: bool = False
    """Take the files as they are, without comparing them with the checksums beside them."""


@dataclass(frozen=True)
class TokenizerTrain:
    """Train a byte-level BPE tokenizer on the training side of a corpus."""

    corpus: Annotated[str, positional("CORPUS")]
    """stdlib, tinyshakespeare, the-verdict, or the path of a file or folder of text."""
    vocab_size: int = 4096
    """256 bytes + merges + 1 for end of text."""
    min_ascii_share: float = 0.9
    """Leave out documents with a smaller share of ASCII characters; 0 keeps every language."""
    pattern: str = "gpt4"
    """How text is split before merging: gpt4, gpt2 or a regular expression."""
    out: str = "tokenizer"
    """Folder for tokenizer.json; it must not have one yet."""


@dataclass(frozen=True)
class TokenizerEncode:
    """Text to token ids, on one line. Special tokens are never made from text."""

    tokenizer: Annotated[str, positional("TOKENIZER")]
    """A name (gpt2, cl100k_base, ...), a run, or the path of a tokenizer.json or its folder."""
    text: Annotated[tuple[str, ...], positional("[TEXT ...]")]
    """Words, joined by spaces; without any, standard input is read."""


@dataclass(frozen=True)
class TokenizerDecode:
    """Token ids to text: the exact bytes, with no line end added."""

    tokenizer: Annotated[str, positional("TOKENIZER")]
    """A name (gpt2, cl100k_base, ...), a run, or the path of a tokenizer.json or its folder."""
    ids: Annotated[tuple[int, ...], positional("[ID ...]")]
    """Token ids; without any, they are read from standard input."""


@dataclass(frozen=True)
class TokenizerCommands:
    """Train a tokenizer, or run one: train, encode, decode."""

    command: (
        Annotated[TokenizerTrain, subcommand("train")]
        | Annotated[TokenizerEncode, subcommand("encode")]
        | Annotated[TokenizerDecode, subcommand("decode")]
    )


@dataclass(frozen=True)
class DataPrepare:
    """Clean, split and encode a corpus into the cache, and report what became of it."""

    source: Annotated[str, positional("SOURCE")]
    """stdlib, tinyshakespeare, the-verdict, or the path of a file or folder of text."""
    tokenizer: str | None = None
    """A name (gpt2, ...), a run, or a path; None trains one on the corpus."""
    vocab_size: int | None = None
    """Ids of the tokenizer that is trained here; None is 4096."""
    near_duplicates: bool = False
    """Also drop documents that are nearly the same as an earlier one."""
    near_duplicate_threshold: float = 0.8
    """The similarity (of five-word shingles) from which on two are nearly the same."""
    min_ascii_share: float = 0.9
    """Drop documents with a smaller share of ASCII characters; 0 keeps every language."""


@dataclass(frozen=True)
class DataList:
    """List the corpora that are known by name, and whether they are on this machine."""


@dataclass(frozen=True)
class DataCommands:
    """Prepare training data, or list what there is: prepare, list."""

    command: Annotated[DataPrepare, subcommand("prepare")] | Annotated[DataList, subcommand("list")]


@dataclass(frozen=True)
class GradcheckOptions:
    """Check every operation's derivative: forward, order 1, order 2, and its kernels."""

    op: tuple[str, ...] = ()
    """Operations to check, by name; without any, all of them."""
    plot: Annotated[tuple[str, ...] | None, positional("[PATH]")] = None
    """Draw error against step size for the operations of --op: gradcheck-OP.png, or PATH."""


@dataclass(frozen=True)
class InfoOptions:
    """Show versions, BLAS, kernels, threads, GPU and cache."""
