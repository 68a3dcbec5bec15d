"""Reading a tokenizer.json (``json_format.py`` says what is in it), and trusting nothing in it.

The file says which kind of tokenizer it holds by its decoder: ByteLevel, or a Sequence, which is
SentencePiece's (``json_sentencepiece.py``). Anything that would change the ids this project
computes (another normalizer, a prefix space, dropout, truncation, ...) is refused with a sentence.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json, short_reason
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.conventions import read_conventions
from tinygrad_llm.tokenizer.gpt2_files import VOCAB_FILE, has_gpt2_files, read_gpt2_files
from tinygrad_llm.tokenizer.json_format import TOKENIZER_FILE
from tinygrad_llm.tokenizer.json_sentencepiece import parse_sentencepiece
from tinygrad_llm.tokenizer.json_tables import Tables, kind, read_ranks, require
from tinygrad_llm.tokenizer.merges import MAX_IDS
from tinygrad_llm.tokenizer.vocabulary import Conventions, SentencePieceVocabulary, Vocabulary

# Beyond the largest file that can be written: MAX_TOTAL_BYTES of tokens, each byte spelled by a
# letter of at most two bytes, once in the vocabulary and once in the merges, and MAX_IDS entries.
MAX_FILE_BYTES = 1 << 29

MAX_PAIRS = 10_000  # of special tokens that are compared with each other


def find_file(path: Path) -> Path:
    """The tokenizer.json that `path` is or holds; raises FileNotFoundError if there is none.

    In a folder with GPT-2's own files instead (``gpt2_files.py``), the first of these.
    """
    if path.is_dir() and has_gpt2_files(path):
        return path / VOCAB_FILE
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no tokenizer at {path}: expected a {TOKENIZER_FILE}")
    return file


def read_file(file: Path) -> tuple[Vocabulary | SentencePieceVocabulary, Conventions]:
    """What ``find_file`` has found, with the files next to it that say how it is used.

    Raises UserError naming the file and what was expected.
    """
    names: dict[str, str] = {}
    if file.name == VOCAB_FILE:
        content, names = read_gpt2_files(file.parent)
    else:
        content = read_json(file, {...: object}, max_bytes=MAX_FILE_BYTES)
    with refusals_name(file):
        vocabulary = _parse(content)
        prefix, suffix = _added_around(content.get("post_processor"))
        added = {**vocabulary.special_tokens, **vocabulary.user_tokens}
        for name in (*prefix, *suffix):
            require(name in added, f"its post_processor adds {name!r}, which is no added token")
    prefix_ids, suffix_ids = (tuple(added[name] for name in names) for names in (prefix, suffix))
    return vocabulary, read_conventions(file.parent, added, prefix_ids, suffix_ids, names)


@contextmanager
def refusals_name(file: Path) -> Iterator[None]:
    """Make a UserError about the content of `file` a short sentence that names the file."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{file} is not a BPE tokenizer that can be used here: {short_reason(error)}"
        ) from None


def _parse(content: dict[str, Any]) -> Vocabulary | SentencePieceVocabulary:
    model: Any = content.get("model")
    require(isinstance(model, dict), 'expected an object "model"')
    # Files from the library's first years do not name the type; every other model does.
    require(model.get("type", "BPE") == "BPE", f'model type {model.get("type")!r}, expected "BPE"')
    for key in ("truncation", "padding"):
        require(not content.get(key), f"it sets {key}, which would change the ids")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        require(not model.get(key), f"its model sets {key}, which would change the ids")
    tables = _tables(content, model)
    decoder = kind(content.get("decoder"))
    if decoder == "Sequence":
        return parse_sentencepiece(content, *tables)
    require(decoder == "ByteLevel", "expected the decoder ByteLevel, or a Sequence")
    require(not model.get("byte_fallback"), "its model sets byte_fallback, unknown to ByteLevel")
    normalizer = content.get("normalizer")
    nfc = kind(normalizer) == "NFC"
    require(nfc or not normalizer, f"it sets normalizer {kind(normalizer)}, expected NFC or none")
    vocab, merges, specials, users = tables
    whole_chunks = bool(model.get("ignore_merges"))
    ranks, pairs, by_pair = read_ranks(vocab, merges, len(specials) + len(users), whole_chunks)
    return Vocabulary(
        ranks,
        _pattern(content.get("pre_tokenizer")),
        specials,
        pairs,
        user_tokens=users,
        nfc=nfc,
        by_pair=by_pair,
        whole_chunks=whole_chunks,
    )


def _added_around(step: Any) -> tuple[list[str], list[str]]:
    """(Names of the tokens that a post_processor adds before a text, those after it)."""
    step_kind = kind(step)
    if step_kind == "Sequence":
        inner = step.get("processors")
        require(isinstance(inner, list), "its post_processor Sequence has no list of processors")
        before: list[str] = []
        after: list[str] = []
        for one in inner:
            require(kind(one) != "Sequence", "its post_processor is a Sequence in a Sequence")
            first, last = _added_around(one)
            before, after = first + before, after + last
        return before, after
    if step_kind == "TemplateProcessing":
        single = step.get("single")
        require(isinstance(single, list), "its post_processor has no template for a single text")
        parts = [
            [*part.items()][0] if isinstance(part, dict) and part else ("", "") for part in single
        ]
        kinds = [part for part, _ in parts]
        require(
            kinds.count("Sequence") == 1 and {*kinds} <= {"Sequence", "SpecialToken"},
            "its post_processor's template is not the text, once, between special tokens",
        )
        names = [what.get("id") if isinstance(what, dict) else None for _, what in parts]
        require(
            all(isinstance(name, str) for name in names), "its post_processor's tokens have no id"
        )
        text = kinds.index("Sequence")
        return [*map(str, names[:text])], [*map(str, names[text + 1 :])]
    if step_kind in ("BertProcessing", "RobertaProcessing"):
        raise UserError(f"its post_processor {step_kind} adds tokens to every text")
    require(
        step is None or step_kind == "ByteLevel", f"its post_processor {step_kind} is unknown here"
    )
    return [], []


