"""Reading a tokenizer.json (``json_format.py`` says what is in it), and trusting nothing in it.

Anything that would change the ids this project computes (a normalizer, a prefix space, dropout,
truncation, ...) is refused with a sentence.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.json_format import BYTES, LETTERS, TOKENIZER_FILE, Vocabulary
from tinygrad_llm.tokenizer.merges import MAX_IDS, ranks_from_merges

# Beyond the largest file that can be written: MAX_TOTAL_BYTES of tokens, each byte spelled by a
# letter of at most two bytes, once in the vocabulary and once in the merges, and MAX_IDS entries.
MAX_FILE_BYTES = 1 << 29

MAX_REASON = 400  # characters of the sentence that says why a file is refused
MAX_PAIRS = 10_000  # of special tokens that are compared with each other


def find_file(path: Path) -> Path:
    """The tokenizer.json that `path` is or holds; raises FileNotFoundError if there is none."""
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no tokenizer at {path}: expected a {TOKENIZER_FILE}")
    return file


def read_file(file: Path) -> Vocabulary:
    """The content of a tokenizer.json; raises UserError naming the file and what was expected."""
    content = read_json(file, {...: object}, max_bytes=MAX_FILE_BYTES)
    with refusals_name(file):
        return _parse(content)


@contextmanager
def refusals_name(file: Path) -> Iterator[None]:
    """Make a UserError about the content of `file` a short sentence that names the file."""
    try:
        yield
    except UserError as error:
        reason = re.sub(r"\s+", " ", str(error))
        if len(reason) > MAX_REASON:  # it quotes the file, which can contain anything
            reason = f"{reason[: MAX_REASON // 2]} ... {reason[-MAX_REASON // 2 :]}"
        raise UserError(
            f"{file} is not a byte-level BPE tokenizer that can be used here: {reason}"
        ) from None


def _parse(content: dict[str, Any]) -> Vocabulary:
    model: Any = content.get("model")
    _require(isinstance(model, dict), 'expected an object "model"')
    # Files from the library's first years do not name the type; every other model does.
    _require(model.get("type", "BPE") == "BPE", f'model type {model.get("type")!r}, expected "BPE"')
    for key in ("normalizer", "truncation", "padding"):
        _require(not content.get(key), f"it sets {key}, which would change the ids")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        _require(not model.get(key), f"its model sets {key}, which would change the ids")
    _require(_type(content.get("decoder")) == "ByteLevel", "expected the decoder ByteLevel")
    _check_post_processor(content.get("post_processor"))
    vocab, merges, specials = _tables(content, model)
    ranks, pairs = _ranks(vocab, merges, specials)
    return Vocabulary(ranks, _pattern(content.get("pre_tokenizer")), specials, pairs)


def _check_post_processor(step: Any) -> None:
    """Allow only steps that add no token: ByteLevel, or a template of nothing but the text."""
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
        name = token["content"]
        i = token.get("id")
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
    """Refuse special tokens for which the two libraries would choose differently.

    The tokenizers library looks for tokens marked "normalized" only where it found no other. Here
    the longest of all wins, so names of the two kinds must not be able to overlap in a text.
    """
    later = [token["content"] for token in added if token.get("normalized")]
    sooner = [token["content"] for token in added if not token.get("normalized")]
    _require(
        len(later) * len(sooner) <= MAX_PAIRS,
        f"{len(later)} of its special tokens are normalized and {len(sooner)} are not: too many "
        "to check whether they overlap",
    )
    for a in later:
        for b in sooner:
            _require(
                not _overlap(a, b),
                f"its special tokens {a!r} (normalized) and {b!r} (not) overlap, and then the "
                "tokenizers library does not take the longest",
            )


def _overlap(a: str, b: str) -> bool:
    """Whether the two can share a character in some text."""
    shared = range(1, min(len(a), len(b)))
    return a in b or b in a or any(a.endswith(b[:n]) or b.endswith(a[:n]) for n in shared)


def _ranks(
    vocab: Mapping[str, int], merges: list[tuple[str, str]], specials: Mapping[str, int]
) -> tuple[dict[bytes, int], list[tuple[bytes, bytes]]]:
    """(Token bytes -> id, the merges in bytes): the merges must make exactly the vocabulary.

    For this check tokens are numbered in the order they are made: the bytes, then each merge.
    """
    _require(
        len(vocab) == 256 + len(merges),
        f"its vocabulary has {len(vocab)} tokens besides {len(specials)} special ones, expected "
        f"256 bytes + {len(merges)} merges = {256 + len(merges)}",
    )
    number = {letter: i for i, letter in enumerate(LETTERS)}
    for letter in LETTERS:
        _require(letter in vocab, f"it has no token for byte {BYTES[letter]} ({letter!r})")
    last = -1
    pairs = []
    for i, (left, right) in enumerate(merges):
        joined = left + right
        for token in (left, right, joined):
            if token not in vocab:
                raise UserError(f"merge {i} uses {token[:40]!r}, which is not in the vocabulary")
            if token is not joined and token not in number:
                raise UserError(f"merge {i} joins {token[:40]!r}, which no earlier merge makes")
        if vocab[joined] <= last:
            raise UserError(
                f"merge {i} makes id {vocab[joined]} after id {last}; tiktoken's engine needs the "
                "ids in the order of the merges"
            )
        pairs.append((number[left], number[right]))
        last = vocab[joined]
        number.setdefault(joined, 256 + i)
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
        _require(own_split, "its ByteLevel step does not split (use_regex), and no other step does")
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
