"""tokenizer.json: a byte-level BPE as the Hugging Face libraries store it.

The file spells every byte as one printable letter (GPT-2's table: a space is "Ġ"), lists the
merges as pairs of such strings, and describes the splitting as a Split by our regular expression
followed by a ByteLevel step that only spells. Special tokens stand in the vocabulary too, which
keeps their ids where the vocabulary has gaps. ``tokenizer_config.json`` names the class: without
it transformers guesses one from the model's type, with that class's own splitting.

Reading is strict: whatever would give other ids than this project computes (a normalizer, a
prefix space, dropout, truncation, ...) is refused with a sentence.

One difference is by design. The tokenizers library turns the name of a special token inside a text
into the token, unless its ``encode_special_tokens`` is set; here that takes ``allowed_special``.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.base import MAX_IDS, Tokenizer
from tinygrad_llm.tokenizer.merges import ranks_from_merges
from tinygrad_llm.tokenizer.special import END_OF_TEXT

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"

# Beyond the largest file that can be written: MAX_TOTAL_BYTES of tokens, each byte spelled by a
# letter of at most two bytes, once in the vocabulary and once in the merges, and MAX_IDS entries.
MAX_FILE_BYTES = 1 << 29

MAX_REASON = 400  # characters of the sentence that says why a file is refused
MAX_PAIRS = 10_000  # of special tokens that are compared with each other


def byte_letters() -> list[str]:
    """The letter of each byte: itself where printable in Latin-1, else U+0100 and following."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


LETTERS = byte_letters()
BYTES = {letter: b for b, letter in enumerate(LETTERS)}


def spell(token: bytes) -> str:
    """A token's bytes as letters."""
    return "".join(LETTERS[b] for b in token)


# ---- writing ----


def write_files(tokenizer: Tokenizer, directory: Path, model_max_length: int | None = None) -> None:
    """Write tokenizer.json and tokenizer_config.json into `directory`, made if it is not there.

    model_max_length: tokens a model can take, for the config file. Both files are complete before
    either gets its name. Raises UserError where they cannot be written, and for a vocabulary
    or pattern that the format cannot hold.
    """
    texts = {
        CONFIG_FILE: _config(tokenizer, model_max_length),
        TOKENIZER_FILE: _description(tokenizer),
    }
    partial = {name: directory / f".partial-{os.getpid()}-{name}" for name in texts}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in texts.items():
            with open(partial[name], "w", encoding="utf-8", newline="\n") as file:
                json.dump(content, file, ensure_ascii=False, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
        for name in texts:
            os.replace(partial[name], directory / name)
    except OSError as error:
        raise UserError(f"cannot save the tokenizer to {directory}: {error.strerror}") from error
    finally:
        for path in partial.values():
            with suppress(OSError):
                path.unlink()


def _config(tokenizer: Tokenizer, model_max_length: int | None) -> dict[str, Any]:
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if END_OF_TEXT in tokenizer.special_tokens:
        config |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    # transformers would otherwise drop spaces before punctuation when it decodes
    return config | {"clean_up_tokenization_spaces": False}


def _description(tokenizer: Tokenizer) -> dict[str, Any]:
    if not patterns.is_portable(tokenizer.pattern):
        raise UserError(
            f"the split pattern {tokenizer.pattern!r} uses a possessive quantifier, ^ or $, which "
            "the tokenizers library reads differently; the ids of a saved tokenizer would differ"
        )
    specials = sorted(tokenizer.special_tokens.items(), key=lambda item: item[1])
    vocab = {spell(token): i for token, i in tokenizer.ranks.items()}
    if clash := vocab.keys() & dict(specials).keys():
        raise UserError(f"the special token {min(clash)!r} is spelled like an ordinary token")
    for name, _ in specials:
        if not name.isascii() and BYTES.keys() >= {*name}:
            raise UserError(
                f"the special token {name!r} consists of letters that spell bytes in the file, so "
                "the tokenizers library would decode it to other text; use a name in ASCII"
            )
    vocab |= dict(specials)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {
        "type": "Split",
        "pattern": {"Regex": tokenizer.pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": name, **flags, "special": True} for name, i in specials
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, byte_level | {"use_regex": False}],
        },
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
            "merges": [[spell(left), spell(right)] for left, right in tokenizer.merges()],
        },
    }


# ---- reading ----


