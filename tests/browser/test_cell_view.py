"""The tensor and the cell view in a browser: choosing, walking back, keys, and hostile names."""

import threading

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.parts import PARTS
from autograd.debug.explorer.tape import record

HOSTILE = "<img src=x onerror=alert(1)>"


def large():
    """A graph with a tensor that is sampled, a NaN, an infinity, and a name that is markup."""
    rng = np.random.default_rng(0)
    W = Tensor(rng.standard_normal((300, 200)).astype("f"), requires_grad=True)
    odd = Tensor(np.array([[1, 0, -2], [np.nan, 3, np.inf]], "f"), requires_grad=True)
    blocks = Tensor(rng.standard_normal((2, 3, 5, 6)).astype("f"), requires_grad=True)

    def loss():
        return ops.sum(W * W) + ops.sum(odd * 2) + ops.sum(ops.softmax(blocks) * blocks)

    return record(loss, names={"W": W, HOSTILE: odd, "blocks": blocks})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    graphs, parts = [], {"drawing": PARTS["drawing"]}
    for name in ("attention", "twice"):
        b = BUILTIN[name]()
        graphs.append(graph_document(record(b.loss, names=b.names), name, b.title, parts=parts))
    graphs.append(graph_document(large(), "large", parts=parts))
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page({"graphs": graphs}, "Pages"))
    return path


@pytest.fixture
def view(chromium, path):
    """A function that opens the page at an address; no error may be logged."""
    tab, errors = chromium.new_page(), []
    tab.set_default_timeout(5000)
    tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.on("dialog", lambda d: errors.append(d.message))

    def go(address):
        tab.goto(f"{path.as_uri()}#{address}")
        tab.reload()
        tab.wait_for_selector(".page-view > *")
        return tab

    yield go
    tab.close()
    assert errors == []


def test_a_reader_walks_from_a_gradient_of_a_weight_back_to_the_1_of_the_loss(view):
    tab = view("graph=attention&view=cell&tensor=weight&of=gradient&cell=9,1")
    for _ in range(60):
        if "the backward pass starts here" in tab.inner_text(".page-view"):
            break
        assert tab.locator(".cell-verdict.bad").count() == 0
        links = tab.locator(".cell-terms a")
        names = [links.nth(i).get_attribute("aria-label") for i in range(links.count())]
        back = [i for i, n in enumerate(names) if "gradient" in n or "contribution" in n]
        links.nth((back or [0])[0]).click()
        tab.wait_for_timeout(30)
    else:
        raise AssertionError(f"no way back: {tab.inner_text('.page-view')}")
    assert "= 1" in tab.inner_text(".cell-title")
    trail = tab.locator(".cell-trail li").all_inner_texts()
    assert len(trail) > 6 and trail[1] == "gradient of weight[9, 1]"
    tab.locator(".cell-trail a").first.click()  # and all the way forward again
    tab.wait_for_timeout(30)
    assert tab.inner_text(".cell-title").startswith("gradient of weight[9, 1]")
    tab.go_back()
    tab.wait_for_timeout(50)
    assert "the backward pass starts here" in tab.inner_text(".page-view")


def test_a_button_follows_the_largest_term_to_the_loss(view):
    tab = view("graph=attention&view=cell&tensor=weight&of=gradient&cell=9,1")
    follow = tab.get_by_role("button", name="Follow the largest term towards the loss")
    titles = []
    while follow.count():
        titles.append(tab.inner_text(".cell-title"))
        assert len(titles) < 30, titles
        follow.press("Enter")
        tab.wait_for_timeout(30)
    assert len(titles) > 5 and all("gradient" in title for title in titles[:1])
    assert "The loss is reached" in tab.inner_text(".cell-follow")
    assert tab.inner_text(".cell-title").startswith("gradient of loss = 1")
    way = tab.locator(".cell-trail li")
    assert way.nth(1).inner_text() == "gradient of weight[9, 1]", "where it began is kept"
    shown = way.count()
    tab.get_by_role("button", name=" more").click()
    assert way.count() == len(titles) + 2 > shown


