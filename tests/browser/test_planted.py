"""Text from strangers is shown as text: markup in names, docstrings, source lines and tokens."""

import numpy as np
import pytest

from autograd import Parameter, Tensor, ops
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.tape import record
from autograd.engine import Op
from tinygrad_llm.model.module import Module

IMG = "<img src=x class=planted onerror=\"document.body.id='ran'\">"
SCRIPT = "</script><script>document.body.id='ran'</script><b class=planted>{{DATA}}<!--"
EVIL = f"{IMG}{SCRIPT}]]>&lt;'\"`${{1}}\\"


class Shifted(Op):
    __doc__ = f"""y = x + 1 {EVIL}

    Shapes: x (...) -> (...) {EVIL}
    Saves: nothing {EVIL}
    Derivative: g_x = g {EVIL}
    """

    def forward(self, xp, x):
        return x + 1

    def backward(self, xp, g):
        return g


Shifted.__name__ = Shifted.__qualname__ = f"Shifted{EVIL}"


class Named(Module):
    """A module whose parameter, and whose name in its parent, hold markup."""

    def __init__(self):
        self.weight = Parameter(np.ones((2, 3), dtype="float32"))

    def __call__(self, x):
        return x @ self.weight


class Outer(Module):
    def __init__(self):
        setattr(self, EVIL.replace(".", ""), Named())
        self.inner = getattr(self, EVIL.replace(".", ""))

    def __call__(self, x):
        return self.inner(x)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A page full of markup."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(2, 2)).astype("float32"), requires_grad=True)
    model = Outer()

    def loss():
        y = Shifted()(model(x)) if "<img src=x class=planted onerror=document.body.id='ran'>" else x
        return ops.sum(y * y)

    tape = record(loss, model, {EVIL: x})
    labels = {"tokens": [EVIL, SCRIPT], "targets": [IMG, EVIL]}
    graph = graph_document(tape, EVIL, EVIL, EVIL, labels)
    assert EVIL in {t["key"] for t in graph["tensors"] if t.get("key")}
    path = tmp_path_factory.mktemp("planted") / "page.html"
    path.write_text(page({"graphs": [graph]}, EVIL), encoding="utf-8")
    return path, graph


@pytest.mark.parametrize("width", [1280, 390])
def test_markup_is_shown_as_text(opened, planted, width):
    path, graph = planted
    browser = opened(path, width=width)
    nothing = "document.querySelectorAll('.planted, #ran').length === 0"
    assert browser.page.title() == EVIL
    assert EVIL in browser.text("h1")
    for step in graph["steps"]:
        browser.wait_for_step(step["n"])
        assert browser.text(".page-words") == " ".join(step["sentence"].split())
        for i in range(browser.page.locator("[role=tab]").count()):
            browser.page.locator("[role=tab]").nth(i).click()
            assert browser.page.evaluate(nothing)
            wide = browser.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
        browser.page.keyboard.press("Escape")
        browser.page.focus("[role=tabpanel]")
        browser.press("j")
    assert "<img src=x" in browser.page.evaluate("document.body.innerText")


def test_a_tensor_named_by_markup_has_an_address(opened, planted):
    path, graph = planted
    browser = opened(path)
    browser.press("/")
    browser.page.keyboard.insert_text(EVIL)
    browser.press("Enter")
    browser.page.wait_for_function("location.hash.includes('tensor=')")
    assert browser.page.input_value(".chosen input[type=search]") == EVIL
    again = opened(path, address=browser.page.evaluate("location.hash"))
    assert again.page.input_value(".chosen input[type=search]") == EVIL
    assert again.page.locator(".drawing-node.is-picked").count() == 1
