"""``tinygrad-llm generate MODEL``: a model's continuation of a text, shown as it is written."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_llm.commands.console import PlainConsole, make_console
from tinygrad_llm.commands.models import open_writer
from tinygrad_llm.commands.text_options import GenerateOptions, SamplingOptions
from tinygrad_llm.commands.writing import Writer, Writing, check_sampling
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import read_bounded
from tinygrad_llm.generation import FINISHED, Step
from tinygrad_llm.terminal import printable, typed_text
from tinygrad_llm.tokenizer.prompts import prompt_ids
from tinygrad_llm.training.checkpoint import run_of
from tinygrad_llm.training.runs import read_run_file

if TYPE_CHECKING:
    from tinygrad_llm.commands.inspect_options import InspectOptions
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer

MAX_PROMPT_BYTES = 1 << 26


def run(options: GenerateOptions) -> int:
    """Load the model and write the prompt and its continuation."""
    check_sampling(options)
    prompt = read_prompt(options)
    writer = open_writer(options.model, options)
    ids = prompt_ids(writer.tokenizer, prompt, options.allow_special)
    limit = writer.model.config.block_size
    typed = options.prompt is not None or options.prompt_file is not None
    if len(ids) > limit and typed and not options.crop:
        raise UserError(
            f"the prompt has {len(ids):,} tokens, but the model reads at most {limit:,}: shorten "
            "it, or use --crop, which keeps its end"
        )
    rng = np.random.default_rng(options.seed)
    writing = writer.write(ids, options, rng, options.n, options.logprobs)
    show = _show if options.n == 1 else _show_all
    show(make_console(), writing, prompt, options.quiet)
    if options.logprobs is not None:
        for row in range(options.n):
            _note(token_table(writer.tokenizer, writing.steps, row))
    if options.stats:
        _note(writing.speed())
    return 0


def _show(console: PlainConsole, writing: Writing, prompt: str, quiet: bool) -> None:
    """Write one text as it comes."""
    if not quiet:
        console.write(prompt)
    try:
        for (piece,) in writing:
            console.write(piece)
    except KeyboardInterrupt:
        console.write("\n")  # the message about it starts on its own line
        raise
    console.write("\n")


def _show_all(console: PlainConsole, writing: Writing, prompt: str, quiet: bool) -> None:
    """Write several texts once they are whole, since they grow at the same time."""
    for _ in writing:
        pass
    for number, text in enumerate(writing.texts, 1):
        _note(f"--- {number} of {len(writing.texts)}")
        console.write(f"{'' if quiet else prompt}{text}\n")


def _note(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def token_table(tokenizer: "Tokenizer", steps: Sequence[Step], row: int) -> str:
    """A line for each token of a text: its log-probability, itself, and the most likely ones."""

    def shown(token: int, logprob: float) -> str:
        try:
            text = repr(tokenizer.decode([token]))
        except UserError:  # the model has more ids than the tokenizer
            text = "no token"
        return f"{logprob:8.4f}  {text:<16}"

    lines = []
    for step in steps:
        if step.ids[row] != FINISHED:
            likely = zip(step.top_ids[row], step.top_logprobs[row], strict=True)
            columns = [(step.ids[row], step.logprobs[row]), *likely]
            lines.append("".join(shown(int(token), p) for token, p in columns).rstrip())
    return "\n".join(lines)


def stream_text(
    model: "Model", tokenizer: "Tokenizer", prompt: str, options: SamplingOptions
) -> Iterator[str]:
    """The prompt, then the model's continuation piece by piece.

    A piece never ends inside a character. An empty prompt starts a new document. The text ends
    when the model ends the document, or after ``max_new_tokens``. The model's mode (dropout on or
    off) is restored at the end. The compiled step is not used: to compile it takes longer than a
    short text.
    """
    ids = prompt_ids(tokenizer, prompt)
    yield prompt
    rng = np.random.default_rng(options.seed)
    for (piece,) in Writer(model, tokenizer, fused=False).write(ids, options, rng):
        yield piece


def read_prompt(options: "GenerateOptions | InspectOptions") -> str:
    """The prompt itself, or the text of the file or of the standard input that has it.

    Raises UserError for what is not UTF-8 text.
    """
    if options.prompt_file is None and options.prompt is None:
        return default_prompt(options.model)
    if options.prompt_file is None and options.prompt != "-":
        assert options.prompt is not None
        return typed_text(options.prompt, "the prompt")
    if options.prompt_file in (None, "-"):
        name, data = "standard input", sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
        if len(data) > MAX_PROMPT_BYTES:
            raise UserError(f"standard input has more than {MAX_PROMPT_BYTES:,} bytes")
    else:
        assert options.prompt_file is not None
        name = options.prompt_file
        data = read_bounded(user_path(name), MAX_PROMPT_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not text: byte {error.start} is not UTF-8") from None


def default_prompt(model: str) -> str:
    """The start of the sample of a run, which suits its corpus; "" for any other model."""
    path = user_path(model)
    if not path.is_dir():
        return ""
    try:
        content = read_run_file(run_of(path))
    except UserError:  # a model directory that is not of a run; what is wrong is said on loading
        return ""
    prompt = content.get("sample_prompt")
    if prompt is None:  # a run of an earlier version
        prompt = "def" if content["options"].get("data") == "stdlib" else ""
    return str(prompt)
