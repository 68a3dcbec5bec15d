"""What somebody meets who opens the page for the first time: names, words, lists, a steady page."""

import pytest

HEIGHTS = """async (n) => {
  const seen = new Set();
  for (let i = 0; i <= n; i += 1) {
    history.replaceState(null, "", location.hash.replace(/&step=\\d+/, "") + `&step=${i}`);
    dispatchEvent(new Event("hashchange"));
    seen.add([".page-head", ".page-now", ".tape-pending", ".tabs", ".chosen", ".page-body"]
      .map((part) => document.querySelector(part).offsetHeight).join(" "));
  }
  return [...seen];
}"""


@pytest.mark.parametrize("graph", ["gpt", "twice", "dpo"])
def test_no_part_of_the_frame_changes_its_height_from_step_to_step(opened, default_page, graph):
    page = opened(default_page, f"#graph={graph}&view=tensor")
    last = int(page.page.get_attribute(".controls-scrubber", "max"))
    assert len(page.page.evaluate(HEIGHTS, last)) == 1
    assert (
        page.page.locator(".page-words")
        .inner_text()
        .endswith("The pass is done: every leaf's gradient is complete.")
    )


def test_a_small_drawing_stays_where_it_is(opened, default_page):
    page = opened(default_page, "#graph=twice")
    place = "document.querySelector('.drawing-world').style.transform"
    before = page.page.evaluate(place)
    for n in range(1, 6):
        page.press("j")
        page.wait_for_step(n)
        assert page.page.evaluate(place) == before


def test_single_numbers_stand_in_the_drawing_when_they_are_there(opened, default_page):
    page = opened(default_page, "#graph=twice&step=0")

    def boxes():
        nodes = page.page.locator(".drawing-node").all()
        return {tuple(t for t in node.locator("text").all_text_contents() if t) for node in nodes}

    assert boxes() == {("a = 3", "number"), ("Add", "b = 6"), ("Multiply", "c number")}
    page.go("#graph=twice&step=5")
    assert boxes() == {
        ("a = 3", "grad 24", "2/2"),
        ("Add", "b = 6", "gradient 12", "2/2"),
        ("Multiply", "c = 36", "gradient 1"),
    }


def test_after_a_choice_in_a_list_the_keys_are_the_page_s(opened, default_page):
    page = opened(default_page)
    for label in ("Graph", "Speed of running"):
        page.page.focus(f"[aria-label='{label}']")
        page.press("ArrowDown")
        page.page.wait_for_function("document.activeElement === document.body")
    graph = page.state["graph"]
    page.press("ArrowRight", "ArrowRight")
    page.wait_for_step(2)
    assert page.state["graph"] == graph


def test_a_part_of_a_name_finds_the_first_tensor_and_a_wrong_one_is_said(opened, default_page):
    page = opened(default_page, "#graph=gpt&step=36&tensor=add&of=gradient")
    page.press("/")
    page.page.keyboard.type("C_FC")
    page.press("Enter")
    assert page.state["tensor"] == "h.0.mlp.c_fc.weight"
    page.go("#graph=gpt&step=36&tensor=add&of=gradient")
    page.page.fill(".chosen input[type=search]", "nothing")
    page.press("Enter")
    said = page.page.locator(".chosen-about")
    assert said.inner_text() == "no tensor named nothing"
    assert said.evaluate("e => e.scrollWidth <= e.clientWidth + 1 && e.clientWidth > 0")


def test_the_bar_of_the_tensor_is_there_where_it_means_something(opened, default_page):
    page = opened(default_page, "#graph=gpt&step=30&view=tensor")
    for view, there in [("tensor", True), ("cell", True), ("zoo", False), ("questions", False),
                        ("optimizer", False), ("order", False), ("memory", False)]:  # fmt: skip
        page.go(f"#graph=gpt&step=30&view={view}")
        assert page.page.is_visible(".chosen") == there, view
    page.press("/")
    page.page.keyboard.type("wpe")
    page.press("Enter")
    assert page.state["view"] == "tensor" and page.state["tensor"] == "wpe.weight"


def test_words_are_explained_where_they_stand_and_in_the_list(opened, default_page):
    page = opened(default_page, "#graph=gpt&step=30")
    note = page.page.locator(".glossary-note")
    assert not note.is_visible()
    page.page.focus(".tape-pending .term >> nth=1")
    page.press("Enter")
    assert note.inner_text().startswith("pending: ")
    page.press("Escape")
    assert not note.is_visible()
    page.press("?")
    assert page.page.evaluate("document.activeElement.innerText") == "Keys and words"
    assert page.page.evaluate("document.querySelector('dialog').scrollTop") == 0
    assert page.page.locator("dialog dt").count() > 7
    shown = page.page.locator("[role=tab]").all_inner_texts()
    listed = page.page.locator("dialog table").nth(1).locator("td:last-child").all_inner_texts()
    assert listed == shown


def test_what_a_graph_is_for_can_be_read_to_its_end(opened, default_page):
    for width in (1280, 390):
        page = opened(default_page, "#graph=twice", width=width)
        about = page.page.locator(".page-about")
        cut = "e => e.scrollHeight > e.clientHeight + 1"
        assert about.evaluate(cut)
        page.page.click("text=more")
        assert not about.evaluate(cut)
        page.page.click("text=less")
        assert about.evaluate(cut)


def test_only_the_tab_key_frames_the_whole_panel(opened, default_page):
    page = opened(default_page, "#graph=gpt&step=30&view=tensor")
    frame = "getComputedStyle(document.querySelector('.page-view')).outlineStyle"
    page.page.click(".page-view", position={"x": 600, "y": 6})
    page.press("o")
    assert page.page.evaluate(frame) == "none"
    page.page.focus("[role=tab][aria-selected=true]")
    page.press("Tab")
    assert page.page.evaluate(frame) != "none"
