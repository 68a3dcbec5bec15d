"""The whole rows of JSON lines, CSV and TSV; the damaged ones are counted, with their bytes."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from tinygrad_llm.data.corpus import CleanReport, Tally
from tinygrad_llm.data.decoding import with_byte_order
from tinygrad_llm.data.formats.lines import LONGEST, Lines
from tinygrad_llm.data.formats.unreadable import Unreadable
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.tables import rows_of

DAMAGED = "damaged rows"


class DamagedRows:
    """The damaged rows of a file; ``first`` says where the first is and what is wrong with it."""

    def __init__(self, name: str) -> None:
        self.first = ""
        self._name = name
        self._tally = Tally()

    def add(self, number: int, size: int, problem: str) -> None:
        """Count the row of this number and this many bytes."""
        self.first = self.first or problem
        self._tally.add(f"{self._name}:{number}", size)

    def count_in(self, report: CleanReport) -> None:
        """Add them to a report: all of them as dropped, and a note about the first."""
        rows, size = self._tally.documents, self._tally.bytes
        if rows:
            report.found_documents += rows
            report.found_bytes += size
            report.dropped[DAMAGED] = report.dropped.get(DAMAGED, Tally()).merged(self._tally)
            report.note(
                f"{rows:,} damaged row{'s' * (rows != 1)} of {self._name} ({size:,} bytes) "
                f"{'were' if rows != 1 else 'was'} left out; the first: {self.first}."
            )


def whole_rows(
    name: str, stream: io.BufferedReader, kind: str, encoding: str, damaged: DamagedRows
) -> Iterator[tuple[int, Any]]:
    """(number, values) of each whole row; raises Unreadable if the names of columns are damaged."""
    lines = Lines(stream, with_byte_order(encoding, stream.peek()))
    csv.field_size_limit(LONGEST)
    number = 0

    def leave_out(problem: UserError) -> None:
        nonlocal number
        number += 1
        size, bytes_problem = lines.row()
        damaged.add(number, size, f"{problem}{'; it has ' * bool(bytes_problem)}{bytes_problem}")

    try:
        rows = rows_of(f".{kind}", lines, name, True, leave_out)
        _, problem = lines.row()  # CSV and TSV begin with the names of the columns
        if problem:
            raise UserError(f"the names of its columns have {problem}")
    except UserError as error:
        raise Unreadable(f"damaged: {error}", "mend the row or leave it out") from None
    for row in rows:
        number += 1
        size, problem = lines.row()
        if problem:
            damaged.add(number, size, f"{row.place} has {problem}")
        else:
            yield number, row.values
