"""Which language a text is in: the rule that keeps some languages, and their shares.

The package py3langid recognises 140 languages by the sequences of a few bytes that are frequent in
them (naive Bayes: Lui and Baldwin 2012, "langid.py: an off-the-shelf language identification
tool"). Its model is part of the package, so no network is needed. docs/cleaning.md says how often
it is wrong: a line is too little to tell neighbours such as Danish and Norwegian apart.
"""

import importlib
from collections.abc import Callable

from tinygrad_llm.errors import UserError

EVERY = "all"
PIECES, PIECE = 4, 500  # of a long text: so many pieces, of so many characters


class Languages:
    """The rule ``judge``, which drops texts in other languages than ``wanted`` ("en,de").

    ``counts`` takes the bytes of every text by language, those of dropped ones too. With "all" no
    text is dropped. Raises UserError for a language that py3langid does not know, and without it.
    """

    def __init__(self, wanted: str, counts: dict[str, int]) -> None:
        self._classify, known = _recogniser()
        self._counts = counts
        self._wanted = [_ALIASES.get(code, code) for code in codes(wanted)]
        self._reason = f"in another language than {', '.join(self._wanted)}"
        unknown = [code for code in self._wanted if code not in known and code != EVERY]
        if unknown:
            raise UserError(
                f"py3langid does not know the language {unknown[0]!r}; expected {EVERY}, or some "
                f"of {' '.join(sorted(known))}"
            )

    def judge(self, text: str) -> str | None:
        """A reason to drop the text if it is in another language."""
        language = self._classify(sample(text))[0]
        self._counts[language] = self._counts.get(language, 0) + len(text.encode())
        return None if {language, EVERY} & set(self._wanted) else self._reason


def codes(languages: str) -> list[str]:
    """The codes in "en, de"."""
    return [code.strip() for code in languages.split(",")]


def sample(text: str) -> str:
    """What is looked at: a text of up to 2,000 characters whole, of a longer one four pieces."""
    if len(text) <= PIECES * PIECE:
        return text
    step = (len(text) - PIECE) // (PIECES - 1)  # the last piece ends with the text
    return "\n".join(text[i * step : i * step + PIECE] for i in range(PIECES))


_ALIASES = {"nb": "no"}  # the code of Norwegian Bokmal, which py3langid calls Norwegian


def _recogniser() -> tuple[Callable[[str], tuple[str, float]], set[str]]:
    """py3langid's function for one text, and the codes of the languages that it knows."""
    try:
        package = importlib.import_module("py3langid")
    except ImportError:
        raise UserError(
            "the option languages needs py3langid; install it with: "
            "pip install 'tinygrad-llm[languages]'"
        ) from None
    return package.classify, {code for code, _ in package.rank("")}