def read_file(path: Path) -> Tokenizer:
    """The tokenizer in `path`, a tokenizer.json or a directory that holds one.

    Keeps the ids of the file. Raises FileNotFoundError, or UserError naming the file and what
    was expected of it.
    """
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no tokenizer at {path}: expected a {TOKENIZER_FILE}")
    content = read_json(file, {...: object}, max_bytes=MAX_FILE_BYTES)
    try:
        return _understand(content)
    except UserError as error:
        reason = re.sub(r"\s+", " ", str(error))
        if len(reason) > MAX_REASON:  # it quotes the file, where anything can stand
            reason = f"{reason[: MAX_REASON // 2]} ... {reason[-MAX_REASON // 2 :]}"
        raise UserError(
            f"{file} is not a byte-level BPE tokenizer that can be used here: {reason}"
        ) from None


def _understand(content: dict[str, Any]) -> Tokenizer:
    model: Any = content.get("model")
    _require(isinstance(model, dict), 'expected an object "model"')
    # files of the first years name no type; every other model does
    _require(model.get("type", "BPE") == "BPE", f'model type {model.get("type")!r}, expected "BPE"')
    for key in ("normalizer", "truncation", "padding"):
        _require(not content.get(key), f"it sets {key}, which would change the ids")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        _require(not model.get(key), f"its model sets {key}, which would change the ids")
    _require(_type(content.get("decoder")) == "ByteLevel", "expected the decoder ByteLevel")
    _check_post_processor(content.get("post_processor"))
    vocab, merges, specials = _tables(content, model)
    ranks, pairs = _ranks(vocab, merges, specials)
    return Tokenizer.from_ranks(ranks, _pattern(content.get("pre_tokenizer")), specials, pairs)


def _check_post_processor(step: Any) -> None:
    """Only what adds no token: ByteLevel, or a template of the text alone (transformers' own)."""
    kind = _type(step)
    if kind == "Sequence":
        inner = step.get("processors")
        _require(isinstance(inner, list), "its post_processor Sequence has no list of processors")
        for one in inner:
            _require(_type(one) != "Sequence", "its post_processor is a Sequence in a Sequence")
            _check_post_processor(one)
    elif kind == "TemplateProcessing":
        single = step.get("single")
        _require(isinstance(single, list), "its post_processor has no template for a single text")
        parts = [part for part in single if isinstance(part, dict)]
        added = [part["SpecialToken"] for part in parts if "SpecialToken" in part]
        names = ", ".join(repr(token.get("id")) for token in added if isinstance(token, dict))
        _require(not added, f"its post_processor TemplateProcessing adds {names} to every text")
        _require(
            [*map(list, parts)] == [["Sequence"]] and len(single) == 1,
            "its post_processor's template is not the text, once",
        )
    elif kind in ("BertProcessing", "RobertaProcessing"):
        raise UserError(f"its post_processor {kind} adds tokens to every text")
    else:
        _require(step is None or kind == "ByteLevel", f"its post_processor {kind} is unknown here")


def _tables(
    content: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, int]]:
    """(vocabulary without special tokens, merges, special tokens), with types and ids checked."""
    vocab: Any = model.get("vocab")
    merges: Any = model.get("merges")
    added: Any = content.get("added_tokens") or []
    _require(isinstance(vocab, dict), 'expected "vocab" to be an object of token: id')
    _require(isinstance(merges, list), 'expected "merges" to be a list')
    _require(isinstance(added, list), 'expected "added_tokens" to be a list')
    specials = {}
    for token in added:
        _require(
            isinstance(token, dict) and isinstance(token.get("content"), str),
            'expected every entry of "added_tokens" to have a "content"',
        )
        name, i = token["content"], token.get("id")
        _require(token.get("special") is True, f"its added token {name!r} is not a special token")
        for flag in ("single_word", "lstrip", "rstrip"):
            _require(not token.get(flag), f"its special token {name!r} sets {flag}, unknown here")
        _require(name not in specials, f"its special token {name!r} is listed twice")
        _require(vocab.get(name, i) == i, f"its special token {name!r} has two ids")
        specials[name] = i
    _check_precedence(added)
    ids = {**vocab, **specials}
    for name, i in ids.items():
        if type(i) is not int or not 0 <= i < MAX_IDS:
            raise UserError(
                f"the id of token {name[:40]!r} is {i!r}, expected one of 0 to {MAX_IDS - 1}"
            )
    _require(len({*ids.values()}) == len(ids), "two of its tokens have the same id")
    pairs: list[tuple[str, str]] = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or [*map(type, pair)] != [str, str]:
            raise UserError(f"merge {len(pairs)} is {merge!r}, expected a pair of tokens")
        pairs.append((pair[0], pair[1]))
    return {name: i for name, i in vocab.items() if name not in specials}, pairs, specials


