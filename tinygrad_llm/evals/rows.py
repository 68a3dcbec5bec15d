"""Rows of a task's data file, each with its place, so that a wrong one is named with its line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import check_json, short
from tinygrad_llm.files.tables import Row as TableRow, read_table


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


def read_rows(path: Path) -> list[Row]:
    """The rows of a file. Raises UserError for what is damaged."""
    return [Row(row.values, row.place) for row in read_table(path)]
