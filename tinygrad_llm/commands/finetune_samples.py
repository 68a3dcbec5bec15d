"""What a model answers to a few prompts, before and after: samples.json of a run, and a table.

The prompts are those of held-out rows. The most likely token is always taken, so a difference
between the two answers comes from the training alone.
"""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.commands.writing import Writer
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.lora import merged
from tinygrad_llm.model.quantize import stored_matrices
from tinygrad_llm.terminal import printable
from tinygrad_llm.tokenizer import Tokenizer

FILE = "samples.json"
WIDTH = 100  # of the table, in characters
_SCHEMA = {"prompts": [str], "expected": [str], "before?": [str], "after?": [str]}


@dataclass(frozen=True)
class Prompt:
    """The ids of a prompt, and it and the answer in the data as text."""

    ids: np.ndarray
    text: str
    expected: str


def prompts_of(rows: Sequence[Any], tokenizer: Tokenizer, count: int) -> list[Prompt]:
    """The prompts of the first ``count`` rows: what comes before the first label that counts."""
    return [_prompt_of(row, tokenizer) for row in rows[:count]]


def _prompt_of(row: Any, tokenizer: Tokenizer) -> Prompt:
    counts = np.asarray(row.labels) != IGNORE
    first = int(np.argmax(counts))
    ids, answer = np.asarray(row.ids)[: first + 1], np.asarray(row.labels)[counts]
    pieces = _pieces(ids, tokenizer)
    # The last piece of a conversation begins the answer; the one before it is what was asked.
    text = pieces[-2].removeprefix("user\n") if len(pieces) > 1 else "".join(pieces)
    return Prompt(ids, text.strip(), "".join(_pieces(answer, tokenizer)).strip())


def _pieces(ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """The text between special tokens, where there is any."""
    special = list(tokenizer.special_tokens.values())
    parts = np.split(ids, np.flatnonzero(np.isin(ids, special)))
    texts = (tokenizer.decode(part[~np.isin(part, special)].tolist()) for part in parts)
    return [text for text in texts if text.strip()]


class Samples:
    """The answers of ``model`` to ``prompts``; before and after training go into a run's folder."""

    def __init__(
        self,
        console: PlainConsole,
        model: Any,
        tokenizer: Tokenizer,
        prompts: list[Prompt],
        max_new_tokens: int,
    ) -> None:
        self.console, self.model, self.tokenizer, self.prompts = console, model, tokenizer, prompts
        self.options = SamplingOptions(max_new_tokens=max_new_tokens, temperature=0)

    def before(self, run: Path) -> None:
        """Write the answers of the model as it is before the first step."""
        self._write(run, {"before": list(self._answers("before"))})

    def after(self, run: Path) -> None:
        """Write those of the trained model, and show both in a table."""
        if not self.prompts:
            return
        path = run / FILE
        earlier = read_json(path, _SCHEMA).get("before") if path.is_file() else None
        before = {} if earlier is None else {"before": earlier}
        self._write(run, {**before, "after": list(self._answers("after"))})
        self.console.say(f"\n{samples_table(run)}")

    def _answers(self, when: str) -> Iterator[str]:
        if not self.prompts:
            return
        quantized = bool(stored_matrices(self.model))
        faster: AbstractContextManager = nullcontext() if quantized else merged(self.model)
        label = f"samples {when} training"
        with faster, self.console.progress(label) as progress:
            writer = Writer(self.model, self.tokenizer, fused=False)
            for done, prompt in enumerate(self.prompts, 1):
                writing = writer.write(prompt.ids.tolist(), self.options, np.random.default_rng(0))
                for _ in writing:
                    pass
                progress(done, len(self.prompts))
                yield writing.texts[0].strip()

    def _write(self, run: Path, answers: dict[str, list[str]]) -> None:
        if not self.prompts:
            return
        content = {
            "prompts": [prompt.text for prompt in self.prompts],
            "expected": [prompt.expected for prompt in self.prompts],
            **answers,
        }
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        write_atomically(run / FILE, text.encode("utf-8", "backslashreplace"))


def samples_table(run: Path) -> str:
    """The samples of a run as a table."""
    from rich.console import Console
    from rich.table import Table

    content = read_json(run / FILE, _SCHEMA)
    columns = [name for name in ("prompts", "before", "after", "expected") if name in content]
    table = Table(*(name.removesuffix("s") for name in columns), show_lines=True)
    for row in zip(*(content[name] for name in columns), strict=True):
        table.add_row(*(printable(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=WIDTH, markup=False, highlight=False, emoji=False).print(table)
    return out.getvalue().rstrip()
