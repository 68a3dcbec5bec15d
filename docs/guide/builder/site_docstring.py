"""Docstrings as HTML. Ours are plain text: paragraphs, lists, `code`, and indented blocks.

Shapes: x (..., C) -> (..., C)      a line that begins with a word and a colon stays a line
    anything indented               stays as it is: a formula or a program
- one                               is an item of a list; lines indented below go on with it
"""

import html
import re

from builder.site_code import code_block

_ITEM = re.compile(r"(?:- |\* |\d+\. )")
_PYTHON = re.compile(r"^(?:from \S+ import |import |>>> |with |def |for |class |\w+ = .*\()", re.M)


def docstring_html(text: str) -> str:
    """A docstring, already without its indentation, as HTML."""
    return "".join(_block(lines) for lines in _blocks(text.expandtabs().split("\n")))


def first_sentence(text: str) -> str:
    """What a list of names says of one: the first paragraph, up to its first full stop."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    match = re.match(r"(.*?[.?!])(?=\s+[A-Z`(])", paragraph)
    return _inline(match[1] if match else paragraph.removesuffix(":"))


def _blocks(lines: list[str]) -> list[list[str]]:
    """The lines of each paragraph, list or indented block."""
    found: list[list[str]] = []
    for index, line in enumerate(lines):
        if not line.strip():
            after = next((each for each in lines[index:] if each.strip()), "")
            inside = bool(found and found[-1]) and _goes_on(found[-1], after)
            if inside:
                found[-1].append("")
            else:
                found.append([])
        elif not found:
            found.append([line])
        elif not found[-1] or _goes_on(found[-1], line) or _joins(found[-1], line):
            found[-1].append(line)
        else:
            found.append([line])
    return [block for block in found if block]


def _goes_on(block: list[str], line: str) -> bool:
    """Whether an indented line belongs to the list or the indented block before it."""
    is_open = block[0].startswith("    ") or bool(_ITEM.match(block[0]))
    return is_open and line.startswith("  ")


def _joins(block: list[str], line: str) -> bool:
    """Whether a line that stands directly below a block's last is of the same kind."""
    if _ITEM.match(line):
        return bool(_ITEM.match(block[0]))
    if line.startswith("    "):
        return block[0].startswith("    ")
    return not block[0].startswith("    ") and not _ITEM.match(block[0])


def _block(lines: list[str]) -> str:
    if lines[0].startswith("    "):
        text = "\n".join(line[4:] for line in lines).rstrip()
        return code_block(text, "python" if _PYTHON.search(text) else "")
    if _ITEM.match(lines[0]):
        return _list(lines)
    text = "\n".join(lines)
    shown = re.sub(r"\n(?=[A-Z][\w ]{0,30}: )", "<br>", _inline(text))
    return f"<p>{shown}</p>"


def _list(lines: list[str]) -> str:
    items: list[list[str]] = []
    for line in lines:
        match = _ITEM.match(line)
        if match:
            items.append([line[match.end() :]])
        else:
            items[-1].append(line[2:] if line.startswith("  ") else line)
    inside = "".join(f"<li>{_item(item)}</li>" for item in items)
    tag = "ol" if lines[0][0].isdigit() else "ul"
    return f"<{tag}>{inside}</{tag}>"


def _item(lines: list[str]) -> str:
    blocks = _blocks(lines)
    if len(blocks) == 1:
        return _inline("\n".join(blocks[0]))
    return _inline("\n".join(blocks[0])) + "".join(_block(block) for block in blocks[1:])


def _inline(text: str) -> str:
    """Text with `code`, ``code`` and *emphasis*; everything else is as it is."""
    parts = re.split(r"(``.+?``|`[^`\n]+`)", text, flags=re.DOTALL)
    return "".join(
        f"<code>{html.escape(part.strip('`'), quote=False)}</code>" if at % 2 else _emphasis(part)
        for at, part in enumerate(parts)
    )


def _emphasis(text: str) -> str:
    """Text with *emphasis*; the star of a product has a space or a letter before it."""
    shown = html.escape(text, quote=False)
    return re.sub(r"(?<![\w*])\*(\w(?:[^*\n]*\w)?)\*(?![\w*])", r"<em>\1</em>", shown)
