"""The table that `sql.write` fills: made, checked, locked, emptied and filled, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Insert,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    delete,
    exc,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import NULLTYPE, TypeEngine

from datamcp.errors import ProcessingError
from datamcp.naming import did_you_mean
from datamcp.processors.column_values import Kind
from datamcp.processors.sql_query import split
from datamcp.processors.table_rows import TableColumn

WRITES = "datamcp_writes"
"""The table of ours in a database that is appended to: the ids of the tasks that have written."""

_KEY_LENGTH = 255  # of a text that is a key, where a database wants to know
_CREATION_LOCK = 0x646D6370  # of PostgreSQL: whoever makes a table here holds it
_LONG_KEYS = ("postgresql", "sqlite")  # where any text may be a key
_MYSQL = ("mysql", "mariadb")
_UPSERTS = ("postgresql", "sqlite", *_MYSQL)

Mode = Literal["append", "replace", "upsert"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is written where: `columns` by their names in the database, in order."""

    table: str
    mode: Mode
    key: Sequence[str]
    columns: Mapping[str, TableColumn]


def prepare(connection: Connection, target: Target) -> Insert:
    """Have the table ready for the rows, and return the statement that takes them.

    The table is made if it is not there; with `replace` it is emptied. ProcessingError if it lacks
    a column, or if the database knows no upsert.
    """
    if target.mode == "upsert" and connection.dialect.name not in _UPSERTS:
        raise ProcessingError(
            f"mode: {connection.dialect.name} has no upsert here; use PostgreSQL, SQLite or MySQL, "
            "or append and replace"
        )
    if connection.dialect.name in _MYSQL:
        _be_strict(connection)
    table = _table(target, lambda _name, _column: NULLTYPE)  # values go to the driver as they are
    if not _make(connection, _table(target, partial(_type, connection.dialect.name, target.key))):
        _check_columns(connection, target)
        if target.mode == "upsert" and connection.dialect.name in _MYSQL:
            _check_unique(connection, target)
        if target.mode == "replace":
            _lock(connection, table)
            connection.execute(delete(table))
    return _insertion(connection, target, table)


def is_first_write(connection: Connection, target: Target, task_id: str) -> bool:
    """Note that a task writes, and tell whether it is the first time.

    Another attempt of the task that writes at this moment is waited for.
    """
    schema, _ = split(target.table)
    writes = Table(
        WRITES,
        MetaData(),
        Column("write_id", String(_KEY_LENGTH), primary_key=True),
        Column("written_at", DateTime(timezone=True), nullable=False),
        schema=schema,
    )
    _make(connection, writes)
    values = {"write_id": task_id, "written_at": func.current_timestamp()}
    match connection.dialect.name:
        case "postgresql":
            noted = postgresql.insert(writes).values(values).on_conflict_do_nothing()
            return bool(connection.execute(noted).rowcount)
        case "sqlite":
            kept = sqlite.insert(writes).values(values).on_conflict_do_nothing()
            return bool(connection.execute(kept).rowcount)
    try:
        connection.execute(insert(writes).values(values))
    except exc.IntegrityError:
        return False
    return True


def _table(target: Target, type_of: Callable[[str, TableColumn], TypeEngine[Any]]) -> Table:
    schema, name = split(target.table)
    columns = [
        Column(
            quoted_name(its_name, quote=True),
            type_of(its_name, column),
            key=f"c{number}",
            primary_key=its_name in target.key,
            autoincrement=False,
            nullable=its_name not in target.key,
        )
        for number, (its_name, column) in enumerate(target.columns.items())
    ]
    return Table(name, MetaData(), *columns, schema=schema)


def _make(connection: Connection, table: Table) -> bool:
    """Make the table and return True, unless it is there."""
    if inspect(connection).has_table(table.name, table.schema):
        return False
    if connection.dialect.name == "postgresql":  # two of its IF NOT EXISTS at once do fail
        connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
        if inspect(connection).has_table(table.name, table.schema):
            return False
    connection.execute(CreateTable(table, if_not_exists=True))
    return True


