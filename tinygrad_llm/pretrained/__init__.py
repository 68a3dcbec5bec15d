"""Model directories in Hugging Face's layout, which other programs write and open."""

from tinygrad_llm.pretrained.gpt2 import load_model, save_model
from tinygrad_llm.pretrained.llama import save_llama
from tinygrad_llm.pretrained.load import load_pretrained
from tinygrad_llm.pretrained.save import save_pretrained

__all__ = ["load_model", "load_pretrained", "save_llama", "save_model", "save_pretrained"]
