"""The view "Proof" in a browser, and what a served page can ask for."""

import threading
import time

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer.document import LARGEST, graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.parts import PARTS
from autograd.debug.explorer.serve import listen, make_app
from autograd.debug.explorer.statistics import sampled
from autograd.debug.explorer.tape import record
from autograd.engine import Op

TOKEN = "of-the-test"
SOME = {name: PARTS[name] for name in ("proof", "drawing")}


class Wrong(Op):
    """y = 2x, with a gradient that is 1 % too large."""

    def forward(self, xp, x):
        return 2 * x

    def backward(self, xp, g):
        return 2.02 * g


def large_tape():
    rng = np.random.default_rng([14, 23])
    x, w = (
        Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
        for shape in ((90, 60), (60, 80))
    )
    return record(lambda: (ops.tanh(x @ w) ** 2).mean(), names={"x": x, "w": w})


@pytest.fixture(scope="module")
def wrong_page(tmp_path_factory):
    x = Tensor(np.linspace(0.2, 1.4, 6, dtype=np.float32), requires_grad=True)

    def loss():
        y = ops.sin(x)
        z = Wrong()(y)
        return ops.exp(z).sum()

    graph = graph_document(record(loss, names={"x": x}), "wrong", parts=SOME)
    path = tmp_path_factory.mktemp("proof") / "wrong.html"
    path.write_text(page({"graphs": [graph]}, "a mistake"), encoding="utf-8")
    return path


def test_every_element_agrees_and_the_curve_is_drawn(opened, default_page):
    it = opened(default_page, "#view=proof&tensor=h.0.attn.c_attn.weight")
    text = it.text(".page-view")
    assert "were measured:" in text and "differ" not in text.split("were measured:")[1][:60]
    page = it.page
    assert page.locator(".proof-curve path").count() >= 4  # two curves and their laws
    for kind in ("float32", "float64"):
        assert page.locator(f".proof-curve text.proof-{kind}").text_content().startswith(kind)
    links = page.locator("table.proof-table").first.locator("a")
    assert links.count() == 4
    links.nth(2).click()
    page.wait_for_selector("tr.proof-current a[aria-current=true]")
    assert it.state["cell"] == "".join(page.inner_text("tr.proof-current a")[1:-1].split())
    page.click("text=Where this gradient came from")
    assert (it.state["view"], it.state["of"]) == ("cell", "gradient")


def test_the_numbers_shown_add_up(opened, default_page):
    page = opened(default_page, "#view=proof&tensor=ln_f.weight").page
    page.click(".proof-tolerance summary")
    allowed = float(page.locator(".proof-tolerance p strong").first.inner_text())
    parts = [float(x) for x in page.locator(".proof-tolerance li strong").all_inner_texts()]
    assert len(parts) == 3 and abs(sum(parts) - allowed) < 2e-3 * allowed
    row = page.locator("tr.proof-current td").all_inner_texts()
    gradient, measured, gap = float(row[1]), float(row[2]), float(row[3])
    assert abs(abs(gradient - measured) - gap) <= 0.06 * gap + 1e-9 * abs(gradient)
    assert gap < allowed


def test_a_tensor_without_a_gradient_has_nothing_to_prove(opened, default_page):
    text = opened(default_page, "#graph=tape-of-a-tape&step=0&view=proof").text(".page-view")
    assert "no claim to prove" in text and "null" not in text


def test_the_step_is_chosen_with_the_keyboard_and_kept_in_the_address(opened, default_page):
    it = opened(default_page, "#view=proof&tensor=ln_f.weight&h=1e-1")
    slider = it.page.locator("#proof-step")
    assert slider.get_attribute("aria-valuetext") == "h = 1e-1"
    slider.focus()
    it.press("ArrowLeft", "ArrowLeft")
    assert it.page.locator("#proof-step").get_attribute("aria-valuetext") == "h = 1e-2"
    assert it.state["h"] == "1e-2"
    assert it.page.evaluate("document.activeElement.id") == "proof-step"
    table = it.page.locator("details", has_text="The curve as a table")
    table.locator("summary").focus()
    it.press("Enter")
    table.locator("tbody tr").nth(22).wait_for()
    assert "h = 1e-2: off by" in it.text(".proof-slider output")


