"""Small models with random weights, of every architecture that is exported, and a tokenizer."""

from functools import cache

import numpy as np

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained.llama_config import from_options
from tinygrad_llm.tokenizer import train_bpe

TEXT = "the cat sat on the mat, and the dog sat on the log; 1234 cats' \n\n  paws. It's 'no! "
VOCAB_SIZE = 283  # a little more than the tokenizer has

_SIZES = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
_LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
_LINEAR = {"rope_type": "linear", "factor": 4.0}
OPTIONS = {
    "llama": {"model_type": "llama"},
    "llama, tied, with biases": {
        "model_type": "llama", "tie_word_embeddings": True, "attention_bias": True
    },
    "llama 3": {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": _LLAMA3, "head_dim": 24},
    "llama with yarn": {"model_type": "llama", "rope_scaling": _YARN},
    "llama, linear": {"model_type": "llama", "rope_scaling": _LINEAR},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 32},
    "gemma3": {
        "model_type": "gemma3_text", "num_hidden_layers": 7, "head_dim": 32,
        "query_pre_attn_scalar": 32, "sliding_window": 8,
    },
}  # fmt: skip
KINDS = ["gpt2", *OPTIONS]
"""What ``small_model`` makes."""


def small_model(kind, seed=2):
    """A model in evaluation mode, with weights in which each counts."""
    if kind == "gpt2":
        config = GPTConfig(
            vocab_size=VOCAB_SIZE, block_size=64, n_layer=2, n_head=4, n_embd=64, dropout=0.1
        )
        model = GPT(config, seed=1)
    else:
        model = Llama(from_options(_SIZES | OPTIONS[kind]), seed=1)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        noise = 0.05 * rng.standard_normal(parameter.shape)
        parameter.data = (parameter.data + noise).astype(np.float32)
    return model.eval()


@cache
def small_tokenizer():
    """A byte-level tokenizer of 280 ids, trained here."""
    return train_bpe([TEXT * 3], 280)
