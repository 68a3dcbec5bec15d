"""A tokenizer from plain lists, as the metadata of a GGUF file holds it.

The file has one token, one kind and (for SentencePiece) one score for each id. A byte-level
vocabulary has its merges as well, and the name of its split pattern. llama.cpp gives the names; a
name that is not known here is refused, since another pattern gives other ids without an error.
"""

from collections.abc import Sequence

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import patterns
from tinygrad_llm.tokenizer.base import Tokenizer
from tinygrad_llm.tokenizer.json_tables import read_ranks
from tinygrad_llm.tokenizer.merges import MAX_IDS
from tinygrad_llm.tokenizer.sentencepiece import byte_names
from tinygrad_llm.tokenizer.vocabulary import Conventions, SentencePieceVocabulary, Vocabulary

# The kinds of tokens.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# llama.cpp's name -> (split pattern, whether text is normalized to NFC, whether a chunk that is a
# token is taken whole)
SPLITS = {
    "gpt-2": (patterns.GPT2_PATTERN, False, False),
    "llama-bpe": (patterns.LLAMA3_PATTERN, False, True),
    "llama3": (patterns.LLAMA3_PATTERN, False, True),
    "qwen2": (patterns.QWEN2_PATTERN, True, False),
    "smollm": (patterns.SMOLLM_PATTERN, False, False),
    "olmo": (patterns.GPT2_PATTERN, False, False),
    "phi-2": (patterns.GPT2_PATTERN, False, False),
    "dbrx": (patterns.LLAMA3_PATTERN, False, False),
    "smaug-bpe": (patterns.LLAMA3_PATTERN, False, False),
    "llama-v3": (patterns.LLAMA3_PATTERN, False, True),
    "falcon3": (patterns.LLAMA3_PATTERN, False, True),
    "pixtral": (patterns.LLAMA3_PATTERN, False, True),
    "deepseek-r1-qwen": (patterns.QWEN2_PATTERN, False, False),
    "a.x-4.0": (patterns.GPT2_PATTERN, False, False),
    "mellum": (patterns.GPT2_PATTERN, False, False),
    "refact": (patterns.SMOLLM_PATTERN, False, False),
}


def tokenizer_from_lists(
    model: str,
    tokens: Sequence[str],
    token_types: Sequence[int] | None = None,
    *,
    scores: Sequence[float] | None = None,
    merges: Sequence[str] | None = None,
    pre: str | None = None,
    bos_id: int | None = None,
    eos_id: int | None = None,
    unknown_id: int | None = None,
    add_bos: bool | None = None,
    add_eos: bool = False,
    add_space_prefix: bool = True,
    chat_template: str | None = None,
    stop_ids: Sequence[int] = (),
) -> Tokenizer:
    """The tokenizer of these lists; the arguments are GGUF's ``tokenizer.ggml.*``.

    model: "gpt2" (byte-level BPE, with `merges` and `pre`) or "llama" (SentencePiece, with
    `scores`). tokens[i] is the spelling of id i. merges: "left right" in order. token_types: the
    kinds above; all are NORMAL by default. add_bos: by default what llama.cpp does, which is True
    for "llama" and False for "gpt2". stop_ids: what ends an answer, apart from eos_id. Raises
    UserError for another model or `pre`, for lists of different lengths, and for lists that are no
    vocabulary.
    """
    if len(tokens) > MAX_IDS:
        raise UserError(f"the vocabulary has more than the {MAX_IDS:,} tokens allowed")
    kinds = [NORMAL] * len(tokens) if token_types is None else list(token_types)
    for name, values in (("token types", kinds), ("scores", scores)):
        if values is not None and len(values) != len(tokens):
            raise UserError(f"there are {len(tokens):,} tokens but {len(values):,} {name}")
    ids: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if token in ids and kinds[i] != UNUSED:
            raise UserError(f"the token {token[:40]!r} has two ids, {ids[token]} and {i}")
        ids.setdefault(token, i)
    names = {"bos": bos_id, "eos": eos_id, "unknown": unknown_id}
    for name, number in (*names.items(), *(("stop", i) for i in stop_ids)):
        if number is not None and not 0 <= number < len(tokens):
            raise UserError(f"the {name} id is {number}, expected one of 0 to {len(tokens) - 1}")

    def of_kind(*wanted: int) -> dict[str, int]:
        return {token: i for token, i in ids.items() if kinds[i] in wanted}

    # Hugging Face's converter marks padding of the embedding as unused: such an id has no text.
    specials, users = of_kind(CONTROL, UNKNOWN), of_kind(USER_DEFINED)
    vocabulary: Vocabulary | SentencePieceVocabulary
    if model == "llama":
        vocabulary = _sentencepiece(
            ids, of_kind(NORMAL), specials, users, scores, unknown_id, add_space_prefix
        )
        bos = add_bos is None or add_bos
    elif model == "gpt2":
        vocabulary = _byte_level(of_kind(NORMAL), specials, users, merges, pre)
        bos = bool(add_bos)
    else:
        raise UserError(f"the tokenizer model {model!r} is unknown here, expected gpt2 or llama")
    variables = {
        f"{name}_token": tokens[i]
        for name, i in names.items()
        if i is not None and name != "unknown"
    }
    conventions = Conventions(
        bos_id,
        eos_id,
        (bos_id,) if bos and bos_id is not None else (),
        (eos_id,) if add_eos and eos_id is not None else (),
        chat_template,
        variables,
        tuple(stop_ids),
    )
    return Tokenizer.from_vocabulary(vocabulary, conventions)


