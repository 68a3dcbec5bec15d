"""``tinygrad-llm tokenizer train``, ``encode`` and ``decode``."""

import os
import sys
import time

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.corpus import open_tokenizer, warnings_as_notes
from tinygrad_llm.commands.options import TokenizerDecode, TokenizerEncode, TokenizerTrain
from tinygrad_llm.data import read_corpus, split
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path


def train(options: TokenizerTrain) -> int:
    """Train a tokenizer and save it in a folder."""
    from tinygrad_llm.tokenizer import train_bpe

    out = user_path(options.out)
    if (out / "tokenizer.json").exists() or out.is_file():
        raise UserError(f"{out} already exists; choose another --out")
    console = make_console()
    corpus = read_corpus(options.corpus, options)
    train_docs, _ = split(corpus)
    console.say(str(corpus))
    start = time.perf_counter()
    with (
        warnings_as_notes(console),
        console.progress(f"training a tokenizer of {options.vocab_size:,} ids") as progress,
    ):
        texts = (document.text for document in train_docs)
        tokenizer = train_bpe(texts, options.vocab_size, pattern=options.pattern, progress=progress)
    tokenizer.save(out)
    console.say(
        f"tokenizer: {tokenizer.vocab_size:,} ids in {time.perf_counter() - start:.1f} s, "
        f"saved in {out}"
    )
    return 0


def encode(options: TokenizerEncode) -> int:
    """Print the ids of the arguments, or of standard input, separated by spaces."""
    tokenizer = open_tokenizer(options.tokenizer)
    data = os.fsencode(" ".join(options.text)) if options.text else sys.stdin.buffer.read()
    print(*tokenizer.encode_bytes(data))
    return 0


def decode(options: TokenizerDecode) -> int:
    """Write the bytes of the ids in the arguments, or on standard input.

    A terminal gets the text, with control codes as escapes.
    """
    tokenizer = open_tokenizer(options.tokenizer)
    ids = list(options.ids)
    if not ids:
        for word in sys.stdin.read().split():
            try:
                ids.append(int(word))
            except ValueError:
                raise UserError(
                    f"standard input contains {word[:40]!r}, expected token ids: whole numbers "
                    "separated by white space"
                ) from None
    data = tokenizer.decode_bytes(ids)
    if sys.stdout.isatty():  # for a reader, control codes are shown and not obeyed
        make_console().write(data.decode("utf-8", "replace"))
        return 0
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0
