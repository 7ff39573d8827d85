"""Instants in SQL: one column type, and the database's own clock (protocol R8).

PostgreSQL keeps `timestamptz`. SQLite has no such type: there an instant is an integer, in
microseconds since 1970, so that comparing is exact. Python sees aware UTC datetimes on both.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, Double, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A point in time; aware, in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Use an integer where the database has no type for instants."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Turn an instant into what the database keeps."""
        if value is None or dialect.name != "sqlite":
            return value
        return _number(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Turn what the database keeps into an instant."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + int(value) * _MICROSECOND
        instant: datetime = value
        return instant.astimezone(UTC)


class Now(FunctionElement[datetime]):
    """The database's clock: real time, not the start of the transaction."""

    type = Instant()
    inherit_cache = True


class After(FunctionElement[datetime]):
    """An instant, and a number of seconds later."""

    type = Instant()
    inherit_cache = True

    def __init__(
        self, instant: ColumnElement[datetime], seconds: float | ColumnElement[float]
    ) -> None:
        """Take the instant and the seconds, which may be negative."""
        if not isinstance(seconds, ColumnElement):
            seconds = literal(float(seconds), Double())
        super().__init__(instant, seconds)


@compiles(Now, "postgresql")
def _now_postgresql(_element: Now, _compiler: SQLCompiler, **_options: object) -> str:
    return "clock_timestamp()"


@compiles(Now, "sqlite")
def _now_sqlite(_element: Now, _compiler: SQLCompiler, **_options: object) -> str:
    # julianday is exact to the millisecond, which is what SQLite's clock gives.
    return "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)"


@compiles(After, "postgresql")
def _after_postgresql(element: After, compiler: SQLCompiler, **options: Any) -> str:
    instant, seconds = (compiler.process(part, **options) for part in element.clauses)
    return f"({instant} + {seconds} * interval '1 second')"


@compiles(After, "sqlite")
def _after_sqlite(element: After, compiler: SQLCompiler, **options: Any) -> str:
    instant, seconds = (compiler.process(part, **options) for part in element.clauses)
    return f"({instant} + CAST({seconds} * 1000000 AS INTEGER))"


def as_json(instant: datetime, dialect: str) -> str | int:
    """Return an instant as a database takes it inside of JSON."""
    return _number(instant) if dialect == "sqlite" else instant.isoformat()


def _number(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def now() -> ColumnElement[datetime]:
    """Return the database's current instant, for use in SQL."""
    return Now()


def after(instant: ColumnElement[datetime], seconds: float) -> ColumnElement[datetime]:
    """Return an instant that is some seconds later (earlier, if negative), for use in SQL."""
    return After(instant, seconds)