def test_a_mistake_is_red_and_its_operation_is_named(opened, wrong_page):
    it = opened(wrong_page, "#view=proof&tensor=y")
    text = it.text(".page-view")
    assert "is the first that differs: look at the backward of what used it, Wrong." in text
    assert "this is a mistake, not rounding" in text and "This is no U." in text
    differing = it.page.locator("details[open] tr", has_text="differs").all_inner_texts()
    assert [row.split()[0] for row in differing] == ["x", "y"]


def test_without_a_server_the_page_says_what_it_would_add(opened, default_page):
    it = opened(default_page, "#view=proof&tensor=ln_f.weight&cell=1")
    assert "explore --serve measures any element" in it.text(".page-view")
    assert it.page.locator("#proof-cell").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_nothing_is_wider_than_the_window(opened, default_page, width, scheme):
    it = opened(default_page, "#view=proof&tensor=wte.weight", width=width, color_scheme=scheme)
    assert it.page.evaluate("document.documentElement.scrollWidth") <= width


# --- served --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address():
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn, of the extra web")
    pytest.importorskip("fastapi", reason="needs fastapi, of the extra web")
    tape = large_tape()
    graph = graph_document(tape, "large", parts=SOME)
    content = page({"graphs": [graph]}, "served", {"address": "", "token": TOKEN})
    listening = listen(0)
    port = listening.getsockname()[1]
    app = make_app(content, {"large": tape}, TOKEN, port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/?token={TOKEN}"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def served(chromium, address):
    """A function that opens the served page; nothing is asked of anybody else."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab, errors, asked = context.new_page(), [], []
    tab.set_default_timeout(10_000)
    tab.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    tab.logged = errors
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))

    def open_page(state):
        tab.goto(address + state)
        tab.wait_for_selector("html[data-step]", state="attached")
        return tab

    yield open_page
    origin = address.partition("/?")[0]
    assert errors == [] and all(url.startswith(origin) for url in asked)
    context.close()


def test_any_element_is_measured_on_demand(served):
    tab = served("#view=proof&tensor=w")
    tab.fill("#proof-cell", "33, 44")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("tr.proof-current >> text=[33, 44]")
    assert "agrees" in tab.inner_text("tr.proof-current")
    assert "cell=33,44" in tab.evaluate("decodeURIComponent(location.hash)")
    assert tab.locator(".proof-curve").count() == 1
    tab.fill("#proof-cell", "60, 0")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=Type an element of a tensor of shape (60, 80)")


def test_a_sampled_tensor_is_loaded_whole(served):
    _, columns = sampled(large_tape().values[1].array, LARGEST)[1]
    column = min(set(range(80)) - set(columns.tolist()))
    tab = served(f"#view=tensor&tensor=w&cell=33,{column}")
    tab.wait_for_selector("text=not on the page")
    button = tab.locator("text=Load all of its numbers")
    for left in (1, 0):  # the value, and its gradient
        button.first.click()
        tab.wait_for_function(
            "n => document.body.innerText.split('Load all of').length === n + 1", arg=left
        )
    assert "not on the page" not in tab.inner_text(".page-view")
    w = large_tape().values[1]
    shown = tab.locator(".tensor-chosen b").all_inner_texts()
    assert [float(x) for x in shown] == pytest.approx(
        [w.array[33, column], w.gradient[33, column]], rel=1e-6
    )


def test_the_terms_of_a_cell_that_is_not_on_the_page_are_read(served):
    tab = served("#view=cell&tensor=matmul&cell=2,9")  # row 2 of x is not on the page
    tab.click("text=Read the terms from Python")
    tab.wait_for_selector("text=Read the terms from Python", state="detached")
    assert "60" in tab.inner_text(".page-view")


def test_when_the_process_has_ended_the_page_says_so(served):
    tab = served("#view=proof&tensor=w&cell=1,1")
    tab.route("**/proof", lambda route: route.abort())
    tab.click("text=Measure it now")
    tab.wait_for_selector("text=does not answer: it has been ended")
    errors = [e for e in tab.logged if "ERR_FAILED" not in e]  # the browser's own note of that
    tab.logged[:] = errors