def test_each_link_of_a_gradient_says_where_it_leads(view):
    tab = view("graph=twice&view=cell&tensor=b&of=contribution.0")
    assert tab.inner_text(".cell-words") == "(gradient of c) \u00d7 b = 1 \u00d7 6 = 6."
    rows = [row.split("\t") for row in tab.locator(".cell-terms tr").all_inner_texts()]
    assert rows == [
        ["\u25c0 gradient of c", "1", "gradient, towards the loss"],
        ["\u25cb b", "6", "value, from forward"],
    ]
    tab = view("graph=twice&view=cell&tensor=c")
    assert tab.locator(".cell-side, .cell-follow").count() == 0


def test_what_is_not_there_yet_says_so(view):
    for name in ("tensor", "cell"):
        text = view(f"graph=twice&view={name}&step=0&tensor=b&of=gradient").inner_text(".page-view")
        assert "Not computed yet at step 0: it will be, at step 4." in text
        text = view(f"graph=twice&view={name}&step=4&tensor=b&of=gradient").inner_text(".page-view")
        assert "yet" not in text
    tab = view("graph=attention&view=tensor&tensor=target&step=12")
    assert "It has no gradient: it is a constant" in tab.inner_text(".page-view")


def test_the_terms_shown_add_up_to_the_number_shown(view):
    tab = view("graph=attention&view=cell&tensor=qkv&cell=0,2,5")
    rows = tab.locator(".cell-inside .cell-terms tbody tr")
    assert rows.count() == 4
    products = [float(rows.nth(i).locator("td").nth(2).inner_text()) for i in range(4)]
    factors = [[float(x) for x in rows.nth(i).locator("b").all_inner_texts()] for i in range(4)]
    total = float(tab.inner_text(".cell-terms tfoot td b"))
    stored = float(tab.inner_text(".cell-title .mono"))
    np.testing.assert_allclose(products, [a * b for a, b in factors], rtol=1e-7)
    assert np.float32(total) == np.float32(stored)
    assert abs(sum(products) - stored) <= 4 * 2**-23 * sum(abs(p) for p in products)
    assert "to the last bit" in tab.inner_text(".cell-verdict.good")


def test_a_long_sum_shows_its_largest_terms_and_all_on_request(view):
    tab = view("graph=attention&view=cell&tensor=loss")
    tab.locator(".cell-terms a").first.click()  # the sum, of which the loss is a part
    tab.wait_for_timeout(30)
    tab = view("graph=attention&view=cell&tensor=loss")
    assert tab.locator(".cell-terms tbody tr").count() == 13  # 12, and the rest
    tab.get_by_role("button", name="Show all 16").click()
    tab.wait_for_timeout(30)
    assert tab.locator(".cell-terms tbody tr").count() == 16
    assert "terms=all" in tab.url


def test_arrow_keys_move_the_chosen_cell_and_enter_explains_it(view):
    tab = view("graph=attention&view=tensor&tensor=weight&of=gradient&cell=1,1")
    grid = tab.get_by_role("grid", name="Gradient of weight")
    assert tab.get_by_role("grid").count() == 2  # the value, and its gradient
    cell = grid.locator("[aria-selected=true]")
    cell.focus()
    for key in ("ArrowDown", "ArrowRight", "End", "ArrowLeft"):
        tab.keyboard.press(key)
    assert "cell=2,2" in tab.url
    focused = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("[2, 2]: ")
    assert tab.locator(".tensor-cell.is-chosen").count() == 2
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(30)
    assert tab.inner_text(".cell-title").startswith("gradient of weight[2, 2] = ")
    assert float(tab.inner_text(".cell-title .mono")) == float(focused.split(": ")[1])


def test_a_heat_map_can_be_used_without_a_mouse(view):
    tab = view("graph=large&view=tensor&tensor=W&cell=0,0")
    assert "of each axis the page holds evenly spaced indices" in tab.inner_text(".page-view")
    assert "all 60,000 elements" in tab.inner_text(".page-view")
    tab.get_by_role("application", name="Value of W").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    label = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    row, column = (int(x) for x in tab.url.split("cell=")[1].split("&")[0].split(","))
    assert row > 0 and column > 0 and f"chosen [{row}, {column}]: " in label
    stored = large().leaves[0].array[row, column]
    assert np.float32(label.rsplit(": ", 1)[1]) == stored


