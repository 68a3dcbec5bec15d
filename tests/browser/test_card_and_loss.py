"""The operation card and the loss view in a browser: lines, links, other sides, large logits."""

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer import explore
from autograd.engine import Op

PANEL = ".page-view"


def test_each_line_of_the_card_chooses_its_tensor(default_page, opened):
    page = opened(default_page, "#graph=attention&step=1&view=card")
    assert "CausalAttention" in page.text(f"{PANEL} h3")
    lines = page.page.locator(".card-line")
    assert lines.count() > 8
    line = page.page.locator(".card-line", has_text="return E / z")
    line.click()
    shown = page.page.locator(".card-chip[aria-current]").first
    assert shown.inner_text().split() == ["P", "(1,", "2,", "4,", "4)"]
    assert page.state["of"].startswith("inner.") and page.state["step"] == "1"
    assert "return E / z" in page.page.locator(".card-chosen").inner_text()
    page.page.go_back()
    assert "of" not in page.state


def test_the_card_has_two_sides_and_leads_to_other_derivations(default_page, opened):
    page = opened(default_page, "#graph=attention&step=1&view=card")
    assert "Comes in" in page.text(PANEL)
    page.page.get_by_role("link", name="Backward", exact=True).click()
    assert page.step > 1 and "Contributions that go out" in page.text(PANEL)
    assert page.page.locator(".card-chip", has_text="g_qkv").count() >= 1
    page.page.locator(".card-derivation a[data-folder='linear']").first.click()
    assert "Linear" in page.text(f"{PANEL} h3")
    softmax = page.page.locator(".card-derivation a[data-folder='softmax']")
    assert softmax.count() == 0 or softmax.first.get_attribute("href") is None


def test_every_formula_of_a_card_takes_room(default_page, opened):
    page = opened(default_page, "#graph=softmax&step=1&view=card")
    sizes = page.page.locator(".card-derivation math").evaluate_all(
        "all => all.map(m => [m.getBoundingClientRect().width, m.getBoundingClientRect().height])"
    )
    assert len(sizes) > 40 and np.min(sizes) > 3
    wide = page.page.evaluate("document.querySelector('.page-view').scrollWidth")
    assert wide <= page.page.evaluate("document.querySelector('.page-view').clientWidth")


def test_single_numbers_are_shown(default_page, opened):
    page = opened(default_page, "#graph=twice&step=3&view=card")
    assert "g_a = 1 \u00d7 6 = 6\ng_b = 1 \u00d7 6 = 6" in page.text(PANEL)
    assert "g is the gradient of c = 1" in page.text(PANEL)
    assert "g_b = 6, for b" in page.text(PANEL)
    page.go("#graph=twice&step=4&view=card")
    assert "g_a = g = 12" in page.text(PANEL)
    assert "g is handed on as it is" in page.text(PANEL)
    page.go("#graph=neuron&step=1&view=card")
    assert "y = 0.5 - 0.4 - 0.8 = -0.7" in page.text(PANEL)


def test_the_card_is_that_of_the_chosen_tensor(default_page, opened):
    page = opened(default_page, "#graph=neuron&step=9&view=card&tensor=sum&of=gradient")
    assert "Sum" in page.text(f"{PANEL} h3") and page.step == 9
    assert "card of step 11; the page stands at step 9, Tanh y." in page.text(PANEL)
    page.page.get_by_role("link", name="step 9, Tanh y").click()
    assert "Tanh" in page.text(f"{PANEL} h3") and page.step == 9
    page.go("#graph=neuron&step=9&view=card&tensor=w")
    assert "w was given: no operation computed it" in page.text(PANEL)
    page.page.get_by_role("link", name="Multiply products, step 0").click()
    assert page.step == 0 and "Multiply" in page.text(f"{PANEL} h3")


def test_the_keyboard_reaches_a_line(default_page, opened):
    page = opened(default_page, "#graph=softmax&step=1&view=card")
    page.page.locator(".card-line").first.focus()
    page.press("Enter")
    assert page.state["of"].startswith("inner.")
    assert page.page.evaluate("document.activeElement.className") == "card-line"


