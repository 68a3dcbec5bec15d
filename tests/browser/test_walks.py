"""Walks, ledger and questions in a browser: the wrong walk is wrong by the right amount."""

import pytest

from autograd import ops
from autograd._tensor import Tensor
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.explored import explore


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    """The page of b = a + a; c = b * b alone."""
    b = BUILTIN["twice"]()
    path = tmp_path_factory.mktemp("walks") / "twice.html"
    explore(b.loss, path, names=b.names)
    return path


def test_the_wrong_walk_is_wrong_by_the_right_amount(opened, small_page):
    seen = opened(small_page, "#view=order")
    right, wrong = (f".order-walk:nth-child({i})" for i in (1, 2))
    assert "event 1 of 5" in seen.text(".order-position")
    seen.page.click("text=the node that runs too early")
    assert seen.state["walk"] == "2"
    assert "b runs too early: 1 of 2" in seen.text(f"{wrong} .order-sentence")
    assert "is complete. It hands on 12." in seen.text(f"{right} .order-sentence")
    assert seen.page.locator(f"{wrong} .order-uses .is-missing").count() == 1
    assert seen.page.locator(f"{wrong} .order-edge.is-missing").count() == 1
    assert seen.page.locator(f"{right} .is-missing").count() == 0
    cells = seen.page.locator(f"{wrong} .order-numbers tbody td").all_inner_texts()
    assert cells == ["6", "12", "-6"]
    result = seen.page.locator(".order-results tbody tr").inner_text().split()
    assert result[:5] == ["a", "wrong", "24", "12", "-12"]
    seen.page.click("text=recursion, at every arrival")
    assert seen.state["walkby"] == "every"
    result = seen.page.locator(".order-results tbody tr").inner_text().split()
    assert result[:5] == ["a", "wrong", "24", "36", "12"]


AT_4 = "document.querySelector('.order-position').innerText === 'event 4 of 5'"


def test_both_walks_are_stepped_by_keys_alone(opened, small_page):
    seen = opened(small_page, "#view=order")
    seen.press("]", "]", "]")
    seen.page.wait_for_function(AT_4)
    assert "This walk ended after 3 events." in seen.text(".order-walk:nth-child(1)")
    seen.press("]", ".", "]", ",")
    assert seen.state["walk"] == "4"
    seen.page.wait_for_function(AT_4)
    seen.page.focus("[data-key=order-next]")
    seen.press("Enter")
    seen.page.wait_for_function("location.hash.includes('walk=5')")
    assert seen.page.evaluate("document.activeElement.dataset.key") == "order-next"
    assert "goes no further" in seen.text(".order-walk:nth-child(2) .order-sentence")
    seen.page.go_back()
    seen.page.wait_for_function("location.hash.includes('walk=4')")
    seen.page.wait_for_function(AT_4)


def test_the_residual_stream_is_on_every_page(opened, tmp_path):
    x = Tensor([1.0, 2.0], requires_grad=True)
    path = tmp_path / "page.html"
    explore(lambda: ops.sum(x * 3.0), path, names={"x": x})
    seen = opened(path, "#view=order")
    assert "The one leaf ends with the right gradient" in seen.text(".order-results")
    seen.page.click("text=a residual stream")
    seen.page.click("text=the node that runs too early")
    assert "h1 runs too early: 1 of 3" in seen.text(".order-walk:nth-child(2) .order-sentence")
    assert "-28" in seen.text(".order-results")


def test_the_walk_of_a_transformer(opened, default_page):
    seen = opened(default_page, "#graph=gpt&view=order")
    seen.page.click("text=the node that runs too early")
    first = seen.state["walk"]
    seen.page.click("text=the node that runs too early")
    assert int(seen.state["walk"]) > int(first)
    assert "runs too early: 1 of 2" in seen.text(".order-walk:nth-child(2) .order-sentence")
    assert "20 of 28 leaves end with a wrong gradient" in seen.text(".order-results")
    seen.page.click(".order-walk:nth-child(2) .order-list li:nth-child(1) a")
    seen.page.click(".order-what a >> nth=0")
    assert seen.state["of"] == "gradient"


def test_assigning_in_place_of_adding(opened, small_page):
    seen = opened(small_page, "#view=ledger&tensor=b")
    assert "is the engine's gradient, to the last bit" in seen.text(".ledger-verdict")
    sums = ".ledger-table .ledger-sum"
    assert seen.page.locator(sums).all_inner_texts() == ["6", "12"]
    seen.page.click("[data-key=ledger-assign]")
    assert seen.state["assign"] == "1"
    assert seen.page.locator(sums).all_inner_texts() == ["6", "6"]
    assert "would be 6 and not 12: off by -6" in seen.text(".ledger-verdict")
    seen.page.select_option("[data-key=ledger-choice]", "a")
    assert seen.state["tensor"] == "a"
    assert "would be 12 and not 24: off by -12" in seen.text(".ledger-verdict")
    seen.page.click("[data-key=ledger-add]")
    assert "assign" not in seen.state


