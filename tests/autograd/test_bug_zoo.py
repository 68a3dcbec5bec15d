"""Every bug of the zoo is caught by the check it names, and its correction passes that check."""

import re
from pathlib import Path

import pytest

from autograd.bug_zoo import ZOO, table

by_bug = pytest.mark.parametrize("bug", ZOO.values(), ids=ZOO)


@by_bug
def test_the_bug_is_caught(bug):
    evidence = bug.catch()
    assert evidence, f"{bug.name} survives {bug.caught_by}"
    if order := re.match(r"check_grad, order (\d)$", bug.caught_by):
        assert evidence.startswith(f"order {order[1]}, input ")
    if bug.caught_by in ("check_grad, rules", "check_grad, shapes"):
        assert not evidence.startswith("order")
    if bug.caught_by == "check_grad, kinks":
        assert "not differentiable" in evidence


@by_bug
def test_the_right_code_passes_the_same_check(bug):
    assert bug.control() == ""


@by_bug
def test_the_evidence_repeats(bug):
    assert bug.catch() == bug.catch()


DIAGNOSES = {
    "mean-without-n": "a mean without its 1/N",
    "no-unbroadcast": "the sum over axis 0 is missing",
    "bias-averaged": "a mean in place of a sum",
    "matmul-transposed": "is the transpose of the right one",
    "transpose-forgotten": "yours is g @ W, the right one is g @ W.T",
    "straight-through": "the function is flat here",
    "np-for-xp": "Write xp.sqrt in place of np.sqrt",
    "quotient-sign": "has the wrong sign",
    "relu-of-the-gradient": "not linear in the incoming gradient g",
    "upstream-ignored": "does not multiply by g",
    "norm-divides-by-zero": "backward says nan",
    "layer-norm-without-third-term": "along the input and one along the ones vector",
    "layer-norm-mean-constant": "a term along the ones vector (over axis 1) is missing",
    "layer-norm-stale-cache": "a stale cache",
    "softmax-sums-over-all": "a term along the output (over axis 1) is missing",
    "attention-scale-forgotten": "your gradient is 2.0 times the right one",
    "gradients-exchanged": "the one that belongs to input 1",
    "embedding-buffered": "only index 2 of axis 0 is wrong",
    "ignored-targets-counted": "your gradient is 0.75 times the right one",
    "ignored-targets-trained": "only index 1 of axis 0 is wrong",
    "dropout-new-mask": "running backward twice gives different gradients",
    "saved-array-changed-in-place": "changes a value saved for backward in place",
    "shared-workspace": "kept outside the node",
    "relu-in-place": "f changes its input 0 in place",
    "claims-an-alias-as-fresh": "shares memory with g or a saved array",
    "numpy-in-backward": "your second derivative is zero",
}


@pytest.mark.parametrize("name", DIAGNOSES)
def test_the_diagnosis_names_the_mistake(name):
    assert DIAGNOSES[name] in ZOO[name].catch()


def test_the_zoo_is_large_and_every_entry_has_a_story():
    assert len(ZOO) >= 26
    for name, bug in ZOO.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and bug.name == name
        assert len(bug.story) > 30 and not bug.story.endswith(".")
        assert bug.wrong is not bug.right


def test_the_documentation_has_the_table():
    text = (Path(__file__).parents[2] / "docs" / "gradient_checking.md").read_text()
    assert table() in text, "docs/gradient_checking.md: replace its table by bug_zoo.table()"
    assert f"contains {len(ZOO)} typical mistakes" in text
