"""Perplexity and bits per byte of texts, by a window that slides over each of them.

    token_perplexity   exp(nats / tokens): depends on the tokenizer
    bits_per_byte      nats / (ln 2 x bytes of the scored tokens): comparable between tokenizers
    byte_perplexity    2 ** bits_per_byte
    word_perplexity    exp(nats / words of the texts)

Nats, tokens and bytes of all texts are summed and divided once: a mean of the texts' perplexities
would be something else. The bytes are those of the tokens, counted before they become text.

Without ``prefix`` the first token of a text is not scored, since it has no context; with it, it is
scored after the id that begins a text, as lm-evaluation-harness does. On one text this changed the
perplexity from 34.3 to 39.7, so the results say which it was.

Data: DATA itself if it is a file, or its files *.txt.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Answer, Request, Rolling, Score
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document, Task, Verdict
from tinygrad_llm.files.json_file import read_bounded

MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Perplexity(Task):
    """How well a model predicts texts.

    window, stride, prefix: those of ``requests.Rolling``.
    """

    window: int | None = None
    stride: int | None = None
    prefix: bool = False

    name = "perplexity"
    about = "perplexity and bits per byte of texts; DATA is a text file, or DATA/*.txt"
    main = "token_perplexity"
    means = False
    lower_is_better = frozenset(
        {"token_perplexity", "byte_perplexity", "word_perplexity", "bits_per_byte"}
    )

    def files(self, folder: Path, split: str) -> list[Path]:
        if split == "train":
            return []
        files = [folder] if folder.is_file() else sorted(folder.glob("*.txt"))
        if not files:
            raise UserError(f"{folder} has no text: expected a file, or a folder with files *.txt")
        return files

    def rows(self, files: Sequence[Path]) -> list[Row]:
        return [Row({"file": path.name, "text": _text(path)}, str(path)) for path in files]

    def document(self, row: Row) -> Document:
        return Document(row.values["text"], fields={"file": row.values["file"]})

    def requests(self, document: Document, shots: Sequence[Document]) -> list[Request]:
        return [Rolling(document.question, self.window, self.stride, self.prefix)]

    def verdict(self, document: Document, answers: Sequence[Score]) -> Verdict:
        (score,) = answers
        words = len(re.split(r"\s+", document.question))  # as lm-evaluation-harness counts them
        counts = {"tokens": score.n_tokens, "bytes": score.n_bytes, "words": words}
        bits = -score.logp / math.log(2) / score.n_bytes if score.n_bytes else 0.0
        return Verdict({"nats": -score.logp, **counts, "bits_per_byte": bits})

    def right_answers(self, document: Document, n_requests: int) -> list[Answer]:
        return [Score(0.0, 1, True, 1)]

    def total(self, verdicts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        sums = {name: math.fsum(v[name] for v in verdicts) for name in verdicts[0]}

        def nats_per(unit: str) -> float:
            return sums["nats"] / sums[unit]

        if not sums["tokens"] or not sums["bytes"]:
            raise UserError(
                "no token of the texts is scored, since the first has no context: use a longer "
                "text, or --prefix"
            )
        found = {
            "token_perplexity": _exp(nats_per("tokens")),
            "bits_per_byte": nats_per("bytes") / math.log(2),
            "byte_perplexity": _exp(nats_per("bytes")),
            "word_perplexity": _exp(nats_per("words")),
        }
        # a "word" of a text without spaces may be as long as the text
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text: byte {error.start} is not UTF-8") from None


def _exp(x: float) -> float:
    return math.exp(x) if not x > 700 else math.inf
