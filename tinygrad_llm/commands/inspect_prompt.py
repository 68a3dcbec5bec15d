"""``tinygrad-llm inspect MODEL --prompt TEXT``: the logit lens, attention maps, input gradients."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.generate import read_prompt
from tinygrad_llm.commands.inspect_options import InspectOptions
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_atomically
from tinygrad_llm.inspect.reading import Reading, as_json, document, read
from tinygrad_llm.inspect.reading_terminal import show
from tinygrad_llm.terminal import one_line
from tinygrad_llm.tokenizer.prompts import prompt_ids

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

LONGEST_TITLE = 100
WIDTH = 100  # of the tables where the output is no terminal


def run(options: InspectOptions) -> int:
    """Read the prompt, show what happened in the model, and write the page and the pictures."""
    from rich.console import Console

    prompt = read_prompt(options)
    if not prompt:
        raise UserError("the prompt is empty: give the model a text to read (--prompt TEXT)")
    png = None if options.png is None else _picture_path(options.png)
    own = ModelOptions(
        weights=options.weights, adapter=options.adapter, no_verify=options.no_verify
    )
    model, tokenizer = open_model(options.model, own)
    ids = _ids(options, tokenizer, prompt, model.config.block_size)
    with make_console(sys.stderr).progress("forward and backward"):
        reading = read(
            model, tokenizer, ids, top=options.top, of=options.loss, layers=options.layers
        )
    if options.json:
        print(json.dumps(as_json(reading)))
    else:
        width = None if sys.stdout.isatty() else WIDTH
        show(
            reading,
            Console(width=width, markup=False, highlight=False, emoji=False),
            options.position,
        )
    title = _short(f"{user_path(options.model).name}: {one_line(prompt)}")
    if png is not None:
        _draw(reading, png, title)
    if options.html is not None:
        _write_page(reading, user_path(options.html), title)
    return 0


def _ids(
    options: InspectOptions, tokenizer: "Tokenizer", prompt: str, block_size: int
) -> list[int]:
    """The tokens to read. Raises UserError for too many, and for a position that is not theirs."""
    ids = prompt_ids(tokenizer, prompt, options.allow_special)
    if len(ids) > block_size:
        if not options.crop:
            raise UserError(
                f"the prompt has {len(ids):,} tokens, but the model reads at most {block_size:,}: "
                "shorten it, or use --crop, which keeps its end"
            )
        ids = ids[-block_size:]
    if options.position is not None and options.position >= len(ids):
        raise UserError(
            f"position is {options.position}, but the prompt has {len(ids):,} tokens: choose one "
            f"from 0 to {len(ids) - 1}"
        )
    return ids


def _picture_path(name: str) -> Path:
    path = user_path(name)
    if path.suffix.lower() != ".png":
        raise UserError(f"--png {name}: pictures are PNG, so the name must end in .png")
    return path


def _draw(reading: Reading, path: Path, title: str) -> None:
    from tinygrad_llm.inspect.reading_pictures import draw_heads, draw_lens

    heads = path.with_name(f"{path.stem}-heads{path.suffix}")
    draw_lens(reading, path, title)
    _note(f"picture: {path}")
    if reading.maps.weights:
        draw_heads(reading, heads, title)
        _note(f"picture: {heads}")


def _write_page(reading: Reading, path: Path, title: str) -> None:
    from autograd.debug.explorer.page import page

    text = page({"graphs": [], "lens": document(reading)}, title)
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    kept, n = len(reading.maps.weights), len(reading.maps.entropy)
    if kept < n:
        which = "no attention map" if not kept else f"the attention maps of {kept} of {n} layers"
        _note(f"note: the page has {which}, so as not to be too large (--layers chooses others)")
    _note(f"page: {path}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else f"{text[: LONGEST_TITLE - 1]}\u2026"


def _note(text: str) -> None:
    print(one_line(text), file=sys.stderr, flush=True)
