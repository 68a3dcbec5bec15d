"""Code as HTML: highlighted, with what stands above it; output, which looks different."""

import html
from functools import cache

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

PLAIN = {"", "text", "output"}
SHOWN = {"python": "Python", "sh": "shell", "json": "JSON", "toml": "TOML", "ini": "INI"}
"""How a block's language is called above it."""
_FORMATTER = HtmlFormatter(nowrap=True)


def highlighted(code: str, language: str) -> str:
    """Code as HTML, in spans with Pygments' classes. Raises ClassNotFound for a language."""
    if language in PLAIN:
        return html.escape(code, quote=False)
    return str(highlight(code, _lexer(language), _FORMATTER)).rstrip("\n")


def known(language: str) -> bool:
    """Whether code of a language can be highlighted, or is shown as it is."""
    if language in PLAIN:
        return True
    try:
        _lexer(language)
    except ClassNotFound:
        return False
    return True


def code_block(code: str, language: str, heading: str = "", first: int = 0) -> str:
    """A block of code; ``heading`` is HTML that stands above it, ``first`` its first line."""
    above = heading or html.escape(SHOWN.get(language, language if language != "text" else ""))
    bar = f'<div class="bar">{above}</div>' if above else ""
    pre = f'<pre tabindex="0"><code>{highlighted(code, language)}</code></pre>'
    kind = "shell" if language == "sh" else "text" if language in PLAIN else "program"
    return f'<div class="code {kind}">{bar}{pre}</div>'


def output_block(text: str, word: str) -> str:
    """What a block printed; ``word`` says how exact it is, or is empty."""
    note = f", {html.escape(word)}" if word else ""
    return (
        f'<div class="output"><div class="bar">Output{note}</div>'
        f'<pre tabindex="0"><samp>{html.escape(text, quote=False)}</samp></pre></div>'
    )


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)
