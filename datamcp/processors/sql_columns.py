"""What a database says of the columns that it is about to give."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Inspector, inspect
from sqlalchemy.types import (
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Time,
    TypeEngine,
)

from datamcp.processors.column_values import ColumnValues, Declared, Kind
from datamcp.processors.sql_query import split

_UNLIMITED = 65_535  # the scale of a decimal of PostgreSQL that has none

_POSTGRESQL: Mapping[int, Declared] = {
    16: Declared(Kind.BOOLEAN),
    17: Declared(Kind.BYTES),
    20: Declared(Kind.INTEGER),
    21: Declared(Kind.INTEGER),
    23: Declared(Kind.INTEGER),
    26: Declared(Kind.INTEGER),
    114: Declared(Kind.TEXT, is_json=True),
    700: Declared(Kind.FLOAT),
    701: Declared(Kind.FLOAT),
    1082: Declared(Kind.DATE),
    1083: Declared(Kind.TIME),
    1114: Declared(Kind.TIMESTAMP),
    1184: Declared(Kind.INSTANT),
    1186: Declared(Kind.DURATION),
    1700: Declared(Kind.DECIMAL),
    3802: Declared(Kind.TEXT, is_json=True),
}
"""Object ids of PostgreSQL's types (pg_type.dat)."""

_GENERIC: Sequence[tuple[type[TypeEngine[Any]], Kind]] = (
    (Boolean, Kind.BOOLEAN),
    (Integer, Kind.INTEGER),
    (Float, Kind.FLOAT),
    (Numeric, Kind.DECIMAL),
    (DateTime, Kind.TIMESTAMP),
    (Date, Kind.DATE),
    (Time, Kind.TIME),
    (Interval, Kind.DURATION),
    (LargeBinary, Kind.BYTES),
)
_SQLITE = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.BYTES})  # the rest is kept as one of these


def declared_columns(connection: Connection, table: str) -> dict[str, Declared]:
    """Return what a database says of a table's columns; PostgreSQL says it with each result."""
    if connection.dialect.name == "postgresql":
        return {}
    return _of_table(inspect(connection), table)


def columns_of_result(
    connection: Connection, result: CursorResult[Any], declared: Mapping[str, Declared]
) -> list[ColumnValues]:
    """Return the columns of a result, with what is known of them before the first row."""
    names = list(result.keys())
    if connection.dialect.name == "postgresql":
        description: Sequence[Any] = result.cursor.description if result.cursor else ()
        known = [_of_postgresql(column) for column in description]
    else:
        known = [declared.get(name) for name in names]
    return [ColumnValues(name, one) for name, one in zip(names, known, strict=True)]


def _of_postgresql(column: Any) -> Declared | None:
    found = _POSTGRESQL.get(column[1])
    if found is None or found.kind is not Kind.DECIMAL:
        return found
    scale: int | None = column[5]
    return Declared(Kind.DECIMAL, None if scale == _UNLIMITED else scale)


def _of_table(inspector: Inspector, table: str) -> dict[str, Declared]:
    schema, name = split(table)
    kinds = {
        column["name"]: _kind(column["type"]) for column in inspector.get_columns(name, schema)
    }
    is_sqlite = inspector.dialect.name == "sqlite"
    return {
        name: Declared(kind)
        for name, kind in kinds.items()
        if kind is not None and (not is_sqlite or kind in _SQLITE)
    }


def _kind(declared: TypeEngine[Any]) -> Kind | None:
    return next((kind for generic, kind in _GENERIC if isinstance(declared, generic)), None)