def _check_columns(connection: Connection, target: Target) -> None:
    schema, name = split(target.table)
    there = [str(one["name"]) for one in inspect(connection).get_columns(name, schema)]
    known = there if connection.dialect.name == "postgresql" else [n.lower() for n in there]
    for wanted in target.columns:
        if (wanted if known is there else wanted.lower()) not in known:
            raise ProcessingError(
                f"table {target.table!r} has no column {wanted!r}; it has {', '.join(there)}"
                f"{did_you_mean(wanted, there)}"
            )


def _be_strict(connection: Connection) -> None:
    # A value that does not fit is an error, and not cut; what it keeps as an instant is UTC.
    mode = "CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_ALL_TABLES')"
    connection.exec_driver_sql(f"SET sql_mode = {mode}, time_zone = '+00:00'")


def _check_unique(connection: Connection, target: Target) -> None:
    """ProcessingError unless the key is all that is unique: a row goes by any such index there."""
    schema, name = split(target.table)
    inspector = inspect(connection)
    found: list[Sequence[str | None]] = [
        inspector.get_pk_constraint(name, schema)["constrained_columns"],
        *(one["column_names"] for one in inspector.get_indexes(name, schema) if one["unique"]),
    ]
    unique = {tuple(sorted(str(column).lower() for column in one)) for one in found if one}
    key = tuple(sorted(column.lower() for column in target.key))
    if key not in unique:
        raise ProcessingError(
            f"key: table {target.table!r} has no unique index on {', '.join(target.key)}"
        )
    if others := unique - {key}:
        listed = "; ".join(", ".join(one) for one in sorted(others))
        raise ProcessingError(
            f"key: table {target.table!r} has other unique indexes, too ({listed}), by which MySQL "
            "could change other rows"
        )


def _lock(connection: Connection, table: Table) -> None:
    # Two replacements at once would leave the rows of both. Whoever reads is not kept waiting.
    if connection.dialect.name == "postgresql":
        shown = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"LOCK TABLE {shown} IN SHARE ROW EXCLUSIVE MODE")


def _insertion(connection: Connection, target: Target, table: Table) -> Insert:
    if target.mode != "upsert":
        return insert(table)
    place = {name: f"c{number}" for number, name in enumerate(target.columns)}
    key = [table.c[place[name]] for name in target.key]
    others = [column for name, column in place.items() if name not in target.key]
    if connection.dialect.name in _MYSQL:
        known = mysql.insert(table)
        changed = {column: known.inserted[column] for column in others or list(place.values())[:1]}
        return known.on_duplicate_key_update(changed)
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement: Any = dialect.insert(table)
    if not others:
        return statement.on_conflict_do_nothing(index_elements=key)  # type: ignore[no-any-return]
    changes = {table.c[column]: statement.excluded[column] for column in others}
    return statement.on_conflict_do_update(index_elements=key, set_=changes)  # type: ignore[no-any-return]


def _type(dialect: str, key: Sequence[str], name: str, column: TableColumn) -> TypeEngine[Any]:
    if column.kind is Kind.DECIMAL:
        return Numeric(column.precision, column.scale)
    if column.kind is Kind.TEXT and name in key and dialect not in _LONG_KEYS:
        return String(_KEY_LENGTH)
    return _TYPES[column.kind]


_TYPES: Mapping[Kind, TypeEngine[Any]] = {
    Kind.BOOLEAN: Boolean(),
    Kind.INTEGER: BigInteger(),
    Kind.FLOAT: Double(),
    Kind.TEXT: Text().with_variant(mysql.LONGTEXT(), *_MYSQL),
    Kind.DATE: Date(),
    Kind.TIME: Time().with_variant(mysql.TIME(fsp=6), *_MYSQL),
    Kind.TIMESTAMP: DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL),
    Kind.INSTANT: DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *_MYSQL),
    Kind.BYTES: LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL),
}
