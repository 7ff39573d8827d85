"""A table of the run as rows of Python: what every driver of a database takes.

A batch of them is held at a time, however long the table is.
"""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamcp.processors.column_values import Kind
from datamcp.processors.engine import identifier, parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NESTED = re.compile(r".*\[\d*\]|STRUCT\(.*|MAP\(.*|UNION\(.*", re.DOTALL)
_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
)
_KINDS: Mapping[str, Kind] = {
    "BOOLEAN": Kind.BOOLEAN,
    "FLOAT": Kind.FLOAT,
    "DOUBLE": Kind.FLOAT,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "TIMESTAMP": Kind.TIMESTAMP,
    "TIMESTAMP_S": Kind.TIMESTAMP,
    "TIMESTAMP_MS": Kind.TIMESTAMP,
    "TIMESTAMP_NS": Kind.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Kind.INSTANT,
    "BLOB": Kind.BYTES,
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table of the run; precision and scale are those of a decimal."""

    name: str
    kind: Kind
    expression: str
    precision: int = 0
    scale: int = 0


def columns_of_table(connection: "DuckDBPyConnection", path: Path) -> list[TableColumn]:
    """Return the columns of a Parquet file, in order."""
    description = connection.execute(f"select * from {parquet(path)} limit 0").description
    return [_column(str(column[0]), str(column[1])) for column in description]


def _column(name: str, kind: str) -> TableColumn:
    value = identifier(name)
    if found := _DECIMAL.fullmatch(kind):
        return TableColumn(name, Kind.DECIMAL, value, int(found[1]), int(found[2]))
    if kind in _INTEGERS:
        return TableColumn(name, Kind.INTEGER, value)
    if kind == "UBIGINT":
        return TableColumn(name, Kind.DECIMAL, f"cast({value} as decimal(20, 0))", 20, 0)
    match _KINDS.get(kind, Kind.TEXT):
        case Kind.TIMESTAMP:
            return TableColumn(name, Kind.TIMESTAMP, f"cast({value} as timestamp)")
        case Kind.INSTANT:
            return TableColumn(name, Kind.INSTANT, f"timezone('UTC', {value})")
        case Kind.TEXT if _NESTED.fullmatch(kind):
            return TableColumn(name, Kind.TEXT, f"cast(to_json({value}) as varchar)")
        case Kind.TEXT:
            return TableColumn(name, Kind.TEXT, f"cast({value} as varchar)")
        case other:
            return TableColumn(name, other, value)


def batches(
    connection: "DuckDBPyConnection",
    path: Path,
    columns: Sequence[TableColumn],
    *,
    size: int,
    has_decimals: bool,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows, as mappings of `c0`, `c1` … to values.

    Without `has_decimals` the database takes no decimals and no instants, as SQLite: decimals,
    dates and times are text then, in a form that sorts.
    """
    listed = ", ".join(column.expression for column in columns)
    cursor = connection.execute(f"select {listed} from {parquet(path)}")
    changes = [_change(column.kind, has_decimals=has_decimals) for column in columns]
    names = [f"c{number}" for number in range(len(columns))]
    while rows := cursor.fetchmany(size):
        yield [
            {
                name: value if change is None or value is None else change(value)
                for name, change, value in zip(names, changes, row, strict=True)
            }
            for row in rows
        ]


def _change(kind: Kind, *, has_decimals: bool) -> Callable[[Any], Any] | None:
    if has_decimals:
        return _in_utc if kind is Kind.INSTANT else None
    return _PLAIN.get(kind)


def _in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


_PLAIN: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: Decimal.__str__,
    Kind.DATE: date.isoformat,
    Kind.TIME: time.isoformat,
    Kind.TIMESTAMP: lambda value: value.isoformat(" "),
    Kind.INSTANT: lambda value: _in_utc(value).isoformat(" "),
}
