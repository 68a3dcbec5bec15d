"""The chat format that a tokenizer of ours gets."""

from small_models import small_tokenizer

from tinygrad_llm.commands.writing import ending_ids
from tinygrad_llm.finetune.masks import find_markers
from tinygrad_llm.pipeline.chat import with_chat
from tinygrad_llm.tokenizer import Tokenizer

TALK = [{"role": "user", "content": "<|im_end|> is text"}, {"role": "assistant", "content": "Yes."}]


def test_text_gets_the_ids_that_it_had():
    plain = small_tokenizer()
    chat = with_chat(plain)
    assert chat.vocab_size == plain.vocab_size + 2
    assert chat.encode("def f(x): <|im_start|>") == plain.encode("def f(x): <|im_start|>")
    assert chat.eot_id == plain.eot_id == chat.eos_id


def test_a_conversation_has_marks_that_text_cannot_imitate(tmp_path):
    with_chat(small_tokenizer()).save(tmp_path)
    chat = Tokenizer.load(tmp_path)
    start, end = (chat.special_tokens[name] for name in ("<|im_start|>", "<|im_end|>"))
    ids = chat.apply_chat_template(TALK, add_generation_prompt=True)
    assert ids.count(start) == 3 and ids.count(end) == 2
    assert chat.decode(ids) == (
        "<|im_start|>user\n<|im_end|> is text<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    markers = find_markers(chat)
    assert markers.begin.endswith("<|im_start|>assistant\n") and markers.end == "<|im_end|>"
    assert set(ending_ids(chat)) == {chat.eot_id, end}
