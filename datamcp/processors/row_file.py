"""Rows on their way into a table: JSON lines of texts, and the SQL that gives them their types.

However many rows there are, one batch of them is held at a time.
"""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic_core import to_json

from datamcp.errors import ProcessingError
from datamcp.processors.column_values import ColumnValues
from datamcp.processors.engine import identifier, literal
from datamcp.storage.atomic import disk_errors

_LEAST_LINE = 1 << 20  # bytes that the engine makes room for


class RowFile:
    """Takes rows, and tells how to read them back as typed columns."""

    def __init__(self, path: Path, columns: Sequence[ColumnValues]) -> None:
        """Take where the lines go, and the columns; ProcessingError for names of no table."""
        _check_names([column.name for column in columns])
        self._path = path
        self._columns = columns
        self._keys = [f"c{number}" for number in range(len(columns))]
        self._longest = _LEAST_LINE
        with disk_errors(path):
            self._file = path.open("wb")

    def __enter__(self) -> Self:
        """Return itself, open."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        with disk_errors(self._path):
            self._file.close()

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows, whose values are in the order of the columns."""
        columns, keys = self._columns, self._keys
        lines = [
            to_json({k: c.text(v) for k, c, v in zip(keys, columns, row, strict=True)})
            for row in rows
        ]
        self._longest = max(self._longest, *map(len, lines), 0)
        with disk_errors(self._path):
            self._file.writelines(line + b"\n" for line in lines)

    def select(self) -> str:
        """Return the query of all rows, in order, with typed columns."""
        typed = ", ".join(
            f"{column.select(identifier(key))} as {identifier(column.name)}"
            for key, column in zip(self._keys, self._columns, strict=True)
        )
        shape = ", ".join(f"{key}: 'VARCHAR'" for key in self._keys)
        return (
            f"select {typed} from read_json({literal(str(self._path))}, "
            f"format = 'newline_delimited', columns = {{{shape}}}, records = true, "
            f"compression = 'none', maximum_object_size = {self._longest + 2})"
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what was lost on the way."""
        return tuple(filter(None, (column.warning() for column in self._columns)))


def _check_names(names: Sequence[str]) -> None:
    counted = Counter(name.lower() for name in names)  # SQL does not tell A from a
    doubled = [name for name in names if counted[name.lower()] > 1]
    if doubled:
        listed = ", ".join(map(repr, doubled))
        raise ProcessingError(f"duplicate column names: {listed}; rename them with `as`")
    if not names:
        raise ProcessingError("the query gives no columns")
