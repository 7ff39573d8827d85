"""What `sql.read` asks a database: one SELECT, with bound values, and where it goes on from.

A query is sent as it was written, and no text is put into it. That it may only read is made sure
of by the transaction; here it is told early.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    TextClause,
    bindparam,
    column,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import NULLTYPE

from datamcp.errors import ProcessingError
from datamcp.types import JSONValue

Scalar = str | int | float | bool | None
_MARK = "datamcp_watermark"
_COMMENT = re.compile(r"\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\(", re.DOTALL)
_FIRST_WORD = re.compile(r"(?:select|with|values)\b", re.IGNORECASE)


def fault_of(query: str) -> str:
    """Return what keeps `query` from being one SELECT; empty if nothing does."""
    start = 0
    while found := _COMMENT.match(query, start):
        start = found.end()
    if not _FIRST_WORD.match(query, start):
        return "must be one SELECT (it begins with select, with or values)"
    if ";" in query.strip().removesuffix(";"):
        return "must be one SELECT: a `;` may only end it; give a text that has one as a parameter"
    return ""


def rows_of_query(query: str, parameters: Mapping[str, Scalar | Sequence[Scalar]]) -> TextClause:
    """Return the statement of a query; ProcessingError if its parameters are not those given."""
    statement = text(query.strip().removesuffix(";") + "\n")  # a comment may be its last line
    wanted = set(statement.compile().params)
    missing, unknown = sorted(wanted - set(parameters)), sorted(set(parameters) - wanted)
    if missing:
        raise ProcessingError(
            f"parameters: {', '.join(map(repr, missing))} not given; a colon of the query that "
            "begins no parameter is written \\:"
        )
    if unknown:
        raise ProcessingError(f"parameters: the query has no :{', :'.join(unknown)}")
    return statement.bindparams(*(_bound(name, value) for name, value in parameters.items()))


def rows_of_table(name: str) -> Select[Any]:
    """Return the statement of all rows of `name` or `schema.name`."""
    return select(literal_column("*")).select_from(named_table(name))


def after(rows: TextClause | Select[Any], watermark: str, last: Scalar) -> Select[Any]:
    """Return the statement of those rows whose column `watermark` is greater than `last`.

    Rows without a value there are left out; with `last` None they are the only ones.
    """
    marked: ColumnElement[Any] = column(quoted_name(watermark, quote=True))
    is_after = marked.is_not(None) if last is None else marked > _bound(_MARK, last)
    return _selected(rows).where(is_after)


def greatest(rows: TextClause | Select[Any], watermark: str) -> Select[Any]:
    """Return the statement of the greatest value of a column, as the database orders it."""
    marked: ColumnElement[Any] = column(quoted_name(watermark, quote=True))
    return _selected(rows).with_only_columns(marked).order_by(marked.desc()).limit(1)


def first(rows: TextClause | Select[Any], count: int) -> Select[Any]:
    """Return the statement of so many of the rows."""
    return _selected(rows).limit(count)


def _selected(rows: TextClause | Select[Any]) -> Select[Any]:
    if not isinstance(rows, TextClause):
        return rows
    return select(literal_column("*")).select_from(rows.columns().subquery("datamcp_rows"))


def named_table(name: str) -> FromClause:
    """Return the table of `name` or `schema.name`, both quoted as they are written."""
    schema, plain = split(name)
    return table(plain, schema=schema)


def split(name: str) -> tuple[str | None, str]:
    """Return schema and name of `schema.name`, as names that are always quoted."""
    schema, dot, plain = name.rpartition(".")
    return (quoted_name(schema, quote=True) if dot else None), quoted_name(plain, quote=True)


def read_mark(watermark: str | None, initial: Scalar) -> Scalar:
    """Return the value to go on from; ProcessingError for a watermark that is none of ours."""
    if watermark is None:
        return initial
    try:
        value: JSONValue = json.loads(watermark)
    except ValueError as error:
        raise ProcessingError(f"{watermark!r} is no watermark: {error}") from error
    if isinstance(value, list | dict):
        raise ProcessingError(f"{watermark} is no watermark: it must be a number or a text")
    return value


def write_mark(value: Any) -> str:
    """Return the JSON text of a watermark; ProcessingError for a value that cannot be one."""
    match value:
        case bool() | None:
            pass
        case int() | float() | str():
            return json.dumps(value)
        case date() | datetime():
            return json.dumps(value.isoformat())
        case Decimal() | UUID():
            return json.dumps(str(value))
    raise ProcessingError(
        f"watermark: its column holds {type(value).__name__}; take one of numbers, text or instants"
    )


def _bound(name: str, value: Scalar | Sequence[Scalar]) -> BindParameter[Any]:
    # Without a type, the database decides what a text is compared with: an instant, for one.
    return bindparam(name, value, type_=NULLTYPE, expanding=isinstance(value, list))
