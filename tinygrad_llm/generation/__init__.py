"""Generation: from token ids to more token ids, by sampling (``sampling.py``)."""

from tinygrad_llm.generation.sampling import FINISHED, generate, sample

__all__ = ["FINISHED", "generate", "sample"]
