"""The tokenizer of a GGUF file's metadata, without a file."""

from pathlib import Path

from tinygrad_llm.pretrained.gguf_tokenizer import read_tokenizer
from tinygrad_llm.pretrained.gguf_writer import Draft


def from_metadata(metadata):
    """The tokenizer of the keys ``tokenizer.*``."""
    return read_tokenizer(Draft(Path("model.gguf"), metadata, {}))