def test_the_ledger_of_a_tied_table_and_of_a_bias(opened, default_page):
    seen = opened(default_page, "#graph=gpt&view=ledger&tensor=wte.weight")
    text = seen.text(".page-view")
    assert "LinearCrossEntropy, input 1" in text and "Embedding, input 0" in text
    assert '"the": 3 contributions, from the positions 0, 3, 6' in text
    assert '"dog": 2 contributions' in text
    seen.go("#graph=gpt&view=ledger&tensor=h.0.ln_1.bias&of=gradient&cell=2")
    assert "itself a sum" in seen.text(".ledger-inside")
    terms = seen.page.locator(".ledger-terms a")
    assert terms.count() == 8
    total = float(seen.page.locator(".ledger-table td.number >> nth=0").inner_text())
    assert sum(map(float, terms.all_inner_texts())) == pytest.approx(total, rel=1e-2)
    terms.nth(0).click()
    assert seen.state["view"] == "cell" and seen.state["cell"] == "0,0,2"


def test_questions_by_keyboard_alone(opened, small_page):
    seen = opened(small_page, "#predict=value&view=card&step=2")
    seen.press("ArrowRight")
    seen.page.wait_for_selector(".predict-gate")
    seen.press("1", *"six", "Enter")
    assert "Type a number" in seen.text(".predict-verdict")
    seen.press("Backspace", "Backspace", "Backspace", *"6.0", "Enter")
    assert "Right: 6" in seen.text(".predict-verdict")
    assert "1 of 1 answer right" in seen.text(".predict-score")
    seen.press("Enter")  # on "Show the step", which has the focus
    seen.page.wait_for_selector(".predict-gate", state="detached")
    seen.press("ArrowRight")
    seen.page.wait_for_selector(".predict-gate")
    seen.press("1", *"24", "Enter")
    assert "It is 12, not 24." in seen.text(".predict-verdict")
    assert "1 of 2 answers right" in seen.text(".predict-score")
    seen.press("Enter", "ArrowLeft")  # answered: not asked again
    assert seen.page.locator(".predict-gate").count() == 0


def test_a_shape_is_chosen_and_questions_can_be_left(opened, default_page):
    seen = opened(default_page, "#graph=gpt&view=card&predict=shape&step=23")
    assert "Which shape has the gradient" in seen.text(".predict-text")
    choices = seen.page.locator(".predict-choices button")
    assert choices.count() == 4
    seen.press("4")
    assert choices.nth(3).is_disabled()
    assert seen.page.locator(".predict-choices .is-right").count() == 1
    assert "A gradient has one number for each number of its tensor" in seen.text(".predict-gate")
    seen.press("ArrowRight")  # stepping on is never blocked
    seen.wait_for_step(24)
    seen.page.click("text=Ask no more")
    seen.page.wait_for_selector(".predict-gate", state="detached")
    assert "predict" not in seen.state
    seen.press("ArrowRight", "ArrowRight", "ArrowRight")
    seen.wait_for_step(27)
    assert seen.page.locator(".predict-gate").count() == 0


def test_the_tab_keeps_an_answer_until_the_next_question(opened, small_page):
    seen = opened(small_page, "#view=predict")
    seen.page.click("[data-key=predict-begin]")
    assert seen.step == 3 and seen.state["predict"] == "1"
    assert seen.text(".predict-score") == "no answer yet"
    right = seen.page.locator(".predict-choices button", has_text="one number")
    right.click()
    assert "Right: one number." in seen.text(".predict-verdict")
    assert seen.text(".predict-score") == "1 of 1 answer right"
    assert "Multiply hands on to b one number: 6." in seen.text(".predict-verdict")
    seen.press("Enter")  # on "Next question", which has the focus
    seen.wait_for_step(4)
    seen.page.click("[data-key=predict-skip]")
    assert "It is positive." in seen.text(".predict-verdict")
    assert "This was the last question" in seen.text(".predict-verdict")
    assert seen.text(".predict-score") == "1 of 1 answer right"
    seen.page.click("text=See it in Tensor")
    assert seen.page.locator(".predict-gate").count() == 0


def test_a_square_for_each_node_of_a_large_graph(opened, default_page):
    seen = opened(default_page, "#graph=gpt&view=order&walk=14")
    right, wrong = (f".order-walk:nth-child({i})" for i in (1, 2))
    for place in (right, wrong):
        assert seen.page.locator(f"{place} .order-squares rect").count() == 50
        assert seen.page.locator(f"{place} .is-here").count() == 1
    assert seen.page.locator(f"{right} .is-early").count() == 0
    assert "14 of 50 nodes have had their turn." in seen.text(f"{right} figcaption")
    early = seen.page.locator(f"{wrong} .is-early").count()
    assert early > 0 and f"{early} of them too early" in seen.text(f"{wrong} figcaption")
    assert "null" not in seen.text(".page-view")
    step = seen.page.locator(f"{right} .order-sentence a")
    number = int(step.inner_text().split()[1])
    step.click()
    assert seen.step == number


def test_the_sentence_does_not_give_the_answer_away(opened, default_page):
    page = opened(default_page, "#graph=twice&step=3&predict=value&view=card")
    assert page.text(".page-words") == "Multiply c: predict, then reveal."
    page.go("#graph=twice&step=3&view=card")
    assert "returns 6 for b and 6 for b" in page.text(".page-words")
