"""Several sources as one: ``a,b`` gives all of both, ``a:0.7,b:0.3`` a mixture by weights.

With weights nothing is repeated: documents are taken from the sources in turn, always from the one
whose bytes lag furthest behind its share, until one source is used up. What is left of the others
then is dropped and counted, since any of it would shift the shares.
"""

import glob
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinygrad_llm.data.corpus import CleanReport, Document
from tinygrad_llm.data.download import DATASETS
from tinygrad_llm.data.hub import PREFIX
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path

STDIN = "-"
LEFT_OUT = "left out, so that the sources have the shares asked for"


class Part(NamedTuple):
    """One of several sources, and its weight if it has one."""

    source: str
    weight: float | None


def parse_sources(sources: str) -> list[Part]:
    """The parts of a ``--data`` such as "a:0.7,b:0.3"; one part for the name of a single source.

    A path with a comma or a colon in its name is that path. Raises UserError for an empty name,
    weights that are no positive numbers, and weights for some sources only.
    """
    if not sources.strip():
        raise UserError(
            "the source is empty; expected stdlib, the path of a file or folder, a pattern such as "
            "'texts/*.txt', or - for standard input"
        )
    if _exists(sources):
        return [Part(sources, None)]
    parts = [_part(one.strip(), sources) for one in sources.split(",")]
    weighted = [part.weight is not None for part in parts]
    if any(weighted) and not all(weighted):
        without = parts[weighted.index(False)].source
        raise UserError(
            f"the source {without!r} in {sources!r} has no weight and others have one; give each "
            "one, such as a:0.7,b:0.3, or none"
        )
    if len(parts) == 1:  # its share is all
        return [Part(parts[0].source, None)]
    if sum(part.source == STDIN for part in parts) > 1:
        raise UserError("- (standard input) can be read only once; name it once")
    return parts


def _part(one: str, sources: str) -> Part:
    if not one:
        raise UserError(f"there is an empty name in {sources!r}; leave out the comma, or name one")
    name, colon, number = one.rpartition(":")
    if not colon or _exists(one):
        return Part(one, None)
    try:
        weight = float(number)
    except ValueError:
        if not _exists(name) or one.startswith(PREFIX):
            return Part(one, None)  # opening it will say that there is no such file
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UserError(
            f"the weight of {name!r} is {number!r}, expected a number above 0, as in a:0.7,b:0.3"
        )
    return Part(name, weight)


def _exists(name: str) -> bool:
    """Whether this is the name of a source as it stands."""
    if name in ("stdlib", STDIN, *DATASETS):
        return True
    try:
        return user_path(name).exists() or (glob.has_magic(name) and bool(matches(name)))
    except (OSError, ValueError):
        return False


def matches(pattern: str) -> list[str]:
    """The paths that match a pattern, sorted; ** is any number of folders."""
    return sorted(glob.glob(str(user_path(pattern)), recursive=True))


def absolute_sources(sources: str) -> str:
    """The same sources with absolute paths: what they mean wherever a run is resumed."""
    absolute = []
    for source, weight in parse_sources(sources):
        if source not in ("stdlib", STDIN, *DATASETS) and (
            user_path(source).exists() or glob.has_magic(source)
        ):
            source = str(user_path(source).resolve())
        absolute.append(source if weight is None else f"{source}:{weight!r}")
    return ",".join(absolute)


def mix(
    streams: Sequence[Iterator[Document]], weights: Sequence[float], report: CleanReport
) -> Iterator[Document]:
    """Documents of all streams, whose bytes are in the ratio of the weights; the last ones end."""
    taken = [0] * len(streams)
    while True:
        behind = min(range(len(streams)), key=lambda i: taken[i] / weights[i])
        document = next(streams[behind], None)
        if document is None:
            break
        taken[behind] += len(document.text.encode())
        yield document
    for i, stream in enumerate(streams):
        for document in stream if i != behind else ():
            size = len(document.text.encode())
            report.kept_documents -= 1  # it was counted when it was read
            report.kept_bytes -= size
            report.drop(LEFT_OUT, document.name, size)
    total = sum(taken)
    shares = ", ".join(f"{100 * n / max(1, total):.1f} %" for n in taken)
    report.note(f"Shares of the sources' bytes, in order: {shares}.")
