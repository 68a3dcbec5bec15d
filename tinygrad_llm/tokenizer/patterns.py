r"""The regular expressions that cut text into chunks before any merge.

BPE merges never cross a chunk boundary, so the pattern decides what a token can be: a word with
its leading space, at most three digits, a run of punctuation.

The published patterns are written with possessive quantifiers (``++``, ``?+``, ``{1,3}+``), which
forbid backtracking. Three engines read our patterns: ``regex`` (training), Rust's fancy-regex
(inside tiktoken) and Oniguruma (inside the tokenizers library), and they do not agree on that
notation. For Oniguruma, ``\p{N}{1,3}+`` is not a possessive {1,3} but ``(?:\p{N}{1,3})+``, any
number of digits, and ``$`` matches at every line end. It raises no error; the ids just differ.

Written without them, the patterns mean the same to all three, and match the same chunks:

- ``\p{L}++``, ``[\r\n]*+`` and ``{1,3}+`` end their alternative, so nothing after them could need
  a character back. The same is true of ``[^\s\p{L}\p{N}]++``, as newlines are not in it.
- ``[^\r\n\p{L}\p{N}]?+\p{L}++``: giving the optional character back leaves ``\p{L}`` to match a
  character that is not a letter, so the alternative fails either way.
- ``\s++$``, white space up to the end of the text, becomes ``\s+(?![\s\S])``: a shorter match
  would be followed by white space, which the lookahead refuses.

One difference remains, each engine's version of Unicode: a letter added to Unicode last year is a
letter for one engine and punctuation for another until both are updated.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from operator import methodcaller
from typing import Any

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

# Llama 3's: GPT-4's in an older notation; it cuts white space that holds newlines differently.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)

# Qwen's, from Qwen 1.5 to 3: Llama 3's, with every digit on its own.
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")

# SmolLM's: every digit on its own, and what is left between digits by GPT-2's. White space before a
# digit is then the end of a text, so none of it is left for the digit.
SMOLLM_PATTERN = (
    r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
)

# What a new tokenizer can be trained with.
NAMED = {"gpt4": GPT4_PATTERN, "gpt2": GPT2_PATTERN}

# These match every character of any text, in linear time; any other pattern has to be watched.
COMPLETE = frozenset({*NAMED.values(), LLAMA3_PATTERN, QWEN2_PATTERN, SMOLLM_PATTERN})

# fancy-regex keeps one backtracking entry per character of a run of white space and gives up at a
# million; a block of this many white-space characters is cut off before that.
SPACE_BLOCK = 250_000

# A pattern may come from an untrusted file. The published ones have a few hundred characters and
# repeat counts up to 3; a count is compiled to that many copies, and nested ones multiply.
MAX_PATTERN = 10_000
MAX_REPEATS = 10_000

# Splitting takes about 0.3 microseconds a character. A pattern with nested quantifiers can take
# exponential time, so splitting is stopped well beyond what a sound pattern needs.
SECONDS = 10.0
SECONDS_PER_CHARACTER = 20e-6


def resolve(pattern: str) -> str:
    """The regular expression of that name ("gpt4", "gpt2"), or the one passed in.

    Raises UserError if it does not compile, is too large, or matches the empty string.
    """
    expression = NAMED.get(pattern, pattern)
    if _compile(expression).match("") is not None:
        raise UserError(
            f"the split pattern {_short(pattern)} matches the empty string; use + instead of *"
        )
    return expression


@lru_cache(maxsize=16)
def _compile(expression: str) -> Any:
    """The expression as ``regex`` compiles it, within limits on its size."""
    import regex

    if len(expression) > MAX_PATTERN:
        raise UserError(
            f"the split pattern has {len(expression):,} characters, expected at most "
            f"{MAX_PATTERN:,}"
        )
    repeats = 1
    for count in re.findall(r"\{[^{}]*?(\d+)\s*,?\s*\}", expression):
        repeats = repeats * max(1, int(count)) if len(count) < 7 else MAX_REPEATS + 1
        if repeats > MAX_REPEATS:
            raise UserError(
                f"the split pattern {_short(expression)} repeats a part {count[:12]} times; the "
                f"counts together may make at most {MAX_REPEATS:,} copies: use + or smaller counts"
            )
    try:
        return regex.compile(expression)
    except (regex.error, RecursionError, ValueError, OverflowError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(
            f"the split pattern {_short(expression)} is neither one of {', '.join(NAMED)} nor a "
            f"regular expression: {reason}"
        ) from None


def _short(pattern: str) -> str:
    return repr(pattern) if len(pattern) <= 200 else repr(pattern[:200]) + "..."


def find_chunks(expression: str, text: str) -> Iterator[str]:
    """The chunks of a text in order; what the expression does not match is left out.

    Raises UserError for an expression that takes too long: with nested quantifiers the time can be
    exponential in the length of the text.
    """
    # Checking the clock doubles the time, so the known patterns, which are linear, run without it.
    seconds = None if expression in COMPLETE else SECONDS + SECONDS_PER_CHARACTER * len(text)
    try:
        yield from map(methodcaller("group"), _compile(expression).finditer(text, timeout=seconds))
    except TimeoutError:
        raise UserError(
            f"the split pattern {_short(expression)} took more than {seconds:.0f} s on a text of "
            f"{len(text):,} characters: rewrite it without nested quantifiers"
        ) from None


class Splitter:
    """Cuts text for tiktoken's engine.

    The engine itself runs the patterns in COMPLETE. Any other pattern runs here, and the engine
    takes each chunk whole: with the pattern it would silently drop what does not match, and could
    not be stopped.
    """

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._own = expression in COMPLETE
        self.engine_pattern = expression if self._own else r"[\s\S]+"

    def __call__(self, text: str) -> Iterator[tuple[str, bool]]:
        """(a piece of text, whether it is a chunk of the pattern), ...; nothing is left out."""
        if self._own:
            return ((piece, False) for piece in cut_long_space(text))
        return ((chunk, True) for chunk in self.chunks(text))

    def chunks(self, text: str) -> Iterator[str]:
        """The chunks of the pattern; raises UserError if they are not the whole text."""
        matched = 0
        for chunk in find_chunks(self._expression, text):
            matched += len(chunk)
            yield chunk
        if matched != len(text):
            raise UserError(
                f"the split pattern {_short(self._expression)} does not match every character of "
                "the text, and the rest would be lost; add an alternative for it"
            )


def is_portable(expression: str) -> bool:
    """Whether Oniguruma and Rust agree on it: it has no possessive quantifier and no ^ or $."""
    single = r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]"  # \p{L}, \s, [...]: one character
    operators = re.sub(single, "x", expression, flags=re.DOTALL)
    return re.search(r"[*+?}]\+|[\^$]", operators) is None


def cut_long_space(text: str) -> Iterator[str]:
    """`text` in pieces that tiktoken's regular expression engine can process.

    There is one piece, unless a whole block of SPACE_BLOCK characters is white space: then the
    text is cut after the block. Only such text gets different ids from those of the pattern alone;
    it still round-trips.
    """
    start = 0
    for end in range(SPACE_BLOCK, len(text), SPACE_BLOCK):
        if text[end - SPACE_BLOCK : end].isspace():
            yield text[start:end]
            start = end
    yield text[start:]
