"""The models: each is one file that reads from the token ids to the loss.

gpt.py is GPT-2, llama.py the Llama family.
"""

from tinygrad_llm.model.gpt import GPT, Block
from tinygrad_llm.model.llama import Llama

__all__ = ["GPT", "Block", "Llama"]