def test_numbers_that_are_none_are_marked_and_counted(view):
    tab = view("graph=large&view=tensor&step=1")
    tab.locator(".chosen input[type=search]").fill(HOSTILE)
    tab.locator(".chosen input[type=search]").press("Enter")
    tab.wait_for_timeout(50)
    assert tab.locator(".tensor-cell.is-broken").all_inner_texts() == ["NaN", "inf"]
    rows = dict(
        row.split("\t")[:2] for row in tab.locator(".tensor-statistics tr").all_inner_texts()[1:]
    )
    assert (rows["NaN"], rows["infinite"], rows["zeros"], rows["largest"]) == ("1", "1", "1", "3")
    assert tab.locator("img").count() == 0


def test_slices_side_by_side_and_one_at_a_time(view):
    tab = view("graph=large&view=tensor&tensor=blocks&cell=1,2,3,4")
    assert tab.get_by_role("grid").count() == 6  # three slices of the value, and of the gradient
    tab.get_by_role("button", name="all slices side by side").click()
    tab.wait_for_timeout(30)
    assert tab.get_by_role("grid").count() == 2
    tab.get_by_label("Index along axis 1").select_option("0")
    tab.wait_for_timeout(30)
    assert "cell=1,0,3,4" in tab.url


def test_no_view_is_wider_than_a_phone(view):
    for address in (
        "graph=attention&view=tensor&tensor=qkv",
        "graph=attention&view=cell&tensor=qkv&cell=0,2,5",
        "graph=large&view=tensor&tensor=W",
    ):
        tab = view(address)
        tab.set_viewport_size({"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, address


def wide():
    """A product of matrices that are sampled on the page."""
    rng = np.random.default_rng(0)
    a = Tensor(rng.standard_normal((90, 80)).astype("f"), requires_grad=True)
    b = Tensor(rng.standard_normal((80, 70)).astype("f"), requires_grad=True)

    def loss():
        y = a @ b
        return ops.sum(y * y)

    return record(loss, names={"a": a, "b": b})


@pytest.fixture(scope="module")
def served():
    """The address of the page of ``wide``, answered by a process."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn, of the extra web")
    pytest.importorskip("fastapi", reason="needs fastapi, of the extra web")
    from autograd.debug.explorer.serve import listen, make_app

    tape, listening = wide(), listen(0)
    port = listening.getsockname()[1]
    graph = graph_document(tape, "wide", parts={"drawing": PARTS["drawing"]})
    content = page({"graphs": [graph]}, "Wide", {"address": "", "token": "secret"})
    app = make_app(content, {"wide": tape}, "secret", port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/?token=secret"
    server.should_exit = True
    thread.join(10)
    listening.close()


def test_terms_of_a_large_tensor_are_read_from_python(chromium, served):
    tab, errors = chromium.new_page(), []
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.set_default_timeout(5000)
    tab.goto(f"{served}#graph=wide&view=cell&tensor=y&cell=1,2")
    tab.wait_for_selector(".cell-title")
    assert "on the page" in tab.inner_text(".page-view")
    tab.get_by_role("button", name="Read the terms from Python").click()
    tab.wait_for_selector(".cell-verdict.good")
    assert tab.locator(".cell-terms tbody tr").count() == 13
    assert "the sum of 80 products" in tab.inner_text(".cell-words")
    y = next(v for v in wide().values if v.key == "y")
    assert np.float32(tab.inner_text(".cell-title .mono")) == y.array[1, 2]
    assert errors == []
    tab.close()


def test_without_a_process_the_page_says_what_it_would_add(chromium, tmp_path):
    graph = graph_document(wide(), "wide", parts={"drawing": PARTS["drawing"]})
    (tmp_path / "page.html").write_text(page({"graphs": [graph]}, "Wide"))
    tab = chromium.new_page()
    tab.goto(f"{(tmp_path / 'page.html').as_uri()}#view=cell&tensor=y&cell=1,2")
    tab.wait_for_selector(".cell-title")
    assert "explore --serve reads the terms of any element" in tab.inner_text(".page-view")
    tab.close()
