"""GPT-2's own files, vocab.json and merges.txt, in folders from before there was a tokenizer.json.

vocab.json has the id of every token, spelled in letters for bytes as in tokenizer.json, and
merges.txt the merges in order, one a line. Neither says how text is split, nor which tokens are
special. For a GPT-2 that is known: its pattern, and "<|endoftext|>" for the beginning and the end
of a text. Other models had the same two files with another pattern, so what the files next to them
say about the class must be GPT-2's.
"""

from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole, read_bounded, read_json, short
from tinygrad_llm.tokenizer.json_format import CONFIG_FILE, TOKENIZER_FILE
from tinygrad_llm.tokenizer.special import END_OF_TEXT

VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"
ADDED_FILE, SPECIAL_FILE = "added_tokens.json", "special_tokens_map.json"
CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
ROLES = ("bos_token", "eos_token", "unk_token")

MAX_BYTES = 1 << 26  # the largest vocabularies in use have 7 million
MAX_SMALL = 1 << 24


def has_gpt2_files(folder: Path) -> bool:
    """Whether these files are what a folder has in place of a tokenizer.json."""
    files = (folder / VOCAB_FILE, folder / MERGES_FILE)
    return not (folder / TOKENIZER_FILE).exists() and all(file.is_file() for file in files)


def read_gpt2_files(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """(The content that a tokenizer.json would have, the role of each special token -> its name).

    A role is bos_token, eos_token, pad_token, ... Raises UserError for files that are damaged, and
    for those of another model than GPT-2.
    """
    config, special_map = _small(folder / CONFIG_FILE), _small(folder / SPECIAL_FILE)
    _check_class(folder, config)
    vocab = read_json(folder / VOCAB_FILE, {...: Whole(0)}, max_bytes=MAX_BYTES)
    added = _small(folder / ADDED_FILE, Whole(0))
    roles = dict.fromkeys(ROLES, END_OF_TEXT)
    special: set[str] = set()
    for key, value in (*config.items(), *special_map.items()):
        if key.endswith("_token"):
            roles.update((key, name) for name in _names([value]))
        elif key == "additional_special_tokens" and isinstance(value, list):
            special.update(_names(value))
    special.update(roles.values())
    ids = vocab | added
    content: dict[str, Any] = {
        "added_tokens": [
            {"id": i, "content": name, "special": name in special}
            for name, i in ids.items()
            if name in special or name in added
        ],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": config.get("add_prefix_space", False),
        },
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": _merges(folder / MERGES_FILE)},
    }
    if config.get("add_bos_token") is True:
        bos, text = {"SpecialToken": {"id": roles["bos_token"]}}, {"Sequence": {"id": "A"}}
        content["post_processor"] = {"type": "TemplateProcessing", "single": [bos, text]}
    return content, roles


def _check_class(folder: Path, config: dict[str, Any]) -> None:
    """Raise UserError if the tokenizer, or the model, says that it is another than GPT-2's."""
    kind = config.get("tokenizer_class")
    if kind is None:
        model = _small(folder / "config.json").get("model_type", "gpt2")
        kind = CLASSES[0] if model == "gpt2" else model
    if kind not in CLASSES:
        raise UserError(
            f"{folder} has {VOCAB_FILE} and no {TOKENIZER_FILE}, and that is read for GPT-2 alone, "
            f"but its tokenizer is that of {short(kind)}: write a {TOKENIZER_FILE} with "
            "transformers (AutoTokenizer.from_pretrained and save_pretrained)"
        )


def _merges(file: Path) -> list[str]:
    try:
        lines = read_bounded(file, MAX_BYTES).decode().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text: byte {error.start} is not UTF-8") from None
    if lines[0].startswith("#version"):
        del lines[0]
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _small(file: Path, values: Any = object) -> dict[str, Any]:
    """A JSON object with such values; empty, if there is no such file."""
    if not file.exists():
        return {}
    return read_json(file, {...: values}, max_bytes=MAX_SMALL)


def _names(tokens: list[Any]) -> list[str]:
    """The names of tokens that are given by name, or as an object with one."""
    names = [token.get("content") if isinstance(token, dict) else token for token in tokens]
    return [name for name in names if isinstance(name, str)]
