"""A small real text for the examples: Python's own reference, which comes with every Python.

``help("for")`` prints a part of it. The parts quote each other, so each paragraph is taken once:
what is held out for validation would otherwise also be trained on.
"""

import textwrap
from pydoc_data.topics import topics

HELD_OUT = 10  # every tenth paragraph

PARAGRAPHS = list(dict.fromkeys("\n\n".join(topics.values()).split("\n\n")))
TRAINING = "\n\n".join(p for i, p in enumerate(PARAGRAPHS) if i % HELD_OUT)
VALIDATION = "\n\n".join(PARAGRAPHS[::HELD_OUT])


def say(text, margin=3 * " "):
    """Print paragraphs with a margin, wrapped to 79 columns, and an empty line after each."""
    wrapper = textwrap.TextWrapper(
        79, margin, margin, break_on_hyphens=False, break_long_words=False
    )
    for paragraph in text.strip().split("\n\n"):
        print(wrapper.fill(" ".join(paragraph.split())) + "\n")
