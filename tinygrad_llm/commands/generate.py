"""``tinygrad-llm generate RUN``: text from a trained model, shown as it is generated."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.options import GenerateOptions
from tinygrad_llm.config import GenerateConfig
from tinygrad_llm.device import arrays_on
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import generate
from tinygrad_llm.terminal import one_line, typed_text
from tinygrad_llm.training.checkpoint import resolve, verify_checkpoint

if TYPE_CHECKING:
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.tokenizer import Tokenizer


def run(options: GenerateOptions) -> int:
    """Load the run's best checkpoint and write the prompt and its continuation."""
    from tinygrad_llm.pretrained.gpt2 import load_model
    from tinygrad_llm.tokenizer import Tokenizer

    typed_text(options.prompt, "the prompt")
    arrays_on(options.device)  # if it does not exist, say so before anything is read
    checkpoint = resolve(options.run)
    if not options.no_verify and (note := verify_checkpoint(checkpoint)):
        print(one_line(note), file=sys.stderr)
    model = load_model(checkpoint).to(options.device)
    tokenizer = Tokenizer.load(checkpoint)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise UserError(
            f"the tokenizer in {checkpoint} has {tokenizer.vocab_size} ids, but the model has "
            f"{model.config.vocab_size}: they do not belong together"
        )
    console = make_console()
    try:
        for piece in stream_text(model, tokenizer, options):
            console.write(piece)
    except KeyboardInterrupt:
        console.write("\n")  # the message about it starts on its own line
        raise
    console.write("\n")
    return 0


def stream_text(model: "GPT", tokenizer: "Tokenizer", options: GenerateConfig) -> Iterator[str]:
    """The prompt, then the model's continuation piece by piece.

    A piece never ends inside a character. An empty prompt starts a new document. The text ends
    when the model ends the document, or after ``max_new_tokens``. The model's mode (dropout on or
    off) is restored at the end. Raises UserError for a prompt that is not text.
    """
    prompt = typed_text(options.prompt, "the prompt")
    ids = tokenizer.encode(prompt) or [tokenizer.eot_id]
    steps = generate(
        model.next_token_logits,
        np.array([ids], dtype=np.int64),
        options.max_new_tokens,
        block_size=model.config.block_size,
        rng=np.random.default_rng(options.seed),
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        stop_ids=(tokenizer.eot_id,),
        unused_ids=tokenizer.unused_ids(model.config.vocab_size),
    )
    return _pieces(model, tokenizer, prompt, steps)


def _pieces(
    model: "GPT", tokenizer: "Tokenizer", prompt: str, steps: Iterator[np.ndarray]
) -> Iterator[str]:
    was_training = model.training
    model.eval()
    try:
        yield prompt
        decoder = tokenizer.stream()
        for (new,) in steps:
            if new == tokenizer.eot_id:
                break
            yield decoder.push(int(new))
        yield decoder.finish()
    finally:
        model.train(was_training)
