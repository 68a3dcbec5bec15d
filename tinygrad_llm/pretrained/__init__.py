"""Models in files that other programs write and open: Hugging Face's directories, and GGUF."""

from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.pretrained.gpt2 import load_model, save_model
from tinygrad_llm.pretrained.llama import save_llama
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.pretrained.save import save_pretrained

__all__ = [
    "load_model",
    "load_pretrained",
    "save_gguf",
    "save_llama",
    "save_model",
    "save_pretrained",
]
