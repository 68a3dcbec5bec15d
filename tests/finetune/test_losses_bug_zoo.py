"""Every mistake of fine-tuning is caught by the check it names, which the right code passes."""

import re
from pathlib import Path

import pytest

from autograd import bug_zoo
from tinygrad_llm.finetune.bug_zoo import ZOO, steps_on_one_batch, table

by_bug = pytest.mark.parametrize("bug", ZOO.values(), ids=ZOO)


@by_bug
def test_the_bug_is_caught(bug):
    assert bug.catch(), f"{bug.name} survives {bug.caught_by}"


@by_bug
def test_the_right_code_passes_the_same_check(bug):
    assert bug.control() == ""


@by_bug
def test_the_evidence_repeats(bug):
    assert bug.catch() == bug.catch()


EVIDENCE = {
    "mask-off-by-one": "the labels that count: [0 5], expected [2 0 5]",
    "reference-trained": "the reference has a gradient",
    "margin-sign": "nats less",
    "dropout-in-the-reference": "expected 0.6931",
    "advantages-of-the-batch": "expected [0. 0. 0. 0.]",
}


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_evidence_names_the_mistake(name):
    assert EVIDENCE[name] in ZOO[name].catch()


def test_names_and_stories():
    for name, bug in ZOO.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and bug.name == name
        assert len(bug.story) > 30 and not bug.story.endswith(".")
    assert not ZOO.keys() & bug_zoo.ZOO.keys()


def test_clipping_is_reached():
    """Otherwise the check of the old log-probabilities would measure a small learning rate."""
    assert steps_on_one_batch(recompute_old=False) > 1.2


def test_the_documentation_has_the_table():
    text = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text()
    assert table() in text, "docs/finetuning.md: replace its table by finetune.bug_zoo.table()"
    assert f"{len(ZOO)} mistakes" in text