def test_a_step_without_an_operation_names_those_that_have_a_card(default_page, opened):
    page = opened(default_page, "#graph=neuron&step=0&view=card")
    last = int(page.text(".controls-number").split()[-1])
    page.go(f"#graph=neuron&step={last}&view=card")
    assert "No operation runs in this step" in page.text(PANEL)
    near, every = page.page.locator(f"{PANEL} .card-list").all()
    assert "Multiply products, backward" in near.inner_text()
    every.locator("a").first.click()
    assert page.step == 0


class Planted(Op):
    """y = 2 x, says <img src=x onerror="document.title='planted'">.

    Saves: <b>nothing</b>
    Derivative: g_x = g * 2
    """

    def forward(self, xp, x):
        return x * 2.0  # </script><script>document.title = "planted"</script>

    def backward(self, xp, g):
        return g * 2.0


def test_what_a_stranger_wrote_is_text(tmp_path, opened):
    x = Tensor(np.ones(3), requires_grad=True)
    path = tmp_path / "planted.html"
    explore(lambda: ops.sum(Planted()(x)), path, names={"<i>x</i>": x}, title="<u>page</u>")
    page = opened(path, "#step=0&view=card")
    assert "<img src=x" in page.text(PANEL) and "<b>nothing</b>" in page.text(PANEL)
    assert "</script><script>" in page.text(PANEL) and "<i>x</i>" in page.text(PANEL)
    assert page.page.locator("img, .page-view b, .page-view i, h1 u").count() == 0
    assert page.page.title() == "<u>page</u>"


def test_both_paths_of_the_loss_are_in_the_page_and_agree(default_page, opened):
    page = opened(default_page, "#graph=softmax&step=1&view=loss")
    page.page.locator("[data-key=loss-row]").select_option("2")
    rows = page.page.locator(".loss-table").first.locator("tbody tr")
    table = np.array([[float(t) for t in row.split("\t")[1:]] for row in rows.all_inner_texts()])
    x = np.array([-0.5, 0.4, 0.3, 2.0])
    p = np.exp(x) / np.exp(x).sum()
    y = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(table[:, 1], p, rtol=1e-3)
    np.testing.assert_allclose(table[:, 3], p - y, rtol=1e-3)
    np.testing.assert_allclose(table[:, 4], (p - y) / 3, rtol=1e-3)
    np.testing.assert_allclose(table[:, 5], table[:, 4], rtol=1e-3)
    assert "they agree to the last digits" in page.text(PANEL)


def test_a_class_is_chosen_and_its_sum_shown(default_page, opened):
    page = opened(default_page, "#graph=softmax&step=1&view=loss&row=1")
    page.page.locator(".loss-class", has_text="2").click()
    assert page.state["class"] == "2" and page.state["cell"] == "1,2"
    term = page.page.locator(".loss-table").nth(1).locator("tbody tr")
    k, slope, g, product = (float(t) for t in term.inner_text().split())
    total = float(page.page.locator(".loss-table tfoot strong").inner_text())
    assert k == 3 and np.isclose(slope * g, product, rtol=1e-6) and product == total


@pytest.mark.parametrize("scale, expected", [(1, "but for rounding"), (78, "0 * inf = NaN")])
def test_the_slider_takes_the_logits_past_the_end_of_float32(default_page, opened, scale, expected):
    page = opened(default_page, f"#graph=softmax&step=1&view=loss&row=1&scale={scale}")
    assert expected in page.text(".loss-verdict")
    slider = page.page.get_by_label("factor for all logits")
    slider.focus()
    page.press("End")
    assert "inf" in page.text(PANEL) and float(page.state["scale"]) > 100
    assert "log(0) = -inf" in page.text(".loss-verdict")


def test_every_step_of_the_default_graph_has_a_card_and_a_loss(default_page, opened):
    page = opened(default_page, "#graph=gpt&step=0&view=card")
    n = int(page.text(".controls-number").split()[-1])
    for view in ("card", "loss"):
        for step in range(0, n + 1, 5):
            page.go(f"#graph=gpt&step={step}&view={view}")
            assert page.step == step and "could not be drawn" not in page.text(PANEL)
