"""Chat templates in the manner of four families of models, and a tokenizer for each.

They are written for the tests. Each has what makes its family's template hard to mask: a system
prompt of its own, a generation prompt that is always there, thoughts that earlier turns lose, roles
with other names.
"""

from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.vocabulary import Conventions

CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "<|head|>assistant<|/head|>{{ '\n\n' }}"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}"
    "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MODEL_ROLE = (
    "{{ bos_token }}{% set ns = namespace(first='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.first = m.content + '\n\n' %}{% else %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ ns.first }}{{ m.content | trim }}<end_of_turn>\n{% set ns.first = '' %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_CHATML_TOKENS = ["<|im_start|>", "<|im_end|>"]
TEMPLATES = {
    "chatml": (CHATML, _CHATML_TOKENS),
    "headers": (HEADERS, ["<bos>", "<|head|>", "<|/head|>", "<|eot|>"]),
    "thinking": (THINKING, _CHATML_TOKENS),
    "model role": (MODEL_ROLE, ["<bos>", "<start_of_turn>", "<end_of_turn>"]),
}


def tokenizer_with(template, special_tokens):
    """A tokenizer of bytes with these special tokens; the last of them ends a text."""
    plain = Tokenizer([], special_tokens=special_tokens)
    ids = plain.special_tokens
    conventions = Conventions(
        eos_id=ids[special_tokens[-1]],
        chat_template=template,
        template_variables={"bos_token": "<bos>"},
    )
    return Tokenizer.from_vocabulary(plain.vocabulary, conventions)


def chat_tokenizer(name="chatml"):
    """The tokenizer with one of TEMPLATES."""
    return tokenizer_with(*TEMPLATES[name])
