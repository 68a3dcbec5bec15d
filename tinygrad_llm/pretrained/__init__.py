"""Model directories in Hugging Face's layout, which other programs write and open."""

from tinygrad_llm.pretrained.gpt2 import load_model, save_model

__all__ = ["load_model", "save_model"]