def _check_precedence(added: list[dict[str, Any]]) -> None:
    """The tokenizers library looks for tokens marked "normalized" only where no other was found.

    Here the longest of all comes first, so names of the two kinds must not meet in a text.
    """
    later = [token["content"] for token in added if token.get("normalized")]
    sooner = [token["content"] for token in added if not token.get("normalized")]
    _require(
        len(later) * len(sooner) <= MAX_PAIRS,
        f"{len(later)} of its special tokens are normalized and {len(sooner)} not: too many to "
        "see whether they overlap",
    )
    for a in later:
        for b in sooner:
            _require(
                not _overlap(a, b),
                f"its special tokens {a!r} (normalized) and {b!r} (not) overlap, and its library "
                "does not take the longest then",
            )


def _overlap(a: str, b: str) -> bool:
    """Whether the two can share a character in some text."""
    shared = range(1, min(len(a), len(b)))
    return a in b or b in a or any(a.endswith(b[:n]) or b.endswith(a[:n]) for n in shared)


def _ranks(
    vocab: Mapping[str, int], merges: list[tuple[str, str]], specials: Mapping[str, int]
) -> tuple[dict[bytes, int], list[tuple[bytes, bytes]]]:
    """(Token bytes -> id, the merges in bytes): the merges must make exactly the vocabulary.

    For the check a token's number is its place in time: the bytes first, then merge by merge.
    """
    _require(
        len(vocab) == 256 + len(merges),
        f"its vocabulary has {len(vocab)} tokens beside {len(specials)} special ones, expected 256 "
        f"bytes + {len(merges)} merges = {256 + len(merges)}",
    )
    number = {letter: i for i, letter in enumerate(LETTERS)}
    for letter in LETTERS:
        _require(letter in vocab, f"it has no token for byte {BYTES[letter]} ({letter!r})")
    last = -1
    pairs = []
    for i, (left, right) in enumerate(merges):
        made = left + right
        for token in (left, right, made):
            if token not in vocab:
                raise UserError(f"merge {i} uses {token[:40]!r}, which is not in the vocabulary")
            if token is not made and token not in number:
                raise UserError(f"merge {i} joins {token[:40]!r}, which no earlier merge makes")
        if vocab[made] <= last:
            raise UserError(
                f"merge {i} makes id {vocab[made]} after id {last}; tiktoken's engine needs the "
                "ids in the order of the merges"
            )
        pairs.append((number[left], number[right]))
        last = vocab[made]
        number.setdefault(made, 256 + i)
    tokens = list(ranks_from_merges(pairs))
    ids = [vocab[letter] for letter in LETTERS] + [vocab[left + right] for left, right in merges]
    return (
        dict(zip(tokens, ids, strict=True)),
        [(tokens[left], tokens[right]) for left, right in pairs],
    )


def _pattern(step: Any) -> str:
    """The split pattern of a pre_tokenizer: ByteLevel alone (GPT-2's), or Split then ByteLevel."""
    steps = step.get("pretokenizers") if _type(step) == "Sequence" else [step]
    expected = "expected the pre_tokenizer ByteLevel, or Split by a Regex and then ByteLevel"
    _require(isinstance(steps, list) and len(steps) in (1, 2), expected)
    spelling = steps[-1]
    _require(_type(spelling) == "ByteLevel", f"{expected}, found {_type(spelling)}")
    _require(
        spelling.get("add_prefix_space") is False,
        "its ByteLevel step adds a space before every text (add_prefix_space)",
    )
    own_split = spelling.get("use_regex", True)
    if len(steps) == 1:
        _require(own_split, "its ByteLevel step does not split (use_regex), and nothing else does")
        return patterns.GPT2_PATTERN
    split = steps[0]
    pattern = split.get("pattern") if _type(split) == "Split" else None
    expression: Any = pattern.get("Regex") if isinstance(pattern, dict) else None
    _require(isinstance(expression, str), f"{expected}, found {_type(split)}")
    _require(not own_split, "it splits twice, by Split and by ByteLevel (use_regex)")
    _require(
        split.get("behavior") == "Isolated" and not split.get("invert"),
        "expected its Split to have the behavior Isolated and not to be inverted",
    )
    _require(
        patterns.is_portable(expression),
        f"its split pattern {expression!r} uses a possessive quantifier, ^ or $, which its library "
        "reads differently from tiktoken's engine",
    )
    return expression


def _type(step: Any) -> str | None:
    return step.get("type") if isinstance(step, dict) else None


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise UserError(sentence)
