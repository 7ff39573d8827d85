"""Rows from outside as JSON lines, and these as a table: flat, nested values as JSON text."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from datamcp.errors import ProcessingError
from datamcp.processors.engine import copy_out, identifier, literal
from datamcp.types import JSONValue

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_COLUMNS = 2_000

# A number of any precision becomes one of floating point.
_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=float, allow_nan=False
).encode
_NESTED = (dict, list)
_ALONE = "value"  # the column of an item that is no object


class RowWriter:
    """Writes one row a line; knows how many, and which columns they have, in order of appearance."""

    def __init__(self, file: TextIO) -> None:
        """Take the file, open for writing text."""
        self._file = file
        self._lowered: dict[str, str] = {}
        self.columns: dict[str, None] = {}
        self.count = 0

    def write(self, item: JSONValue) -> None:
        """Write an object, or another value as a row with one column.

        ProcessingError for names that no table can have.
        """
        row = item if isinstance(item, dict) else {_ALONE: item}
        if not row.keys() <= self.columns.keys():
            for name in row.keys() - self.columns.keys():
                self._check(name)
            self.columns |= dict.fromkeys(row)
        try:
            line = _json(
                {
                    name: _json(value) if isinstance(value, _NESTED) else value
                    for name, value in row.items()
                }
            )
        except (ValueError, OverflowError) as error:
            raise ProcessingError(f"record {self.count + 1} has a number that is none") from error
        self._file.write(f"{line}\n")
        self.count += 1

    def _check(self, name: str) -> None:
        if not name.strip():
            raise ProcessingError(f"record {self.count + 1} has a value without a name")
        other = self._lowered.setdefault(name.lower(), name)
        if other != name:  # SQL does not tell A from a
            raise ProcessingError(f"records have columns {other!r} and {name!r}: the same in SQL")
        if len(self._lowered) > MAX_COLUMNS:
            raise ProcessingError(f"records have more than {MAX_COLUMNS:,} different columns")


def write_table(
    connection: "DuckDBPyConnection",
    rows: Path,
    part: Path,
    types: Mapping[str, str] | None = None,
) -> int:
    """Write the rows to a Parquet file, and return how many there were.

    `types` are the columns and their types in SQL; without it, they are found out from all rows,
    and a column whose values are of more than one kind is text.
    """
    return copy_out(connection, _select(connection, rows, types), part)


def write_empty(connection: "DuckDBPyConnection", part: Path) -> int:
    """Write a table without rows, for records of which not even the columns are known."""
    return copy_out(connection, f"select null::varchar as {_ALONE} where false", part)


def _select(connection: "DuckDBPyConnection", rows: Path, types: Mapping[str, str] | None) -> str:
    name = literal(str(rows))
    common = "format = 'newline_delimited', records = true, hive_partitioning = false"
    if types is not None:
        columns = ", ".join(
            f"{identifier(column)}: {literal(kind)}" for column, kind in types.items()
        )
        return f"select * from read_json({name}, {common}, columns = {{{columns}}})"
    source = (
        f"read_json({name}, {common}, sample_size = -1, "
        "field_appearance_threshold = 0, map_inference_threshold = -1)"
    )
    found = connection.execute(f"describe select * from {source}").fetchall()
    columns = ", ".join(_column(column, kind) for column, kind, *_ in found)
    return f"select {columns} from {source}"


def _column(name: str, kind: str) -> str:
    column = identifier(name)
    match kind:
        case "JSON":  # values of more than one kind
            return f"{column} ->> '$' as {column}"
        case '"NULL"':
            return f"cast({column} as varchar) as {column}"
    return column
