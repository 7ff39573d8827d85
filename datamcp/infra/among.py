"""Whether a column is among many values, in one statement however many these are.

`IN` has a parameter for each value, so that each number of them is a statement of its own, which has
to be compiled, and planned by the server, apart. Here all of them are one parameter.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Text, any_, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeDecorator, TypeEngine


class Texts(TypeDecorator[Sequence[str]]):
    """Many texts as one value: an array of PostgreSQL's, JSON for SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return what the database takes."""
        return ARRAY(Text()) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Return the value in that form."""
        if value is None:
            return None
        return list(value) if dialect.name == "postgresql" else json.dumps(list(value))


def among(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column has one of the texts that are bound by a name."""
    given = bindparam(name, type_=Texts())
    if dialect == "postgresql":
        return column == any_(cast(given, ARRAY(Text())))
    return column.in_(select(func.json_each(given).table_valued("value").c.value))
