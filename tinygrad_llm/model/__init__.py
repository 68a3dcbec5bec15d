"""The models: each is one file that reads from the token ids to the loss.

gpt.py is GPT-2, llama.py the Llama family; ``build_model`` makes the one that a config describes.
"""

from tinygrad_llm.config import GPTConfig, ModelConfig
from tinygrad_llm.model.gpt import GPT, Block
from tinygrad_llm.model.llama import Llama

__all__ = ["GPT", "Block", "Llama", "Model", "build_model"]

Model = GPT | Llama


def build_model(config: ModelConfig, seed: int = 0) -> Model:
    """An untrained model of this shape, with initial weights from ``seed``."""
    return GPT(config, seed) if isinstance(config, GPTConfig) else Llama(config, seed)
