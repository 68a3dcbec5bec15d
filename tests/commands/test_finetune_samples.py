"""The answers of a run to fixed prompts: when they are written, and that none comes twice."""

import errno
import io

import numpy as np
import pytest
from small_models import small_model, small_tokenizer

from tinygrad_llm.commands import finetune_samples
from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_samples import (
    FILE,
    Samples,
    prompts_of,
    read_samples,
    samples_table,
)
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.examples import completed


@pytest.fixture
def samples():
    tokenizer = small_tokenizer()
    rows = [completed(*(tokenizer.encode(x) for x in pair)) for pair in [("the cat", " sat"),
            ("a dog\nran", " to its log")]]  # fmt: skip
    console = PlainConsole(io.StringIO())
    return Samples(console, small_model("llama"), tokenizer, prompts_of(rows, tokenizer, 3), 5)


def steps(run):
    return [line["step"] for line in read_samples(run)]


def test_lines_of_later_steps_are_replaced(samples, tmp_path):
    for step in (0, 2, 4):
        samples.write(tmp_path, step)
    assert steps(tmp_path) == [0, 0, 2, 2, 4, 4]
    before = (tmp_path / FILE).read_bytes()
    samples.write(tmp_path, 2)  # a run that continues after step 1
    assert steps(tmp_path) == [0, 0, 2, 2]
    samples.write(tmp_path, 4)
    assert (tmp_path / FILE).read_bytes() == before
    samples.write(tmp_path, 0)
    assert steps(tmp_path) == [0, 0]


def test_a_line_has_all_that_was_said(samples, tmp_path):
    samples.write(tmp_path, 7)
    first, second = read_samples(tmp_path)
    assert first["prompt"] == "the cat" and first["expected"] == "sat" and first["step"] == 7
    assert second["prompt"] == "a dog\nran" and second["expected"] == "to its log"
    said = samples.console.stream.getvalue().splitlines()
    assert said[0].startswith("answers after step 7 (") and len(said) == 3
    assert said[2].startswith("  a dog\\nran -> ") and all(len(line) <= 100 for line in said)


def test_the_table_shows_the_first_and_the_last(samples, tmp_path):
    for step in (0, 2, 4):
        samples.write(tmp_path, step)
    table = samples_table(tmp_path)
    assert "before" in table and "after step 4" in table and "step 2" not in table


def test_no_prompts_no_file(samples, tmp_path):
    samples.prompts = []
    samples.write(tmp_path, 0)
    samples.show(tmp_path)
    assert not (tmp_path / FILE).exists() and not samples.console.stream.getvalue()


def test_a_damaged_line_is_named(samples, tmp_path):
    samples.write(tmp_path, 0)
    with open(tmp_path / FILE, "a") as file:
        file.write('{"step": 1}\n')
    with pytest.raises(UserError, match=r"line 3 of .*samples.jsonl"):
        samples.write(tmp_path, 2)


def test_an_answer_ends_with_the_context(samples, tmp_path):
    """Each at its own place; otherwise the window would move, and read all of it at every step."""
    samples.max_new_tokens, samples.ends = 10**6, ()
    samples.write(tmp_path, 0)
    room = [samples.model.config.block_size - len(prompt.ids) for prompt in samples.prompts]
    texts = [samples.tokenizer.decode(ids) for ids in greedy(samples, room)]
    assert [line["answer"] for line in read_samples(tmp_path)] == [text.strip() for text in texts]


def greedy(samples, room):
    """The answers one by one, from all logits; ids that no token has are never written."""
    size = samples.tokenizer.vocab_size
    for prompt, count in zip(samples.prompts, room, strict=True):
        ids = list(prompt.ids)
        for _ in range(count):
            ids.append(int(samples.model(np.array([ids])).numpy()[0, -1, :size].argmax()))
        yield ids[len(prompt.ids) :]


def test_a_full_disk_is_one_sentence(samples, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(finetune_samples, "write_atomically", full)
    with pytest.raises(UserError, match=rf"cannot write .*{FILE} \(No space left .*--resume"):
        samples.write(tmp_path, 0)
