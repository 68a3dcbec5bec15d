"""What a model on disk is: the facts that ``tinygrad-llm info MODEL`` shows.

The model is opened as it is stored, so everything that loading would refuse is refused here too,
apart from numbers that are NaN or infinite: those are not read.
"""

import math
import re
from collections import Counter
from pathlib import Path

from tinygrad_llm.config import GPTConfig, ModelConfig
from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import file_sha256
from tinygrad_llm.files.json_file import read_bounded
from tinygrad_llm.model import Model
from tinygrad_llm.model.quantize import num_weights
from tinygrad_llm.pretrained.directory import CONFIG
from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.pretrained.gguf_names import architecture
from tinygrad_llm.pretrained.llama_config import read_model_type
from tinygrad_llm.pretrained.load import load_stored
from tinygrad_llm.pretrained.tensor_file import SIZES
from tinygrad_llm.pretrained.weights import stored_tensors
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Vocabulary

MAX_README = 1 << 20
LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")

Facts = list[tuple[str, str]]


def describe(path: Path, sha256: bool = False) -> Facts:
    """(name, value) of every fact about a model directory or GGUF file; ``find_model`` gives paths.

    With ``sha256`` the checksums of all files of weights are among them. Raises UserError as
    ``load_pretrained`` does.
    """
    if path.is_dir():
        model, tokenizer = load_stored(path)
        kind, files, tensors = read_model_type(path / CONFIG), *_directory(path)
        licence = _licence(path, _licence_on_hub(path / "README.md"))
    else:
        file = read_gguf(path)
        model, tokenizer = load_stored(file)
        kind, files = architecture(file), [path]
        tensors = [(info.format, info.nbytes) for info in file.tensors.values()]
        licence = _licence(path.parent, file.metadata.get("general.license"))
    facts = [
        ("model", str(path)),
        ("architecture", f"{kind}: {_sizes(model)}"),
        ("parameters", f"{num_weights(model):,}"),
        ("weights", format_sizes(tensors)),
        ("context", f"{model.config.block_size:,} tokens"),
        *_vocabulary(model, tokenizer),
        ("licence", licence),
    ]
    if sha256:
        facts += [("sha256", f"{file_sha256(file)}  {file.name}") for file in files]
    return facts


Tensors = list[tuple[str, int]]  # the format and the bytes of each


def _directory(path: Path) -> tuple[list[Path], Tensors]:
    stored = stored_tensors(path).values()
    tensors = [(t.dtype, math.prod(t.shape) * SIZES[t.dtype]) for t in stored]
    return sorted({tensor.path for tensor in stored}), tensors


def _sizes(model: Model) -> str:
    config: ModelConfig = model.config
    text = (
        f"{counted(config.n_layer, 'layer')}, {counted(config.n_embd, 'channel')}, "
        f"{counted(config.n_head, 'head')}"
    )
    if isinstance(config, GPTConfig):
        return f"{text}, {4 * config.n_embd:,} channels in the feed-forward layer"
    text += f" of {config.head_dim} channels"
    if config.n_kv_head != config.n_head:
        text += f" on {config.n_kv_head} for keys and values"
    text += f", {config.n_hidden:,} channels in the feed-forward layer"
    if slide := sum(config.window(i) is not None for i in range(config.n_layer)):
        text += f", {counted(slide, 'layer')} with a window of {config.sliding_window:,}"
    return text


def format_sizes(tensors: Tensors) -> str:
    """The bytes of all tensors, and of each format, the largest first."""
    counts, sizes = Counter(form for form, _ in tensors), Counter[str]()
    for form, size in tensors:
        sizes[form] += size
    parts = [f"{form} {size:,} ({_tensors(counts[form])})" for form, size in sizes.most_common()]
    return f"{sizes.total():,} bytes: {', '.join(parts)}"


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"


def _vocabulary(model: Model, tokenizer: Tokenizer | None) -> Facts:
    vocabulary = f"{model.config.vocab_size:,} ids"
    if tokenizer is None:
        return [("vocabulary", f"{vocabulary}; there is no tokenizer")]
    is_byte_level = isinstance(tokenizer.vocabulary, Vocabulary)
    kind = "byte-level BPE" if is_byte_level else "SentencePiece BPE"
    conventions = tokenizer.conventions
    return [
        ("vocabulary", f"{vocabulary}; the tokenizer has {tokenizer.vocab_size:,} ({kind})"),
        ("BOS", _end(tokenizer, tokenizer.bos_id, "before", conventions.prefix_ids)),
        ("EOS", _end(tokenizer, tokenizer.eos_id, "after", conventions.suffix_ids)),
        ("stop ids", ", ".join(_token(tokenizer, i) for i in tokenizer.stop_ids) or "none"),
        ("chat template", "no" if conventions.chat_template is None else "yes"),
    ]


def _end(tokenizer: Tokenizer, end: int | None, where: str, around: tuple[int, ...]) -> str:
    """A token that begins or ends a text, and whether it is added."""
    name = "none" if end is None else _token(tokenizer, end)
    if around in ((), (end,)):
        return f"{name}, {'added' if around else 'not added'} {where} a text"
    added = " ".join(_token(tokenizer, i) for i in around)
    return f"{name}; {added} added {where} a text"


def _token(tokenizer: Tokenizer, i: int) -> str:
    try:
        return f"{tokenizer.decode([i])} ({i})"
    except UserError:  # the model's files name an id that the tokenizer lacks
        return f"({i})"


def _licence(folder: Path, name: object) -> str:
    """What the files say about it: its ``name``, and whether ``folder`` has its text."""
    shown = name[:80] if isinstance(name, str) and name else "not named in the files"
    texts = [folder / file for file in LICENCES if (folder / file).is_file()]
    return f"{shown}; its text is {texts[0]}" if texts else shown


def _licence_on_hub(readme: Path) -> str | None:
    """The licence that the lines at the beginning of a README name for the hub."""
    if not readme.is_file():
        return None
    text = read_bounded(readme, MAX_README).decode("utf-8", "replace")
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    line = re.search(r"^license:(.*)$", head[1], re.MULTILINE) if head else None
    return line[1].strip() if line else None
