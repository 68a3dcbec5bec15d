"""The SentencePiece tokenizers among the tokenizer.json files: Llama 2, TinyLlama, Mistral, Gemma.

The library has no SentencePiece as such. These files describe it in steps: a normalizer or a
pre_tokenizer that writes spaces as "▁", a BPE with ``byte_fallback`` over the whole text, and a
decoder that undoes both. The same thing is described in several ways; those in use are read here.
"""

from typing import Any, Literal

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer.json_tables import TextPairs, kind, require
from tinygrad_llm.tokenizer.sentencepiece import SPACE, byte_names
from tinygrad_llm.tokenizer.vocabulary import SentencePieceVocabulary

Prepend = Literal["always", "once", "never"]

_REPLACE: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_DECODERS = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}


def parse_sentencepiece(
    content: dict[str, Any],
    vocab: dict[str, int],
    merges: TextPairs,
    specials: dict[str, int],
    users: dict[str, int],
) -> SentencePieceVocabulary:
    """The vocabulary of a file whose decoder is a Sequence. Raises UserError if it is another kind.

    vocab, merges, specials, users: its tables, already checked.
    """
    model = content["model"]
    decoders = content["decoder"].get("decoders")
    require(isinstance(decoders, list), "its decoder Sequence has no list of decoders")
    for step in decoders:
        require(kind(step) in _DECODERS, f"its decoder has the step {kind(step)}, unknown here")
    require(
        not model.get("ignore_merges"), "it sets both ignore_merges and a SentencePiece decoder"
    )
    all_ids = {**vocab, **specials, **users}
    names = byte_names()
    spelled_bytes = {*names}
    byte_ids = None
    if model.get("byte_fallback") and all(name in all_ids for name in names):
        byte_ids = [all_ids[name] for name in names]
    unknown = model.get("unk_token")
    known = isinstance(unknown, str) and unknown in all_ids
    require(unknown is None or known, f"its unk_token {unknown!r} is not a token")
    require(
        unknown is None or byte_ids is not None or model.get("fuse_unk") is True,
        "it sets fuse_unk to false, expected one unknown token for several characters",
    )
    pieces = vocab
    if byte_ids is not None:
        pieces = {piece: i for piece, i in vocab.items() if piece not in spelled_bytes}
    table: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, (left, right) in enumerate(merges):
        try:
            pair, joined = (all_ids[left], all_ids[right]), all_ids[left + right]
        except KeyError as error:
            token = error.args[0][:40]
            raise UserError(f"merge {rank} uses {token!r}, which is no token") from None
        table.setdefault(pair, (rank, joined))
    return SentencePieceVocabulary(
        pieces,
        specials,
        users,
        byte_ids,
        None if unknown is None else all_ids[unknown],
        merges=table,
        prepend=_prepend(content.get("normalizer"), content.get("pre_tokenizer")),
    )


def _prepend(normalizer: Any, pre_tokenizer: Any) -> Prepend:
    """Where the file puts a "▁" before text; raises UserError for steps of another tokenizer."""
    steps = normalizer.get("normalizers") if kind(normalizer) == "Sequence" else [normalizer]
    require(isinstance(steps, list), "its normalizer Sequence has no list of normalizers")
    steps = [step for step in steps if step is not None]
    prepend: Prepend = "never"
    if steps and kind(steps[0]) == "Prepend":
        require(steps[0].get("prepend") == SPACE, f"its normalizer prepends other than {SPACE!r}")
        prepend, steps = "always", steps[1:]
    if kind(pre_tokenizer) == "Metaspace":
        scheme = pre_tokenizer.get("prepend_scheme")
        require(not steps and prepend == "never", "it replaces spaces twice")
        require(pre_tokenizer.get("replacement") == SPACE, "its Metaspace has another replacement")
        require(
            pre_tokenizer.get("split") is False, "its Metaspace splits words, expected no split"
        )
        require(
            scheme in ("first", "never"), f"its Metaspace prepends {scheme!r}, expected 'first'"
        )
        return "once" if scheme == "first" else "never"
    require(steps == [_REPLACE], f"expected a normalizer that replaces spaces by {SPACE!r}, alone")
    no_effect = {"String": " "}  # no space is left to split at
    require(
        pre_tokenizer is None
        or (kind(pre_tokenizer) == "Split" and pre_tokenizer.get("pattern") == no_effect),
        f"its pre_tokenizer {kind(pre_tokenizer)} splits text, expected none",
    )
    return prepend
