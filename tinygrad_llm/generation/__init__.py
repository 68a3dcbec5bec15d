"""Generation: from token ids to more token ids (``generate.py``), one at a time by the rules of
``sampling.py``; and to text that ends at a stop string (``stopping.py``)."""

from tinygrad_llm.generation.generate import FINISHED, Step, generate
from tinygrad_llm.generation.sampling import SAMPLER_ORDER, Sampler, sample
from tinygrad_llm.generation.stopping import TextStream, stop_at

__all__ = [
    "FINISHED", "SAMPLER_ORDER", "Sampler", "Step", "TextStream", "generate", "sample", "stop_at",
]  # fmt: skip
