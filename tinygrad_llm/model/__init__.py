"""The models: each is one file that reads from the token ids to the loss (gpt.py is GPT-2)."""

from tinygrad_llm.model.gpt import GPT, Block

__all__ = ["GPT", "Block"]
