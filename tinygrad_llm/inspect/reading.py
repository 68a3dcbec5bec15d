"""A prompt as a model reads it: all that is shown of that, whether on a terminal, in a picture, as
JSON or as a page.

    read        runs the model, and gives the tokens of what lens.py finds their texts
    as_json     the numbers, without the maps
    document    the numbers with the maps, as the explorer's page holds them (page.py there)
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinygrad_llm.inspect.lens import (
    AttentionMaps,
    InputGradients,
    LogitLens,
    attention_maps,
    input_gradients,
    logit_lens,
)
from tinygrad_llm.inspect.page import shown
from tinygrad_llm.inspect.pushes import pieces
from tinygrad_llm.inspect.watch import parts_of
from tinygrad_llm.tokenizer import Tokenizer

MOST = 3_000_000
"""Numbers of attention maps in a page: 12 MB."""
NUMBERS = ("entropy", "first", "previous", "repeated")
"""What is measured of every head: attributes of AttentionMaps."""


@dataclass(frozen=True)
class Reading:
    """What a model did with the tokens of a prompt."""

    texts: tuple[str, ...]
    """The tokens' own texts, with what cannot be seen made visible."""
    vocabulary: dict[int, str]
    """The texts of these and of all ids that a layer found likely."""
    lens: LogitLens
    maps: AttentionMaps
    gradients: InputGradients | None
    """None for a single token, which has no loss."""

    def best(self, state: int, position: int) -> str:
        """The text of the id that a state of the residual stream finds most likely."""
        return self.vocabulary[int(self.lens.top_ids[state, position, 0])]


def read(
    model: Any,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    *,
    top: int = 5,
    of: Literal["last", "all"] = "last",
    layers: Sequence[int] | None = None,
    most: int | None = None,
) -> Reading:
    """Run a model over ids, once forward for the lens and once for the maps, and once back.

    ``layers`` are those whose maps are kept, by default as many as ``most`` numbers allow (None:
    ``MOST``), from the first to the last. Raises what the functions of lens.py raise.
    """
    lens = logit_lens(model, ids, top)
    if layers is None:
        blocks, heads = len(parts_of(model).blocks), model.config.n_head
        layers = spread(blocks, (MOST if most is None else most) // (heads * triangle(len(ids))))
    gradients = input_gradients(model, ids, of) if len(ids) > 1 else None
    maps = attention_maps(model, ids, layers)
    known = dict.fromkeys(itertools.chain(map(int, ids), lens.top_ids.ravel().tolist()))
    texts = pieces(tokenizer, list(ids))
    vocabulary = {j: shown(text) for j, text in _texts(tokenizer, int(ids[0]), known)}
    return Reading(tuple(map(shown, texts)), vocabulary, lens, maps, gradients)


def _texts(tokenizer: Tokenizer, before: int, ids: Iterable[int]) -> Iterable[tuple[int, str]]:
    """Each id with the text that it adds after another token."""
    return ((j, pieces(tokenizer, [before, j])[1]) for j in ids)


def spread(n: int, most: int) -> list[int]:
    """At most ``most`` of the numbers 0 to n - 1, evenly, with both ends where there are two."""
    if most >= n:
        return list(range(n))
    return sorted({round(x) for x in np.linspace(0, n - 1, most)}) if most > 1 else [n - 1][:most]


def triangle(length: int) -> int:
    """How many pairs (query, key) a text has, in which the key is no later than the query."""
    return length * (length + 1) // 2


# --- JSON -----------------------------------------------------------------------------------------


def as_json(reading: Reading) -> dict[str, Any]:
    """The numbers as plain values. What is not known is None."""
    lens, maps, gradients = reading.lens, reading.maps, reading.gradients
    states = [
        {
            "name": name,
            "top": [
                [
                    {"id": j, "text": reading.vocabulary[j], "p": p}
                    for j, p in zip(*best, strict=True)
                ]
                for best in zip(lens.top_ids[n].tolist(), lens.top_p[n].tolist(), strict=True)
            ],
            "entropy": lens.entropy[n].tolist(),
            "next_rank": lens.rank[n].tolist(),
            "next_logp": lens.logp[n].tolist(),
        }
        for n, name in enumerate(lens.names)
    ]
    heads = {name: _plain(getattr(maps, name)) for name in NUMBERS}
    return {
        "tokens": [
            {"id": int(j), "text": text} for j, text in zip(lens.ids, reading.texts, strict=True)
        ],
        "states": states,
        "heads": {**heads, "difference": maps.difference},
        "gradients": gradients
        and {
            "of": gradients.of,
            "loss": gradients.loss,
            "length": gradients.length.tolist(),
            "times_input": gradients.times_input.tolist(),
        },
    }


def _plain(array: np.ndarray) -> list[list[float | None]]:
    """Rows of numbers, with None for NaN."""
    return [[None if math.isnan(x) else x for x in row] for row in array.tolist()]


# --- the page -------------------------------------------------------------------------------------


def document(reading: Reading) -> dict[str, Any]:
    """What the page's views "lens" and "maps" read: ``page.lens`` there.

    Of a map, the part on and below the diagonal is kept, row by row: T (T + 1) / 2 numbers a head.
    """
    lens, maps, gradients = reading.lens, reading.maps, reading.gradients
    below = np.tril_indices(len(lens.ids))
    return {
        "tokens": list(reading.texts),
        "ids": lens.ids.tolist(),
        "states": list(lens.names),
        "vocabulary": {str(j): text for j, text in reading.vocabulary.items()},
        "topIds": lens.top_ids.astype(np.int32),
        "topP": lens.top_p.astype(np.float32),
        "entropy": lens.entropy.astype(np.float32),
        "rank": lens.rank.astype(np.int32),
        "logp": lens.logp.astype(np.float32),
        "difference": lens.difference,
        "gradients": gradients
        and {
            "of": gradients.of,
            "loss": gradients.loss,
            "length": gradients.length,
            "timesInput": gradients.times_input,
        },
        "maps": {
            "layers": sorted(maps.weights),
            "weights": [
                maps.weights[layer][:, *below].astype(np.float32) for layer in sorted(maps.weights)
            ],
            **{name: getattr(maps, name).astype(np.float32) for name in NUMBERS},
            "difference": maps.difference,
            "largest": maps.largest,
        },
    }
