"""Questions with their answers, and exercises with their solutions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from builder.book import CHAPTERS, EXERCISE, Book, Chapter, Section
from builder.markdown import NumberedList
from builder.problems import GuideError, Problem, read_utf8, shown

QUESTIONS = (5, 8)
"""How few and how many questions a chapter asks."""
EXERCISES = 3
"""How many exercises a chapter has."""
ANSWERS = re.compile(r"Chapter (\d+): (.+)")
"""The heading over a chapter's answers."""


def exercise_problems(book: Book) -> Iterator[Problem]:
    """What is wrong with the questions, answers, exercises and solutions."""
    answers = book.part("answers")
    answered = dict(_answers(answers)) if answers else {}
    for chapter in book.chapters:
        yield from _ending(chapter)
        yield from _questions(chapter, answered)
        yield from _exercises(book, chapter)
    for number, (section, _) in answered.items():
        assert answers is not None
        if not 1 <= int(number) <= len(CHAPTERS):
            yield answers.problem(section.line, f"there is no chapter {number}")


def _ending(chapter: Chapter) -> Iterator[Problem]:
    """A chapter ends with its questions and its exercises."""
    titles = [section.title for section in chapter.sections if section.level == 2]
    if titles[-2:] != ["Questions", "Exercises"]:
        line = chapter.text.count("\n") + 1
        yield chapter.problem(line, "a chapter ends with ## Questions and then ## Exercises")


def _numbered(part: Chapter, section: Section) -> list[NumberedList]:
    """The numbered lists directly under a heading."""
    found = []
    for each in part.pieces.lists:
        at = part.section_at(each.line)
        if at is not None and at.line == section.line:
            found.append(each)
    return found


def _answers(answers: Chapter) -> Iterator[tuple[str, tuple[Section, int]]]:
    """Each chapter's number with the heading of its answers and their count."""
    for section in answers.sections:
        match = ANSWERS.fullmatch(section.title)
        if section.level == 2 and match:
            count = sum(each.items for each in _numbered(answers, section))
            yield match[1], (section, count)


def _questions(chapter: Chapter, answered: dict[str, tuple[Section, int]]) -> Iterator[Problem]:
    section = next((each for each in chapter.sections if each.title == "Questions"), None)
    if section is None:
        return
    lists = _numbered(chapter, section)
    if len(lists) != 1 or not QUESTIONS[0] <= lists[0].items <= QUESTIONS[1]:
        count = lists[0].items if len(lists) == 1 else f"{len(lists)} lists"
        few, many = QUESTIONS
        message = f"the questions are one numbered list of {few} to {many}; found {count}"
        yield chapter.problem(section.line, message)
        return
    heading = f"## Chapter {chapter.number}: {chapter.title[:1].lower()}{chapter.title[1:]}"
    if chapter.number not in answered:
        yield chapter.problem(section.line, f"answers.md has no {heading!r}")
        return
    over, count = answered[chapter.number]
    if over.title.casefold() != heading.removeprefix("## ").casefold():
        message = f"answers.md:{over.line} should be {heading!r}, and is {'## ' + over.title!r}"
        yield chapter.problem(section.line, message)
    if count != lists[0].items:
        message = (
            f"{lists[0].items} questions, but {count} answers in answers.md:{over.line}: they are "
            "numbered lists of the same length"
        )
        yield chapter.problem(section.line, message)


def _exercises(book: Book, chapter: Chapter) -> Iterator[Problem]:
    section = next((each for each in chapter.sections if each.title == "Exercises"), None)
    if section is None:
        return
    inside = [each for each in chapter.sections if each.line > section.line]
    wanted = [(chapter.number, str(count)) for count in range(1, EXERCISES + 1)]
    found = [match.groups() if (match := EXERCISE.match(each.title)) else None for each in inside]
    if found != wanted:
        message = (
            f"the exercises are ### Exercise {chapter.number}.1: a title, to "
            f"{chapter.number}.{EXERCISES}, and nothing else"
        )
        yield chapter.problem(section.line, message)
        return
    name = f"test_{chapter.name.replace('-', '_')}.py"
    path = book.folder / "solutions" / name
    if not path.is_file():
        yield chapter.problem(section.line, f"there is no solutions/{name}")
        return
    functions = _functions(path)
    ends = [each.line for each in inside[1:]] + [chapter.text.count("\n") + 2]
    for exercise, end, numbers in zip(inside, ends, wanted, strict=True):
        links = [link for link in chapter.links if exercise.line < link.line < end]
        if not any(link.target.partition("#")[0] == f"solutions/{name}" for link in links):
            message = f"the exercise needs a link to its solution, [solution](solutions/{name})"
            yield chapter.problem(exercise.line, message)
        function = "test_exercise_{}_{}".format(*numbers)
        if function not in functions:
            yield chapter.problem(exercise.line, f"solutions/{name} has no function {function}")
    names = {"test_exercise_{}_{}".format(*numbers) for numbers in wanted}
    for function, line in functions.items():
        if function.startswith("test_") and function not in names:
            yield Problem(shown(path), line, f"{function} solves no exercise of {chapter.shown}")


def _functions(path: Path) -> dict[str, int]:
    """A file's functions, each with its line."""
    try:
        tree = ast.parse(read_utf8(path), str(path))
    except SyntaxError as error:
        problem = Problem(shown(path), error.lineno or 0, f"this is no Python: {error.msg}")
        raise GuideError([problem]) from None
    return {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef)}
