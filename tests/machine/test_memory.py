"""The memory that training needs, computed beforehand: the sizes, and the error."""

import pytest

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine import memory
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.summary import activation_floats, parameter_count

CONFIG = GPTConfig(vocab_size=31, block_size=7, n_layer=3, n_head=2, n_embd=8)


def test_parameters_are_counted_without_making_them():
    assert parameter_count(CONFIG) == GPT(CONFIG).num_parameters()


def test_what_does_not_fit_is_refused(monkeypatch):
    needed = 4 * (4 * parameter_count(CONFIG) + 5 * 7 * activation_floats(CONFIG)) + 16 * 5 * 7
    assert memory.training_bytes(CONFIG, batch_size=5) == needed
    assert memory.training_bytes(CONFIG, 5, grad_accumulation=3) == needed + 2 * 16 * 5 * 7
    halved = memory.training_bytes(CONFIG, 5, activations="bf16")
    assert needed - halved == 2 * 5 * 7 * activation_floats(CONFIG)
    monkeypatch.setattr(memory, "physical_memory", lambda: needed)
    memory.check_memory(CONFIG, 5)
    monkeypatch.setattr(memory, "physical_memory", lambda: needed - 1)
    with pytest.raises(
        UserError, match=r"\(it is 5\), block_size \(it is 7\) or grad_acc.* \(it is 1\)"
    ):
        memory.check_memory(CONFIG, 5)
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    memory.check_memory(CONFIG, 5)


def test_this_machine_has_some_memory():
    found = memory.physical_memory()
    assert found is None or 2**26 < found < 2**50
