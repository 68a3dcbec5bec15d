"""Odd graphs in a browser: every step in every view, and what is said of what is not known."""

import numpy as np
import odd_graphs
import pytest

from autograd.debug import explore

EVERY_STEP_IN_EVERY_VIEW = """async () => {
  const found = {views: [], wrong: []};
  const wait = () => new Promise((resolve) => setTimeout(resolve, 10));
  const last = Number(document.querySelector("input[type=range]").max);
  for (const tab of document.querySelectorAll("[role=tab]")) found.views.push(tab.id.slice(4));
  for (const view of found.views) {
    for (let step = 0; step <= last; step += 1) {
      location.hash = `step=${step}&view=${view}`;
      await wait();
      const text = document.querySelector("[role=tabpanel]").innerText;
      if (text.trim() && !/could not be drawn|undefined|\\[object/.test(text)) continue;
      found.wrong.push([view, step, text]);
    }
  }
  return found;
}"""


@pytest.fixture
def shown(opened, tmp_path):
    """A function that opens the page of an odd graph."""

    def show(name):
        what, options = odd_graphs.ODD[name]()
        with np.errstate(all="ignore"):
            return opened(explore(what, tmp_path / "odd.html", **options).path)

    return show


@pytest.mark.parametrize(
    "name",
    [
        "unknown values",
        "a loss with recomputation",
        "hooks",
        "empty tensors",
        "nan and infinities",
        "large numbers",
        "names with markup",
    ],
)
def test_every_step_in_every_view(shown, name):
    found = shown(name).page.evaluate(EVERY_STEP_IN_EVERY_VIEW)
    assert found["wrong"] == []
    assert {"card", "tensor", "cell", "order", "memory", "proof"} <= {*found["views"]}


@pytest.mark.parametrize(
    ("name", "address", "text"),
    [
        ("unknown values", "#step=0&view=tensor&tensor=add", "Nobody kept its value"),
        ("unknown values", "#view=zoo", "nobody kept the array of add"),
        ("a leaf that was changed since", "#view=tensor&tensor=x", "This tensor has been changed"),
        ("a backward that runs once", "#view=order", "cannot run a second time: no more. So these"),
        ("a backward that runs once", "#view=memory", "was not measured: the backward of OnceBack"),
        ("hooks", "#view=ledger&tensor=y&of=gradient", "A hook replaced the sum"),
        ("hooks", "#view=cell&tensor=y&of=gradient&cell=0,0", "A hook replaced the gradient"),
        ("hooks", "#view=proof", "A hook replaced the gradient of x, y."),
        ("large numbers", "#view=proof&tensor=x", "the loss cannot be computed in float32"),
        ("empty tensors", "#view=cell&tensor=softmax", "This tensor has no elements."),
    ],
)
def test_what_is_said(shown, name, address, text):
    page = shown(name)
    page.go(address)
    assert text in page.text("[role=tabpanel]")


def test_markup_in_a_name_stays_text(shown):
    page = shown("names with markup")
    assert page.page.locator("img").count() == 0
    assert odd_graphs.MARKUP in page.page.inner_text("body")
