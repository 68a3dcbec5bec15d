"""A SentencePiece vocabulary of nine pieces, with ranks or with merges."""

from tinygrad_llm.tokenizer.vocabulary import SentencePieceVocabulary

PIECES = ["\u2581", "a", "b", "ab", "\u2581a", "aba", "\u2581ab", "\u2581\u2581", "ba"]


def sentencepiece(prepend="always", **changes):
    """Three added tokens, 256 bytes, then PIECES; the later ones are joined later."""
    pieces = {piece: 259 + i for i, piece in enumerate(PIECES)}
    fields = {
        "pieces": pieces, "special_tokens": {"<unk>": 0, "<s>": 1}, "byte_ids": range(3, 259),
        "user_tokens": {"<b>": 2}, "unknown_id": 0, "prepend": prepend,
        "ranks": {piece: i for i, piece in enumerate(PIECES)},
    }  # fmt: skip
    return SentencePieceVocabulary(**fields | changes)


def as_merges(vocabulary):
    """The same vocabulary with a list of merges in place of ranks."""
    pieces = vocabulary.pieces
    cuts = [(p[:i], p[i:], p) for p in vocabulary.pieces for i in range(1, len(p))]
    cuts = [(a, b, p) for a, b, p in cuts if a in pieces and b in pieces]
    merges = {(pieces[a], pieces[b]): (rank, pieces[p]) for rank, (a, b, p) in enumerate(cuts)}
    return vocabulary._replace(merges=merges, ranks=None)
