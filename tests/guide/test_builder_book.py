"""The guide's builder reads chapters, and says where links lead."""

import pytest
from builder.book import read_book
from builder.markdown import Anchors, read_pieces
from builder.problems import GuideError
from guide_book import write_guide

TEXT = """\
# One *two* `three`

A **bold word**, $a**b**c$ and [a
link](x.md), [another](y.md#z).

## What?

| a | b |
| - | - |
| [in](t.md) | **cell** |

```python raises measured
1 / 0
```
```output
ZeroDivisionError: division by zero
```

Between.

```output
late
```

## What?
### Deeper
## Exercises
### Exercise 3.1: a title

1. one
   1. inner
2. two
"""


def test_pieces_know_their_lines():
    found = read_pieces(TEXT)
    assert [(each.title, each.anchor, each.level, each.line) for each in found.headings] == [
        ("One two three", "one-two-three", 1, 1),
        ("What?", "what", 2, 6),
        ("What?", "what-1", 2, 25),
        ("Deeper", "deeper", 3, 26),
        ("Exercises", "exercises", 2, 27),
        ("Exercise 3.1: a title", "exercise-31-a-title", 3, 28),
    ]
    assert [(each.text, each.target, each.line) for each in found.links] == [
        ("a link", "x.md", 3),
        ("another", "y.md#z", 4),
        ("in", "t.md", 10),
    ]
    assert [(each.text, each.line) for each in found.terms] == [("bold word", 3), ("cell", 10)]
    assert [(each.items, each.line) for each in found.lists] == [(2, 30)]
    code, late = found.blocks
    assert (code.language, code.words, code.text) == ("python", ("raises", "measured"), "1 / 0\n")
    assert (code.line, code.end, code.output.line, code.output.end) == (12, 14, 15, 17)
    assert (late.language, late.line, late.output) == ("output", 21, None)


def test_anchors_are_githubs():
    anchors = Anchors()
    titles = ["Why `a = a + b`?", "Why a = a + b?", "A_b, c-d: é", "x", "x-1", "x", "x"]
    assert [anchors.of(title.replace("`", "")) for title in titles] == [
        "why-a--a--b",
        "why-a--a--b-1",
        "a_b-c-d-é",
        "x",
        "x-1",
        "x-2",
        "x-3",
    ]


def test_numbers_come_from_the_files_names(tmp_path):
    folder = write_guide(tmp_path)
    (folder / "03-the-engine.md").write_text(TEXT)
    (folder / "02-gradients-by-hand.md").unlink()
    book = read_book(folder)
    assert [part.number for part in book.parts] == [
        *(str(n) for n in range(1, 17) if n != 2),
        *"ABC",
    ]
    chapter = book.part("03")
    assert chapter is book.part("3") is book.part("03-the-engine")
    assert [each.number for each in chapter.sections] == ["3", "3.1", "3.2", "3.2.1", "3.3", ""]
    assert chapter.section_at(22).number == "3.1"
    assert book.part("B").sections[1].title == "Chapter 1: first words"
    assert all(section.number in "A" for section in book.part("A").sections)


def test_where_links_lead(tmp_path):
    folder = write_guide(tmp_path)
    book = read_book(folder)
    first, second = book.chapters[:2]

    def place(target):
        return book.resolve(first, target)

    assert place("https://example.org").kind == "web"
    assert place("#why-twice").section.number == "1.1"
    assert place("02-gradients-by-hand.md").section.number == "2"
    found = place("02-gradients-by-hand.md#the-curve")
    assert (found.kind, found.chapter, found.section.number) == ("section", second, "2.1")
    assert place("figures/curve.svg").figure.number == "2.1"
    assert place("explorer.html#graph=twice&view=order").state == "graph=twice&view=order"
    found = place("solutions/test_02_gradients_by_hand.py")
    assert (found.chapter.number, found.section.title) == ("B", "Chapter 2: curves")
    found = place("../page.md#a-heading")
    assert (found.kind, found.path.name, found.anchor) == ("file", "page.md", "a-heading")
    assert place("README.md").chapter is book.front
    broken = {
        "figures/none.svg": "no chapter shows the figure none.svg",
        "#none": "01-what-a-language-model-is.md has no heading with the anchor #none",
        "solutions/test_99.py": "there is no solutions/test_99.py",
    }
    for target, message in broken.items():
        assert (place(target).kind, place(target).message) == ("broken", message)
    (folder / "02-gradients-by-hand.md").unlink()
    found = read_book(folder).resolve(first, "02-gradients-by-hand.md")
    assert found.message == "02-gradients-by-hand.md is not written"


def test_a_folder_without_chapters_and_a_file_not_utf8(tmp_path):
    with pytest.raises(GuideError, match="holds no chapter, such as 01-what-a-lang"):
        read_book(tmp_path)
    folder = write_guide(tmp_path)
    (folder / "sources.md").write_bytes(b"# Sources \xff")
    with pytest.raises(GuideError, match="^docs/guide/sources.md:1: byte 10 is not UTF-8"):
        read_book(folder)


def test_solutions_with_fences_stay_one_block(tmp_path):
    folder = write_guide(tmp_path)
    path = folder / "solutions" / "test_01_what_a_language_model_is.py"
    path.write_text('"""Prints\n```\nx\n```\n"""\n')
    block = read_book(folder).part("B").blocks[0]
    assert block.text == path.read_text()
