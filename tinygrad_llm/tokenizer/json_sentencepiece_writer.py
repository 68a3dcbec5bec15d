"""The steps of a tokenizer.json for SentencePiece: the inverse of ``json_sentencepiece.py``.

The file knows merges and no scores. A vocabulary that has scores (from a GGUF file) gets every way
of cutting a piece in two, in the order of the scores, which is how Hugging Face's converter writes
them; of equal scores, the longer left part comes first.
"""

from collections.abc import Iterable
from typing import Any

from tinygrad_llm.tokenizer.merges import every_cut
from tinygrad_llm.tokenizer.sentencepiece import SPACE, byte_names
from tinygrad_llm.tokenizer.vocabulary import SentencePieceVocabulary


def sentencepiece_steps(vocabulary: SentencePieceVocabulary) -> dict[str, Any]:
    """The entries normalizer, pre_tokenizer, decoder and model."""
    names = dict(zip(byte_names(), vocabulary.byte_ids or (), strict=False))
    ids = {
        **vocabulary.pieces, **names, **vocabulary.special_tokens, **vocabulary.user_tokens
    }  # fmt: skip
    spellings = {i: name for name, i in ids.items()}
    unknown = vocabulary.unknown_id
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    normalizer: dict[str, Any] | None = replace
    pre_tokenizer = None
    if vocabulary.prepend == "always":
        before = {"type": "Prepend", "prepend": SPACE}
        normalizer = {"type": "Sequence", "normalizers": [before, replace]}
    elif vocabulary.prepend == "once":
        normalizer = None
        pre_tokenizer = {
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False
        }  # fmt: skip
    decoders = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if vocabulary.prepend != "never":
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if unknown is None else spellings[unknown],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": vocabulary.byte_ids is not None,
            "ignore_merges": False,
            "vocab": dict(sorted(ids.items(), key=lambda item: item[1])),
            "merges": [list(pair) for pair in _merges(vocabulary, spellings)],
        },
    }


def _merges(
    vocabulary: SentencePieceVocabulary, spellings: dict[int, str]
) -> Iterable[tuple[str, str]]:
    if vocabulary.merges is not None:
        in_order = sorted(vocabulary.merges, key=vocabulary.merges.__getitem__)
        return ((spellings[left], spellings[right]) for left, right in in_order)
    ranks = vocabulary.ranks or {}
    cuts = every_cut(vocabulary.pieces)
    return sorted(cuts, key=lambda cut: (ranks[cut[0] + cut[1]], -len(cut[0]), -len(cut[1])))
