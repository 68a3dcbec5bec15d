"""``tinygrad-llm generate MODEL``: a model's continuation of a text, shown as it is written."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.text_options import GenerateOptions, SamplingOptions
from tinygrad_llm.commands.writing import Writer
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import read_bounded
from tinygrad_llm.terminal import typed_text

if TYPE_CHECKING:
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.tokenizer import Tokenizer

MAX_PROMPT_BYTES = 1 << 26


def run(options: GenerateOptions) -> int:
    """Load the model and write the prompt and its continuation."""
    prompt = read_prompt(options)
    model, tokenizer = open_model(options.model, options)
    ids = prompt_ids(tokenizer, prompt, options.allow_special)
    writing = Writer(model, tokenizer).write(ids, options, np.random.default_rng(options.seed))
    console = make_console()
    if not options.quiet:
        console.write(prompt)
    try:
        for piece in writing:
            console.write(piece)
    except KeyboardInterrupt:
        console.write("\n")  # the message about it starts on its own line
        raise
    console.write("\n")
    if options.stats:
        print(writing.speed(), file=sys.stderr)
    return 0


def stream_text(
    model: "GPT", tokenizer: "Tokenizer", prompt: str, options: SamplingOptions
) -> Iterator[str]:
    """The prompt, then the model's continuation piece by piece.

    A piece never ends inside a character. An empty prompt starts a new document. The text ends
    when the model ends the document, or after ``max_new_tokens``. The model's mode (dropout on or
    off) is restored at the end.
    """
    ids = prompt_ids(tokenizer, prompt)
    yield prompt
    yield from Writer(model, tokenizer).write(ids, options, np.random.default_rng(options.seed))


def prompt_ids(tokenizer: "Tokenizer", prompt: str, allow_special: bool = False) -> list[int]:
    """The ids of a prompt, after what the tokenizer's file says to put before a text.

    A model cannot continue nothing: before an empty prompt comes the end of a document, or the
    beginning of a text. Raises UserError where the tokenizer has neither.
    """
    ids = tokenizer.encode(prompt, allow_special=allow_special)
    if ids or tokenizer.conventions.prefix_ids:
        return [*tokenizer.conventions.prefix_ids, *ids]
    if tokenizer.bos_id is not None:
        return [tokenizer.bos_id]
    return [tokenizer.eot_id]


def read_prompt(options: GenerateOptions) -> str:
    """The prompt itself, or the text of the file or of the standard input that has it.

    Raises UserError for what is not UTF-8 text.
    """
    if options.prompt_file is None and options.prompt != "-":
        return typed_text(options.prompt, "the prompt")
    if options.prompt_file in (None, "-"):
        name, data = "standard input", sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
        if len(data) > MAX_PROMPT_BYTES:
            raise UserError(f"standard input has more than {MAX_PROMPT_BYTES:,} bytes")
    else:
        assert options.prompt_file is not None
        name, data = (
            options.prompt_file,
            read_bounded(user_path(options.prompt_file), MAX_PROMPT_BYTES),
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not text: byte {error.start} is not UTF-8") from None
