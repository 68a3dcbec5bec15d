"""What a model answers to a few prompts in the course of a run: samples.jsonl, and a table.

The prompts are those of held-out rows. The most likely token is always taken, so a difference
between two answers comes from the training alone. A line of the file is

    {"step": 50, "prompt": "...", "answer": "...", "expected": "..."}

Step 0 is the model before the training.
"""

import io
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.files import write_atomically
from tinygrad_llm.files.json_file import Whole, parse_json, read_bounded
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.lora import merged
from tinygrad_llm.generation import FINISHED, Decoder, generate
from tinygrad_llm.model.quantize import stored_matrices
from tinygrad_llm.terminal import one_line, printable
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.endings import ending_ids
from tinygrad_llm.training.metrics import cannot_write

FILE = "samples.jsonl"
MAX_BYTES = 1 << 28
WIDTH = 100  # of the table, in characters
_SCHEMA = {"step": Whole(0), "prompt": str, "answer": str, "expected": str}


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
    return prompt_of_ids(ids, tokenizer, "".join(_pieces(answer, tokenizer)))


def prompt_of_ids(ids: np.ndarray, tokenizer: Tokenizer, expected: str) -> Prompt:
    """A prompt with the text of what it asks, and the answer in the data."""
    pieces = _pieces(ids, tokenizer)
    # The last piece of a conversation begins the answer; the one before it is what was asked.
    text = pieces[-2].removeprefix("user\n") if len(pieces) > 1 else "".join(pieces)
    return Prompt(ids, text.strip(), expected.strip())


def _pieces(ids: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    """The text between special tokens, where there is any."""
    special = list(tokenizer.special_tokens.values())
    parts = np.split(ids, np.flatnonzero(np.isin(ids, special)))
    texts = (tokenizer.decode(part[~np.isin(part, special)].tolist()) for part in parts)
    return [text for text in texts if text.strip()]


class Samples:
    """The answers of ``model`` to ``prompts``, which are added to the file of a run."""

    def __init__(
        self,
        console: PlainConsole,
        model: Any,
        tokenizer: Tokenizer,
        prompts: list[Prompt],
        max_new_tokens: int,
    ) -> None:
        self.console, self.model, self.tokenizer, self.prompts = console, model, tokenizer, prompts
        self.max_new_tokens = max_new_tokens
        self.ends = ending_ids(tokenizer)

    def write(self, run: Path, step: int) -> None:
        """Answer, and write the answers as those of the model after ``step`` steps.

        Lines of this step and of later ones are replaced: a run that continues from an earlier
        checkpoint has none twice, and none is missing.
        """
        if not self.prompts:
            return
        started = time.monotonic()
        answers = self._answers()
        seconds = time.monotonic() - started
        lines = [line for line in read_samples(run) if line["step"] < step]
        lines += [
            {"step": step, "prompt": p.text, "answer": answer, "expected": p.expected}
            for p, answer in zip(self.prompts, answers, strict=True)
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        try:
            write_atomically(run / FILE, text.encode())
        except OSError as error:
            raise cannot_write(run / FILE, error) from error
        self.console.say(f"answers after step {step} ({seconds:.1f} s):")
        for prompt, answer in zip(self.prompts, answers, strict=True):
            self.console.say(f"  {_shortened(prompt.text, 32)} -> {_shortened(answer, WIDTH - 38)}")

    def show(self, run: Path) -> None:
        """Show the first answers next to the last ones, as a table."""
        if self.prompts and (run / FILE).exists():
            self.console.say(f"\n{samples_table(run)}")

    def _answers(self) -> list[str]:
        """All at once, one row for each prompt, which ends where the model's context does."""
        quantized = bool(stored_matrices(self.model))
        faster: AbstractContextManager = nullcontext() if quantized else merged(self.model)
        ids = np.zeros((len(self.prompts), max(len(p.ids) for p in self.prompts)), np.int64)
        mask, room = np.zeros_like(ids), []
        for row, prompt in enumerate(self.prompts):
            ids[row, -len(prompt.ids) :], mask[row, -len(prompt.ids) :] = prompt.ids, 1
            room.append(self.model.config.block_size - len(prompt.ids))

        def is_full(row: int, _: int) -> bool:
            room[row] -= 1
            return room[row] <= 0

        with faster, evaluating(self.model):
            steps = generate(
                Decoder(self.model), ids, self.max_new_tokens, temperature=0, attention_mask=mask,
                stop_ids=self.ends, stop=is_full,
                unused_ids=self.tokenizer.unused_ids(self.model.config.vocab_size),
            )  # fmt: skip
            found = np.array(list(steps)).T  # (B, T)
        skipped = (FINISHED, *self.ends)
        return [self.tokenizer.decode(row[~np.isin(row, skipped)]).strip() for row in found]


def read_samples(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's file of samples; none if there is no file. Raises UserError."""
    path = run / FILE
    if not path.exists():
        return []
    lines = read_bounded(path, MAX_BYTES).splitlines()
    return [parse_json(line, f"line {n} of {path}", _SCHEMA) for n, line in enumerate(lines, 1)]


def samples_table(run: Path) -> str:
    """The answers before the first step and after the last one, as a table."""
    from rich.console import Console
    from rich.table import Table

    lines = read_samples(run)
    ends = lines[0]["step"], lines[-1]["step"]
    before, after = ([line for line in lines if line["step"] == step] for step in ends)
    names = ["prompt", "before", f"after step {ends[1]}"]
    names += ["expected"] if any(line["expected"] for line in lines) else []
    table = Table(*names, show_lines=True)
    for first, last in zip(before, after, strict=True):
        cells = (first["prompt"], first["answer"], last["answer"], last["expected"])
        table.add_row(*(printable(cell) for cell in cells[: len(names)]))
    out = io.StringIO()
    Console(file=out, width=WIDTH, markup=False, highlight=False, emoji=False).print(table)
    return out.getvalue().rstrip()


def _shortened(text: str, width: int) -> str:
    """The text in one line of at most ``width`` characters."""
    text = one_line(text)
    return text if len(text) <= width else f"{text[: width - 3]}..."
