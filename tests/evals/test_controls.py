"""Corrupted inputs move the score of a model that can do the task, as each of them must.

The task is made up: a letter follows or precedes another, which of both only the example says. A
tiny model learns it in a second.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
from known_scores import NO_LIMITS

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.evals.known import known_model
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.runner import Settings, metrics_of, prepare, run_items
from tinygrad_llm.evals.task import Document
from tinygrad_llm.model import GPT
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training.optim import AdamW

LETTERS = "abcdefgh"
STEP = {"next": 1, "previous": -1}


def neighbour(letter, group):
    return LETTERS[(LETTERS.index(letter) + STEP[group]) % len(LETTERS)]


@dataclass(frozen=True)
class Neighbours(MultipleChoice):
    name = "neighbours"
    about = "made up"
    chance = 1 / 4
    n_shots = 1
    delimiter = ""
    normalized = False

    def documents(self, folder):
        """Both neighbours are among the choices, and the right one is never the first."""
        rng = random.Random(2)
        documents = []
        for group in STEP:
            for number in range(60):
                question = rng.choice(LETTERS)
                both = {neighbour(question, name) for name in STEP}
                others = rng.sample([c for c in LETTERS if c not in both], 2)
                right = neighbour(question, group)
                choices = [others[0], *rng.sample([right, *(both - {right}), others[1]], 3)]
                gold = choices.index(right)
                documents.append(
                    Document(question, tuple(choices), gold, group=group, number=number)
                )
        return documents

    def examples(self, folder):
        return [Document("c", (neighbour("c", group),), 0, group=group) for group in STEP]

    def prompt(self, document):
        return document.question


@pytest.fixture(scope="module")
def model():
    """A model that has seen both examples with every question."""
    tokenizer = Tokenizer([])
    rows = [
        tokenizer.encode(f"c{neighbour('c', group)}\n\n{letter}{neighbour(letter, group)}")
        for group in STEP
        for letter in LETTERS
    ]
    ids = np.array(rows)  # (16, 6)
    targets = np.full((len(ids), 5), -100)
    targets[:, -1] = ids[:, -1]
    config = GPTConfig(
        vocab_size=tokenizer.vocab_size, block_size=8, n_layer=2, n_head=2, n_embd=32, dropout=0.0
    )
    gpt = GPT(config, seed=3)
    optimizer = AdamW(gpt.named_parameters(), lr=1e-2, weight_decay=0)
    for _ in range(150):
        loss = gpt.loss(ids[:, :-1], targets)
        loss.backward()
        optimizer.step()
        for parameter in gpt.parameters():
            parameter.grad = None
    assert loss.item() < 0.1
    return LanguageModel(gpt, tokenizer, fused=False)


def score(model, folder, control=None, seed=0):
    task = Neighbours()
    items = prepare(task, folder, Settings(control=control, seed=seed), model or NO_LIMITS)
    samples = run_items(task, model or known_model("first", task, items), items)
    return task.total([metrics_of(sample) for sample in samples])["acc"]


def test_the_model_can_do_the_task(model, tmp_path):
    assert score(model, tmp_path) == 1


def test_the_order_of_the_choices_does_not_matter_to_it(model, tmp_path):
    for seed in range(3):
        assert score(model, tmp_path, "shuffle-choices", seed) == 1


def test_without_the_question_it_guesses(model, tmp_path):
    deviation = math.sqrt(0.25 * 0.75 / 120)
    assert abs(score(model, tmp_path, "no-question") - 0.25) < 4 * deviation


def test_with_the_examples_of_the_other_group_it_does_the_other_task(model, tmp_path):
    assert score(model, tmp_path, "other-shots") == 0


def test_a_preference_for_a_place_shows_when_the_choices_are_shuffled(tmp_path):
    assert score(None, tmp_path) == 0  # the model that always takes the first choice
    assert abs(score(None, tmp_path, "shuffle-choices") - 0.25) < 0.16
