r"""The regular expressions that cut text into chunks before any merge.

BPE merges never cross a chunk boundary, so the pattern decides what a token can be: a word with
its leading space, at most three digits, a run of punctuation.

The published patterns are written with possessive quantifiers (``++``, ``?+``, ``{1,3}+``), which
forbid backtracking. Three engines read our patterns: ``regex`` (training), Rust's fancy-regex
(inside tiktoken) and Oniguruma (inside the tokenizers library), and they do not agree on that
notation. For Oniguruma, ``\p{N}{1,3}+`` is not a possessive {1,3} but ``(?:\p{N}{1,3})+``, any
number of digits, and ``$`` matches at every line end. It raises no error; the ids just differ.

Written without them the patterns are read alike by all three, and match the same chunks:

- ``\p{L}++``, ``[\r\n]*+`` and ``{1,3}+`` end their alternative, so nothing after them could ask
  for a character back. The same holds for ``[^\s\p{L}\p{N}]++``, as newlines are not in it.
- ``[^\r\n\p{L}\p{N}]?+\p{L}++``: giving the optional character back leaves ``\p{L}`` to match a
  character that is not a letter, so the alternative fails either way.
- ``\s++$``, white space up to the end of the text, becomes ``\s+(?![\s\S])``: a shorter match
  would be followed by white space, which the lookahead refuses.

What remains is each engine's edition of Unicode: a letter added to Unicode last year is a letter
for one engine and punctuation for another until both are updated.
"""

from collections.abc import Iterator

from tinygrad_llm.errors import UserError

# GPT-4's (cl100k_base): contractions, words, up to three digits, punctuation, white space.
GPT4_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s+(?![\s\S])"
    r"|\s*[\r\n]"
    r"|\s+(?!\S)"
    r"|\s"
)

# GPT-2's (r50k_base, p50k_base): lower-case contractions, numbers of any length.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

NAMED = {"gpt4": GPT4_PATTERN, "gpt2": GPT2_PATTERN}

# Every character of any text is in some chunk of these two (for a pattern of someone else's that
# has to be checked).
COMPLETE = frozenset(NAMED.values())

# fancy-regex keeps one backtracking entry per character of a run of white space and gives up at a
# million; a block of this many white-space characters is cut off before it gets there.
SPACE_BLOCK = 250_000


def resolve(pattern: str) -> str:
    """The regular expression for a name ("gpt4", "gpt2"); anything else is one already.

    Raises UserError if it does not compile or matches the empty string.
    """
    import regex

    expression = NAMED.get(pattern, pattern)
    try:
        compiled = regex.compile(expression)
    except regex.error as error:
        raise UserError(
            f"the split pattern {pattern!r} is neither one of {', '.join(NAMED)} nor a regular "
            f"expression: {error}"
        ) from None
    if compiled.match("") is not None:
        raise UserError(f"the split pattern {pattern!r} matches the empty string; use + for *")
    return expression


def is_portable(expression: str) -> bool:
    """Whether Oniguruma reads it as Rust does: no possessive quantifier and no ^ or $."""
    import re

    single = r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]"  # \p{L}, \s, [...]: one character
    operators = re.sub(single, "x", expression, flags=re.DOTALL)
    return re.search(r"[*+?}]\+|[\^$]", operators) is None


def cut_long_space(text: str) -> Iterator[str]:
    """`text` in pieces that tiktoken's regular expression engine can digest.

    One piece, unless a whole block of SPACE_BLOCK characters is white space: there a cut follows
    the block. Only such text gets other ids than the pattern alone would give; it still
    round-trips.
    """
    start = 0
    for end in range(SPACE_BLOCK, len(text), SPACE_BLOCK):
        if text[end - SPACE_BLOCK : end].isspace():
            yield text[start:end]
            start = end
    yield text[start:]
