"""A task's data files: how they are found in a folder, and their rows, each with its place, so that
a wrong one is named with its line."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json, short
from tinygrad_llm.files.tables import Row as TableRow, read_table

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".parquet", "-*-of-*.parquet", ".csv")
"""Of files with rows. The hub's Parquet files are called test-00000-of-00001.parquet."""
KNOWN = (".jsonl", ".gz", ".json", ".parquet", ".csv", ".lst", ".txt")


class Row(TableRow):
    """A row of a table, with what tasks need to check of one."""

    def fits(self, schema: dict[Any, Any]) -> dict[str, Any]:
        """The values, if they have what ``schema`` says (json_file.py). Raises UserError."""
        check_json(self.values, self.place, {**schema, ...: object})
        return self.values

    def choice(self, key: Any, among: Sequence[Any]) -> int:
        """The place of ``key`` among the names of the choices. Raises UserError if it has none."""
        if key not in among:
            names = ", ".join(map(str, among))
            raise UserError(f"{self.place}: the answer is {short(key)}, expected one of {names}")
        return list(among).index(key)


def as_json(value: Any) -> Any:
    """A value of a row as JSON can hold it. Parquet has more kinds, such as dates, bytes and NaN:
    in their place is their text."""
    if isinstance(value, Mapping):
        return {str(key): as_json(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(element) for element in value]
    is_json = isinstance(value, str | int | None) or (
        isinstance(value, float) and math.isfinite(value)
    )
    return value if is_json else str(value)


def read_rows(files: Iterable[Path]) -> list[Row]:
    """The rows of all files, in order. Raises UserError for what is damaged."""
    return [Row(row.values, row.place) for file in files for row in read_table(file)]


def data_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files in ``folder`` with the first of these names that any file has, in order; none if
    there are none.

    A name may be a pattern, such as "test/*_test.csv". One without an ending stands for each of
    ENDINGS.
    """
    for name in names:
        for ending in ("",) if name.endswith(KNOWN) else ENDINGS:
            if found := sorted(path for path in folder.glob(name + ending) if path.is_file()):
                return found
    return []


def missing(folder: Path, names: Sequence[str]) -> UserError:
    """The sentence for a folder without any of these files: what was expected."""
    listed = " or ".join(n if n.endswith(KNOWN) else f"{n}{ENDINGS[0]}" for n in names[:2])
    what = "is not a folder" if folder.is_file() else f"has no {listed}"
    return UserError(f"{folder} {what}: --data must name the folder of the task's files")
