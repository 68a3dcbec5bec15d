"""report.md and report.html, from the files of a pipeline's folder."""

from pathlib import Path

from tinygrad_llm.files import write_atomically
from tinygrad_llm.pipeline.blocks import to_html, to_markdown
from tinygrad_llm.pipeline.facts import Facts
from tinygrad_llm.pipeline.scores import draw_scores
from tinygrad_llm.pipeline.story import TITLE, story
from tinygrad_llm.terminal import printable

MARKDOWN, HTML, SCORES = "report.md", "report.html", "scores.png"


def write_report(folder: Path) -> None:
    """Write the report, and the picture of the scores."""
    facts = Facts(folder)
    draw_scores(facts, folder / SCORES)
    blocks = story(facts, folder / SCORES)
    contents = {MARKDOWN: to_markdown(blocks, folder), HTML: to_html(blocks, TITLE)}
    for name, text in contents.items():
        data = printable(text).encode("utf-8", "backslashreplace")  # models write anything
        write_atomically(folder / name, data)
