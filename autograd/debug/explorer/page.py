"""The page: one HTML file that needs nothing else, put together from what lies in this folder.

    explorer.html     the template
    explorer.css      the style
    *.js              the modules, in plain JavaScript; main.js imports all others
    a document        plain data with NumPy arrays in it (document.py)

Modules are joined into one script: each after those it imports, without its ``import`` lines and
without the word ``export``. The arrays are taken out of the document, each content once. Both are
embedded compressed, by gzip, as base64: every browser can undo that since 2023. The page may run
this one script, whose hash its policy names, and fetch nothing.
"""

import base64
import gzip
import hashlib
import json
import math
import re
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)
TOP_LEVEL = re.compile(r"^(?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
TYPES = {"float32": "f4", "float64": "f8", "int8": "i1", "int16": "i2", "int32": "i4"}


def page(document: dict[str, Any], title: str, server: dict[str, str] | None = None) -> str:
    """The HTML of a document: ``{"graphs": [...]}`` and what else the views read.

    ``server`` is {"address", "token"} of the process that answers the page's questions, or None.
    """
    data, arrays = pack(document | {"title": title, "server": server})
    script = script_of(FOLDER)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
    policy += "img-src data:; connect-src " + ("'self'" if server else "'none'")
    return fill(
        (FOLDER / "explorer.html").read_text(encoding="utf-8"),
        {
            "TITLE": escape(title.encode("utf-8", "replace").decode()),
            "POLICY": escape(policy),
            "STYLE": (FOLDER / "explorer.css").read_text(encoding="utf-8"),
            "DATA": compressed(data.encode()),
            "ARRAYS": compressed(arrays),
            "SCRIPT": script,
        },
    )


def compressed(content: bytes) -> str:
    """Bytes by gzip and base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def unpack(html: str) -> tuple[dict[str, Any], bytes]:
    """The document and the bytes of the arrays that a page embeds: what ``pack`` returned."""
    found = [
        gzip.decompress(base64.b64decode(html.split(f'id="{name}">')[1].split("<")[0]))
        for name in ("data", "arrays")
    ]
    return json.loads(found[0]), found[1]


def fill(template: str, fields: dict[str, str]) -> str:
    """A page: the template with the text of each field in the place of its name, {{NAME}}."""
    head, *rest = template.split("{{")
    parts = [head]
    for piece in rest:  # one pass: a value that looks like a field is left alone
        name, _, tail = piece.partition("}}")
        parts += [fields[name], tail]
    return "".join(parts)


def script_of(folder: Path) -> str:
    """The modules of a folder as one script. Raises ValueError where two would not go together."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    needs = {name: IMPORT.findall(source) for name, source in sources.items()}
    for name, imported in needs.items():
        for other in imported:
            if other not in sources:
                raise ValueError(f"{name}.js imports {other}.js, which is not in {folder}")
    texts: list[str] = []
    owners: dict[str, str] = {}
    for name in TopologicalSorter({n: sorted(needs[n]) for n in sorted(needs)}).static_order():
        text = EXPORT.sub("", IMPORT.sub("", sources[name]))
        if leftover := re.search(r"^(?:import|export)\b.*", text, re.MULTILINE):
            raise ValueError(f"{name}.js: cannot join {leftover[0]!r} into one script")
        for found in TOP_LEVEL.findall(text):
            if found in owners:
                raise ValueError(f"{name}.js and {owners[found]}.js both define {found}")
            owners[found] = name
        texts.append(f"// ---- {name}.js\n{text}")
    script = "\n".join(texts)
    if "</script" in script.lower() or "<!--" in script:
        raise ValueError("a module contains </script> or <!--, which would end the script")
    return script


def as_script_data(value: Any) -> str:
    """JSON that is safe inside a script element: no tag, comment or entity can begin in it."""
    text = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value):
    """JSON has no NaN and no infinity: they become the strings the page's ``readNumber`` knows."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def pack(document: Any) -> tuple[str, bytes]:
    """(the document as JSON, the bytes of its arrays): an array becomes {"$": its number}.

    The table of arrays, "arrays", lists [type, shape, offset] of each; equal contents are stored
    once. Types that the page does not know become float64, booleans int8.
    """
    parts: list[bytes] = []
    table: list[list[Any]] = []
    places: dict[bytes, int] = {}
    numbers: dict[tuple, int] = {}
    size = 0

    def embed(array):
        nonlocal size
        if array.dtype == bool:
            array = array.astype(np.int8)
        name = array.dtype.name
        if name not in TYPES:
            array = array.astype(np.float32 if name == "float16" else np.float64)
            name = array.dtype.name
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest not in places:
            places[digest] = size
            padding = -len(content) % 8  # every array begins at a multiple of 8 bytes
            parts.append(content + bytes(padding))
            size += len(content) + padding
        key = (name, array.shape, digest)
        if key not in numbers:
            numbers[key] = len(table)
            table.append([TYPES[name], list(array.shape), places[digest]])
        return {"$": numbers[key]}

    def take(value):
        if isinstance(value, np.ndarray):
            return embed(value)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, dict):
            return {k: take(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [take(v) for v in value]
        return value

    taken = take(document)
    return as_script_data({**taken, "arrays": table}), b"".join(parts)
