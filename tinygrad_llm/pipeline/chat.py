"""The chat format of a tokenizer that was trained here: ChatML, with two special tokens.

<|im_start|>user
Write the docstring of this function:
def area(width, height)<|im_end|>
<|im_start|>assistant
Return the area of a rectangle.<|im_end|>
"""

from tinygrad_llm.errors import UserError
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.special import END_OF_TEXT
from tinygrad_llm.tokenizer.vocabulary import Conventions, Vocabulary

MARKS = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def with_chat(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the two marks, which get the ids after its last one, and the template."""
    vocabulary = tokenizer.vocabulary
    if not isinstance(vocabulary, Vocabulary):
        raise UserError("a SentencePiece tokenizer has a chat template of its own, or none")
    end, first = tokenizer.eot_id, tokenizer.vocab_size
    special = {**vocabulary.special_tokens, MARKS[0]: first, MARKS[1]: first + 1}
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    return Tokenizer.from_vocabulary(
        vocabulary._replace(special_tokens=special),
        Conventions(bos_id=end, eos_id=end, chat_template=TEMPLATE, template_variables=names),
    )