def _tables(content: Mapping[str, Any], model: Mapping[str, Any]) -> Tables:
    """The tables of the file, with types and ids checked."""
    vocab: Any = model.get("vocab")
    merges: Any = model.get("merges")
    added: Any = content.get("added_tokens") or []
    require(isinstance(vocab, dict), 'expected "vocab" to be an object of token: id')
    require(isinstance(merges, list), 'expected "merges" to be a list')
    require(isinstance(added, list), 'expected "added_tokens" to be a list')
    specials: dict[str, int] = {}
    users: dict[str, int] = {}
    for token in added:
        require(
            isinstance(token, dict) and isinstance(token.get("content"), str),
            'expected every entry of "added_tokens" to have a "content"',
        )
        name = token["content"]
        i = token.get("id")
        for flag in ("single_word", "lstrip", "rstrip"):
            require(not token.get(flag), f"its added token {name!r} sets {flag}, unknown here")
        twice = name in specials or name in users
        require(not twice, f"its added token {name!r} is listed twice")
        require(vocab.get(name, i) == i, f"its added token {name!r} has two ids")
        (specials if token.get("special") is True else users)[name] = i
    _check_precedence(added)
    ids = {**vocab, **specials, **users}
    for name, i in ids.items():
        if type(i) is not int or not 0 <= i < MAX_IDS:
            raise UserError(
                f"the id of token {name[:40]!r} is {i!r}, expected one of 0 to {MAX_IDS - 1}"
            )
    require(len({*ids.values()}) == len(ids), "two of its tokens have the same id")
    pairs: list[tuple[str, str]] = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or [*map(type, pair)] != [str, str]:
            raise UserError(f"merge {len(pairs)} is {merge!r}, expected a pair of tokens")
        pairs.append((pair[0], pair[1]))
    ordinary = {name: i for name, i in vocab.items() if name not in specials and name not in users}
    return ordinary, pairs, specials, users


def _check_precedence(added: list[dict[str, Any]]) -> None:
    """Refuse special tokens for which the two libraries would choose differently.

    The tokenizers library looks for tokens marked "normalized" only where it found no other. Here
    the longest of all wins, so names of the two kinds must not be able to overlap in a text.
    """
    later = [token["content"] for token in added if token.get("normalized")]
    sooner = [token["content"] for token in added if not token.get("normalized")]
    require(
        len(later) * len(sooner) <= MAX_PAIRS,
        f"{len(later)} of its special tokens are normalized and {len(sooner)} are not: too many "
        "to check whether they overlap",
    )
    for a in later:
        for b in sooner:
            require(
                not _overlap(a, b),
                f"its special tokens {a!r} (normalized) and {b!r} (not) overlap, and then the "
                "tokenizers library does not take the longest",
            )


def _overlap(a: str, b: str) -> bool:
    """Whether the two can share a character in some text."""
    shared = range(1, min(len(a), len(b)))
    return a in b or b in a or any(a.endswith(b[:n]) or b.endswith(a[:n]) for n in shared)


def _pattern(step: Any) -> str:
    """The split pattern of a pre_tokenizer.

    ByteLevel alone is GPT-2's, Digits then ByteLevel is SmolLM's, Split has its own.
    """
    steps = step.get("pretokenizers") if kind(step) == "Sequence" else [step]
    expected = (
        "expected the pre_tokenizer ByteLevel, or Split by a Regex or Digits and then ByteLevel"
    )
    require(isinstance(steps, list) and len(steps) in (1, 2), expected)
    spelling = steps[-1]
    require(kind(spelling) == "ByteLevel", f"{expected}, found {kind(spelling)}")
    require(
        spelling.get("add_prefix_space") is False,
        "its ByteLevel step adds a space before every text (add_prefix_space)",
    )
    own_split = spelling.get("use_regex", True)
    if len(steps) == 1:
        require(own_split, "its ByteLevel step does not split (use_regex), and no other step does")
        return patterns.GPT2_PATTERN
    split = steps[0]
    if kind(split) == "Digits":
        require(own_split, "its ByteLevel step does not split (use_regex)")
        require(split.get("individual_digits") is True, "its Digits step keeps digits together")
        return patterns.SMOLLM_PATTERN
    pattern = split.get("pattern") if kind(split) == "Split" else None
    expression: Any = pattern.get("Regex") if isinstance(pattern, dict) else None
    require(isinstance(expression, str), f"{expected}, found {kind(split)}")
    require(not own_split, "it splits twice, by Split and by ByteLevel (use_regex)")
    require(
        split.get("behavior") == "Isolated" and not split.get("invert"),
        "expected its Split to have the behavior Isolated and not to be inverted",
    )
    require(
        patterns.is_portable(expression),
        f"its split pattern {expression!r} uses a possessive quantifier, ^ or $, which its library "
        "reads differently from tiktoken's engine",
    )
    return expression
