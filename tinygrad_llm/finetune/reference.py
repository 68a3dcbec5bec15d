"""Log-probabilities of the reference: the model as it was before the first step.

They never change, so they are computed once, before the adapters and weights are trained, and no
second model is needed. They are kept in the cache folder, under a hash of everything that
determines them: the model's numbers, the ids and labels that the template made of the data, and the
precision of the products.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autograd.precision import current_precision
from tinygrad_llm.data.cache import cache_folder, check_entry, get_or_build, hash_parts
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import evaluating
from tinygrad_llm.finetune.collate import batches_by_length
from tinygrad_llm.finetune.examples import Example
from tinygrad_llm.finetune.logps import hidden_token_logps, over_tokens
from tinygrad_llm.model.quantize import stored_matrices

FILE = "logps.npy"
BATCH = 8  # of rows; another could round differently
Progress = Callable[[int, int], None]


def answer_logps(
    model: Any, rows: Sequence[Example], progress: Progress = lambda done, total: None
) -> np.ndarray:
    """The summed log-probability of the labels of each row (N,); dropout is off."""
    logps, done = np.zeros(len(rows), np.float64), 0
    with evaluating(model):
        for numbers, batch in batches_by_length(rows, BATCH):
            tokens = hidden_token_logps(batch.hidden(model), model, batch.labels)
            logps[numbers] = over_tokens(tokens, batch.labels).numpy()
            progress(done := done + len(numbers), len(rows))
    return logps


def cached_logps(
    model: Any, rows: Sequence[Example], progress: Progress = lambda done, total: None
) -> tuple[np.ndarray, bool]:
    """``answer_logps``, and whether they were in the cache already.

    Raises UserError if the cache cannot be written.
    """
    precision = current_precision()
    parts = [_model_hash(model), _rows_hash(rows), *([precision] if precision != "float32" else [])]
    entry = cache_folder() / "reference" / hash_parts(parts)

    def build(folder: Path) -> None:
        progress(0, len(rows))  # the work begins here
        np.save(folder / FILE, answer_logps(model, rows, progress))

    def read(folder: Path) -> np.ndarray:
        check_entry(folder, [FILE])
        logps: np.ndarray = np.load(folder / FILE, allow_pickle=False)
        if logps.shape != (len(rows),) or logps.dtype != np.float64:
            raise UserError(f"{folder / FILE} is {logps.dtype} {logps.shape}: it is damaged")
        return logps

    return get_or_build(entry, read, build)


def _model_hash(model: Any) -> str:
    """sha256 of the numbers of a model, whatever their types, and of its options.

    Adapters are left out: before the first step they change nothing.
    """
    digest = hashlib.sha256(repr(model.config).encode())
    arrays = [p.numpy() for name, p in model.named_parameters() if ".adapters." not in name]
    for matrix in stored_matrices(model):
        digest.update(matrix.format.encode())
        arrays += [matrix.data] if matrix.scales is None else [matrix.data, matrix.scales]
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _rows_hash(rows: Sequence[Example]) -> str:
    return hash_parts(
        part.astype(np.int64).tobytes() for row in rows for part in (row.ids, row.labels)
    )
