"""Headers and footers go, books stay: every form of the markers, and prose that quotes them."""

import pytest

from tinygrad_llm.data import CleanOptions, Document, clean_documents
from tinygrad_llm.data.clean import strip_gutenberg
from tinygrad_llm.data.gutenberg import LONGEST, take_books

BOOK = "CHAPTER I\n\nIt was a dark night.\n"
HEADER = (
    "The Project Gutenberg EBook of A Book, by A Writer\n\nThis eBook is for anyone.\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\n"
)
FOOTER = "\n\n*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n\nThe licence, 400 lines of it.\n"
NOTICE = (
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n\n"
    "You know: lawyers.\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n"
)
NEWER_NOTICE = NOTICE.replace("*END*THE", "*END THE").replace("ETEXTS", "EBOOKS")
OLD_HEADER = (
    "The Project Gutenberg Etext of A Book\n\nPlease take a look at the copyright laws.\n\n"
)
STORY = "It was a dark and stormy night; the rain fell in torrents.\n" * 20


@pytest.mark.parametrize(
    "text",
    [
        HEADER + BOOK + FOOTER,
        HEADER + BOOK,
        BOOK + FOOTER,
        HEADER.replace("THE PROJECT", "THIS PROJECT").replace("A BOOK", "A LONG\nBOOK") + BOOK,
        HEADER.replace("*** START", "***START").replace("BOOK ***", "BOOK***") + BOOK + FOOTER,
        HEADER.replace("EBOOK", "ETEXT") + BOOK + FOOTER.replace("EBOOK", "E-BOOK"),
        HEADER + BOOK + "\nEnd of the Project Gutenberg EBook of A Book, by A Writer\n" + FOOTER,
        HEADER + BOOK + "\nEnd of Project Gutenberg's A Book, by A Writer\n" + FOOTER,
        HEADER + BOOK + "\nEnd of Project Gutenberg's A Very Long\nBook, by A Writer\n" + FOOTER,
        HEADER + BOOK + "\nEnd of Project Gutenberg\u2019s A Book, by A Writer\n",
        BOOK + "\n\nEnd of The Project Gutenberg Etext of A Book, by A Writer\n",
        "Small print\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n" + BOOK,
        "*** END OF THE PROJECT GUTENBERG EBOOK OTHER ***\n" + HEADER + BOOK + FOOTER,
    ],
)
def test_the_book_alone(text):
    assert strip_gutenberg(text) == BOOK
    assert strip_gutenberg(text.replace("gutenberg", "GUTENBERG")) == BOOK
    assert strip_gutenberg(BOOK) == BOOK


@pytest.mark.parametrize("notice", [NOTICE, NEWER_NOTICE])
def test_the_small_print_before_or_after_the_book(notice):
    for text in (OLD_HEADER + notice + STORY, STORY + "\n" + notice, notice + STORY):
        assert strip_gutenberg(text).strip() == STORY.strip()
    last = "\n\nEnd of The Project Gutenberg Etext of A Book, by A Writer\n\n"
    assert strip_gutenberg(OLD_HEADER + notice + STORY + last) == STORY
    assert strip_gutenberg(STORY + last + notice) == STORY
    assert strip_gutenberg(STORY + FOOTER + notice + "[Portions are copyright]") == STORY


def test_a_notice_after_a_book_of_four_words():
    late = (
        "THE STORY\n\n***START**THE SMALL PRINT!***\n*END THE SMALL PRINT! FOR EBOOKS*Ver.02*END*\n"
    )
    assert strip_gutenberg(late) == "THE STORY\n"


@pytest.mark.parametrize("between", ["", "\n\n"])
def test_several_books_in_one_file(between):
    books = [HEADER + f"Book {i}.\n\nIts end.\n" + FOOTER for i in range(4)]
    expected = "\n\n".join(f"Book {i}.\n\nIts end." for i in range(4)) + "\n"
    assert strip_gutenberg(between.join(books)) == expected
    bare = [book[book.index("***") : book.index("\n\nThe licence")] for book in books]
    assert strip_gutenberg("\n".join(bare)) == expected


def test_a_second_start_without_an_end_takes_no_book():
    text = HEADER + "Book one.\n" + HEADER + "Book two.\n" + FOOTER
    assert "Book one." in strip_gutenberg(text) and "Book two." in strip_gutenberg(text)


@pytest.mark.parametrize(
    "text",
    [
        'MARKER = "*** START OF THE PROJECT GUTENBERG EBOOK X ***"\n# *** END OF THE PROJECT\n',
        "One.\nEnd of Project Gutenberg's first year.\nTwo.\n",
        "One.\n\nEnd of Project Gutenberg's first year.\n\nTwo.\n",
        "One.\n\nEnd of Project Gutenberg's first year.\n",
        "One.\n\nEnd of the Project Gutenberg EBook of X, by Y, they all say.\n\nTwo.\n",
    ],
)
def test_prose_and_code_that_mention_a_marker_are_left_alone(text):
    assert take_books(text) == (text, False, False)


@pytest.mark.parametrize(
    "text",
    [
        STORY + "*** START OF THE PROJECT GUTENBERG EBOOK X ***\nThe end.\n",
        "Begin.\n*** END OF THE PROJECT GUTENBERG EBOOK X ***\n" + STORY,
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n" * 2,
        FOOTER,
    ],
)
def test_where_most_would_go_the_text_stays(text):
    assert take_books(text) == (text, False, True)


def test_what_is_too_long_for_a_header_is_a_book():
    long = STORY * (LONGEST // len(STORY) + 1)
    assert strip_gutenberg(HEADER + BOOK + FOOTER + long).strip().endswith(long.strip())
    assert strip_gutenberg(long + HEADER + BOOK).startswith(long[:1000])


def test_a_title_without_closing_stars_does_not_reach_into_the_book():
    text = "*** START OF THE PROJECT GUTENBERG EBOOK, A BOOK\n\nOne.\n\n***\n\nTwo.\n"
    assert strip_gutenberg(text) == "One.\n\n***\n\nTwo.\n"


def test_a_short_poem_with_the_whole_licence_is_stripped_and_it_is_said():
    licence = "Updated editions: www.gutenberg.org/license\n" + "You may copy it. " * 500
    kept, report = clean_documents([Document("poem", HEADER + BOOK + FOOTER + licence)])
    assert kept == [Document("poem", BOOK)]
    assert "Most of poem was Project Gutenberg's header and footer." in str(report)


def test_what_stays_is_said():
    text = STORY + "*** START OF THE PROJECT GUTENBERG EBOOK X ***\nThe end.\n"
    kept, report = clean_documents([Document(f"d{i}", f"{i} {text}") for i in range(5)])
    assert len(kept) == 5 and "quote Project Gutenberg's markers" in str(report)
    assert "d0, d1, d2, ..." in str(report) and "would have been lost" in str(report)
    kept, report = clean_documents([Document("d", text)], CleanOptions(strip_gutenberg=False))
    assert kept[0].text == text and report.notes == []


def test_many_markers_take_steps_in_proportion():
    """A quadratic search would take minutes here."""
    text = (HEADER + "x\n" + FOOTER) * 4000
    assert strip_gutenberg(text) == "\n\n".join(["x"] * 4000) + "\n"
    assert take_books("*** START OF THE PROJECT GUTENBERG EBOOK\n" * 20_000).left
