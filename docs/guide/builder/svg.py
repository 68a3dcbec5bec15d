"""Whether two SVG figures are the same drawing: the same elements, with nearly the same numbers.

Another processor's last bits move a curve by less than anybody sees, so numbers may differ by
TOLERANCE points. matplotlib derives its ids from those numbers; they count by their order alone.
"""

import base64
import io
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np

TOLERANCE = 0.1
"""Points (1/72 inch) that a coordinate may move; of numbers below 1, such as scales, a tenth."""
SHADES = 2
"""Steps of 255 by which a colour may differ."""
PART = re.compile(
    r"(?P<data>data:image/png;base64,[A-Za-z0-9+/=\s]+)"
    r"|(?P<colour>#[0-9a-fA-F]{6}\b)"
    r"|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
)


def different(committed: Path, made: Path) -> str | None:
    """How a figure differs from the committed one, in a phrase; None where it does not."""
    try:
        old = xml.parse(committed).getroot()
    except xml.ParseError as error:
        return f"{committed.name} is no SVG file ({error})"
    try:
        new = xml.parse(made).getroot()
    except (xml.ParseError, OSError) as error:
        return f"what the snippet saved is no SVG file ({error})"
    first, second = list(_drawn(old)), list(_drawn(new))
    for one, other in zip(first, second, strict=False):
        difference = _different(one, other)
        if difference:
            return difference
    if len(first) != len(second):
        return f"it has {len(second)} elements, the committed one {len(first)}"
    return None


def _drawn(root: xml.Element) -> list[dict[str, str]]:
    """Every element as a flat record, without metadata, ids replaced by their order."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata"):
                parent.remove(child)
    ids = [element.get("id", "") for element in root.iter() if element.get("id")]
    order = {name: str(index) for index, name in enumerate(ids)}

    def renamed(text: str) -> str:
        reference = re.compile(r"(?<=#)[\w:.-]+(?=\)|$)")
        return reference.sub(lambda match: order.get(match[0], match[0]), text)

    records = []
    for element in root.iter():
        record = {"element": element.tag, "text": (element.text or "").strip()}
        for name, value in element.attrib.items():
            if name != "id":
                is_reference = name.endswith("href") or "url(#" in value
                record[name] = renamed(value) if is_reference else value
        records.append(record)
    return records


def _different(one: dict[str, str], other: dict[str, str]) -> str | None:
    kind, made = (each["element"].rpartition("}")[2] for each in (one, other))
    if kind != made:
        return f"the committed one has <{kind}> where it has <{made}>"
    if one.keys() != other.keys():
        names = ", ".join(sorted(one.keys() ^ other.keys()))
        return f"a <{kind}> differs in whether it has {names}"
    for name, value in one.items():
        if not _same(value, other[name]):
            return f"{name} of a <{kind}> {_how(value, other[name])}"
    return None


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if PART.sub("0", one).split() != PART.sub("0", other).split():
        return False
    pairs = zip(PART.finditer(one), PART.finditer(other), strict=True)
    return all(_same_part(a, b) for a, b in pairs)


def _same_part(a: re.Match[str], b: re.Match[str]) -> bool:
    if a.lastgroup != b.lastgroup:
        return False
    if a.lastgroup == "number":
        x, y = float(a[0]), float(b[0])
        return abs(x - y) <= TOLERANCE * min(1.0, max(abs(x), abs(y))) + 1e-3
    if a.lastgroup == "colour":
        pairs = zip(bytes.fromhex(a[0][1:]), bytes.fromhex(b[0][1:]), strict=True)
        return all(abs(x - y) <= SHADES for x, y in pairs)
    one, other = _pixels(a[0]), _pixels(b[0])
    return one.shape == other.shape and bool((np.abs(one - other) <= SHADES).all())


def _pixels(data: str) -> np.ndarray:
    from PIL import Image

    content = base64.b64decode(data.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)


def _how(one: str, other: str) -> str:
    """How two values differ: by how much, where only their numbers do."""
    if PART.sub("0", one).split() == PART.sub("0", other).split():
        pairs = zip(PART.finditer(one), PART.finditer(other), strict=True)
        numbers = [(a, b) for a, b in pairs if a.lastgroup == b.lastgroup == "number"]
        largest = max((abs(float(a[0]) - float(b[0])) for a, b in numbers), default=0.0)
        if largest > TOLERANCE:
            return f"has moved by up to {largest:.2f} points"
    return f"was {_short(one)}, and is {_short(other)}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")
