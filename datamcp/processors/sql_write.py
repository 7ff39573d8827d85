"""`sql.write`: a table of the run goes into a table of a database, whole or not at all."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from datamcp.clock import Clock
from datamcp.errors import ProcessingError
from datamcp.naming import did_you_mean
from datamcp.processors.connections import Connections
from datamcp.processors.engine import EngineLimits, count, count_records, identifier, parquet
from datamcp.processors.processor import (
    ConfigFault,
    Inputs,
    Output,
    ProcessingConfig,
    ProcessingResult,
)
from datamcp.processors.sql_target import Mode, Target, is_first_write, prepare
from datamcp.processors.table_processor import TableProcessor, only_table
from datamcp.processors.table_rows import TableColumn, batches, columns_of_table
from datamcp.storage.roots import AllowedRoots

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy import Engine

_BATCH = 1000  # rows that are held at a time


class SqlWriteConfig(ProcessingConfig):
    """Where the rows go, and what becomes of those that are there.

    `connection` is a name of `integrations`, `table` a name, or `schema.name`; names are quoted as
    they are written. A table that is not there is made. `append` adds the rows, once: the ids of
    tasks that have written stand in `datamcp_writes`, a table that is made beside it, so an attempt
    that was thought lost and is made again writes nothing. `replace` empties the table first.
    `upsert` (PostgreSQL, SQLite, MySQL) changes the row that has the same `key`, else adds one; the
    columns of the key need a unique index, which a table made here has, and MySQL no other.
    `columns` maps columns of the input to those of the table; others are left out. Unset, all go
    under their own names.
    """

    connection: str = Field(min_length=1)
    table: str = Field(min_length=1, pattern=r"^[^.]+(\.[^.]+)?$")
    mode: Mode = "append"
    key: list[str] = Field(default_factory=list)
    columns: dict[str, str] | None = Field(default=None, min_length=1)


class SqlWrite(TableProcessor[SqlWriteConfig]):
    """Writes its one input to a database in one transaction.

    A step that fails or is killed leaves the database as it was. (MySQL makes tables outside of
    transactions: an empty one may stay. Its driver is `datamcp[mysql]`.)
    """

    config_model = SqlWriteConfig

    def __init__(
        self, *, roots: AllowedRoots, limits: EngineLimits, clock: Clock, connections: Connections
    ) -> None:
        """Take what every processor of tables takes, and databases by name."""
        super().__init__(roots=roots, limits=limits, clock=clock)
        self._connections = connections

    def faults(self, config: SqlWriteConfig) -> Iterable[ConfigFault]:
        """Return a connection that there is not, and a key that is missing, or of no use."""
        if fault := self._connections.fault(config.connection):
            yield ConfigFault(path="connection", message=fault)
        if config.mode == "upsert" and not config.key:
            yield ConfigFault(path="key", message="mode upsert needs the columns of the key")
        if config.mode != "upsert" and config.key:
            yield ConfigFault(path="key", message=f"mode {config.mode} has no key")

    def run(self, inputs: Inputs, config: SqlWriteConfig) -> ProcessingResult:
        """Write the rows; ProcessingError has the database's message, in one line."""
        source = only_table(inputs, "sql.write")
        with (
            self.engine(inputs, files=[source]) as table,
            self._connections.open(config.connection) as database,
        ):
            columns = _chosen(columns_of_table(table, source), config)
            target = Target(config.table, config.mode, config.key, columns)
            _check_key(table, source, target)
            records = count_records(table, source)
            is_written = _write(database, target, table, source, inputs.task_id)
        return _result(config, records, source.stat().st_size, is_written=is_written)


def _chosen(columns: Sequence[TableColumn], config: SqlWriteConfig) -> dict[str, TableColumn]:
    """Return the columns to write, by their names in the database."""
    there = {column.name: column for column in columns}
    wanted = config.columns or {name: name for name in there}
    for name in wanted:
        if name not in there:
            listed = ", ".join(there)
            raise ProcessingError(
                f"columns: the input has no column {name!r}; it has {listed}"
                f"{did_you_mean(name, there)}"
            )
    doubled = [name for name, times in Counter(wanted.values()).items() if times > 1]
    if doubled:
        raise ProcessingError(f"columns: {doubled[0]!r} of the table is given twice")
    chosen = {theirs: there[ours] for ours, theirs in wanted.items()}
    for name in config.key:
        if name not in chosen:
            listed = ", ".join(chosen)
            raise ProcessingError(
                f"key: no column {name!r} is written; there are {listed}"
                f"{did_you_mean(name, chosen)}"
            )
    return chosen


def _check_key(connection: "DuckDBPyConnection", source: Path, target: Target) -> None:
    """ProcessingError for rows of which no order says which one wins, or that have no key."""
    if not target.key:
        return
    names = [identifier(target.columns[name].name) for name in target.key]
    rows, listed = f"select 1 from {parquet(source)}", ", ".join(target.key)
    empty = " or ".join(f"{name} is null" for name in names)
    if missing := count(connection, f"select count(*) from ({rows} where {empty})"):
        raise ProcessingError(f"key: {missing:,} rows have no value in {listed}")
    doubled = f"{rows} group by {', '.join(names)} having count(*) > 1"
    if found := count(connection, f"select count(*) from ({doubled})"):
        raise ProcessingError(
            f"key: {found:,} values of {listed} stand in more than one row; which of them wins?"
        )


def _write(
    database: "Engine",
    target: Target,
    table: "DuckDBPyConnection",
    source: Path,
    task_id: str,
) -> bool:
    """Write all rows in one transaction; False if an earlier attempt has."""
    with database.begin() as connection:
        statement = prepare(connection, target)  # first, as MySQL commits when it makes tables
        if target.mode == "append" and task_id and not is_first_write(connection, target, task_id):
            return False
        has_decimals = connection.dialect.name != "sqlite"
        columns = list(target.columns.values())
        for batch in batches(table, source, columns, size=_BATCH, has_decimals=has_decimals):
            connection.execute(statement, batch)
    return True


def _result(
    config: SqlWriteConfig, records: int, size: int, *, is_written: bool
) -> ProcessingResult:
    told = f"the rows are in {config.table!r} already, from an earlier attempt of this task"
    return ProcessingResult(
        output=Output(
            value={"connection": config.connection, "table": config.table, "mode": config.mode},
            records_out=records,
        ),
        records_in=records,
        records_out=records,
        bytes_in=size,
        warnings=() if is_written else (told,),
    )