def _byte_level(
    vocab: dict[str, int],
    specials: dict[str, int],
    users: dict[str, int],
    merges: Sequence[str] | None,
    pre: str | None,
) -> Vocabulary:
    if pre not in SPLITS:
        raise UserError(
            f"the split pattern of the tokenizer is {pre!r}, expected one of {', '.join(SPLITS)}"
        )
    if merges is None:
        raise UserError("a byte-level vocabulary needs its merges, and there are none")
    pattern, nfc, whole_chunks = SPLITS[pre]
    pairs = []
    for i, merge in enumerate(merges):
        parts = merge.split(" ")
        if len(parts) != 2:
            raise UserError(f"merge {i} is {merge[:40]!r}, expected a pair of tokens")
        pairs.append((parts[0], parts[1]))
    added = len(specials) + len(users)
    ranks, byte_pairs, by_pair = read_ranks(vocab, pairs, added, whole_chunks)
    return Vocabulary(
        ranks,
        pattern,
        specials,
        byte_pairs,
        user_tokens=users,
        nfc=nfc,
        by_pair=by_pair,
        whole_chunks=whole_chunks,
    )


def _sentencepiece(
    ids: dict[str, int],
    pieces: dict[str, int],
    specials: dict[str, int],
    users: dict[str, int],
    scores: Sequence[float] | None,
    unknown_id: int | None,
    add_space_prefix: bool,
) -> SentencePieceVocabulary:
    if scores is None:
        raise UserError("a SentencePiece vocabulary needs its scores, and there are none")
    names = byte_names()
    byte_ids = [ids[name] for name in names] if all(name in ids for name in names) else None
    if byte_ids is not None:
        spelled_bytes = {*byte_ids}
        pieces = {piece: i for piece, i in pieces.items() if i not in spelled_bytes}
    for piece, i in pieces.items():
        if scores[i] != scores[i]:
            raise UserError(f"the score of {piece[:40]!r} is not a number")
    # The highest score is joined first; equal scores have the same rank, so the leftmost wins.
    order = {score: rank for rank, score in enumerate(sorted({*scores}, reverse=True))}
    return SentencePieceVocabulary(
        pieces,
        specials,
        users,
        byte_ids,
        unknown_id,
        ranks={piece: order[scores[i]] for piece, i in pieces.items()},
        prepend="always" if add_space_prefix else "never",
    )
