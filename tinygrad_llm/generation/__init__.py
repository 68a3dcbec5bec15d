"""Generation: from token ids to more token ids (``generate.py``), one at a time by the rules of
``sampling.py``, or several at a time by guessing (``speculative.py``); and to text that ends at a
stop string (``stopping.py``)."""

from tinygrad_llm.generation.cache import KVCache
from tinygrad_llm.generation.decoder import Decoder
from tinygrad_llm.generation.generate import generate
from tinygrad_llm.generation.rows import FINISHED, Step
from tinygrad_llm.generation.sampling import SAMPLER_ORDER, Sampler, sample
from tinygrad_llm.generation.speculative import DraftModel, PromptLookup
from tinygrad_llm.generation.stopping import TextStream, stop_at

__all__ = [
    "FINISHED", "SAMPLER_ORDER", "Decoder", "DraftModel", "KVCache", "PromptLookup", "Sampler",
    "Step", "TextStream", "generate", "sample", "stop_at",
]  # fmt: skip
