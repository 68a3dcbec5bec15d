"""Generation: from token ids to more token ids (``generate.py``), one at a time by the rules of
``sampling.py``."""

from tinygrad_llm.generation.generate import FINISHED, Step, generate
from tinygrad_llm.generation.sampling import SAMPLER_ORDER, Sampler, sample

__all__ = ["FINISHED", "SAMPLER_ORDER", "Sampler", "Step", "generate", "sample"]
