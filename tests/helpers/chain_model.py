"""A model that says a given text: a Llama whose next token depends on the last one alone.

Its layers add nothing to the residual stream, each token's embedding is one channel, and the output
layer maps that channel to the token that follows in the chain. So it is a real model, with weights
that can be saved, and its answers are known.
"""

import numpy as np

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Conventions

START, END = 256, 257
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}:{{ message.content }}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
)


def chat_tokenizer(template=TEMPLATE):
    """Every byte is a token; START and END are special. After the mark ":" comes the answer."""
    plain = Tokenizer([], special_tokens=["<|im_start|>", "<|im_end|>"])
    return Tokenizer.from_vocabulary(plain.vocabulary, Conventions(chat_template=template))


def chain_model(text, block_size=200, loops=False, vocab_size=258):
    """A model that says ``text`` after a ":", and then ends, or begins again.

    No byte of the text may occur twice, or be a ":".
    """
    chain = [ord(":"), *text.encode()]
    assert len(set(chain)) == len(chain)
    follows = np.full(vocab_size, END)
    follows[chain] = [*chain[1:], chain[1] if loops else END]
    config = LlamaConfig(
        vocab_size=vocab_size, block_size=block_size, n_layer=1, n_head=1, n_embd=vocab_size,
        n_hidden=2,
    )  # fmt: skip
    model = Llama(config)
    weights = dict(model.named_parameters())
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.data[:] = 0
    weights["embed_tokens.weight"].data[:] = np.eye(vocab_size)
    weights["lm_head.weight"].data[:] = 0
    weights["lm_head.weight"].data[follows, np.arange(vocab_size)] = 1
    return model.eval()
