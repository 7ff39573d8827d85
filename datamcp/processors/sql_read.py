"""`sql.read`: the rows of a query, or of a table of a database, become a table of the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr
from sqlalchemy import Connection, Engine, Select, TextClause

from datamcp.clock import Clock
from datamcp.errors import ProcessingError
from datamcp.naming import did_you_mean
from datamcp.processors.column_values import ColumnValues, Kind
from datamcp.processors.connections import Connections
from datamcp.processors.engine import EngineLimits, copy_out
from datamcp.processors.processor import ConfigFault, Inputs, ProcessingConfig, ProcessingResult
from datamcp.processors.row_file import RowFile
from datamcp.processors.sql_columns import columns_of_result, declared_columns
from datamcp.processors.sql_query import (
    Scalar,
    after,
    fault_of,
    first,
    greatest,
    read_mark,
    rows_of_query,
    rows_of_table,
    write_mark,
)
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output
from datamcp.storage.roots import AllowedRoots

_BATCH = 1000  # rows that are held at a time
_SAMPLE = 100  # rows that show the types of columns of which no row is new


class Watermark(BaseModel):
    """Up to where earlier runs have read: only rows whose `column` is greater are read.

    `column` is one of the query's, and should only ever grow: a sequence, or when a row was
    changed. A row that becomes visible later with a value that is not greater is missed; so is one
    without a value. `initial` is where the first run starts, without rows of that value itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(min_length=1)
    initial: StrictStr | StrictInt | StrictFloat | None = None


class SqlReadConfig(ProcessingConfig):
    """What to read, from which database.

    `connection` is a name of `integrations`. Either `query` is one SELECT of the database's own
    SQL, or `table` is a name, or `schema.name`. `parameters` are the values of the query's
    `:name`s; they are bound, never written into its text; a list is for `in :name`. Nothing can be
    changed: the transaction is for reading only. With `watermark`, a run reads what is new since
    the last one that ended well.

    Numbers, text, dates, instants and bytes keep their types; JSON and arrays become JSON text.
    SQLite knows no dates: what stands in it as text stays text, for `data.validate` to type.
    """

    connection: str = Field(min_length=1)
    query: str | None = Field(default=None, min_length=1)
    table: str | None = Field(default=None, min_length=1)
    parameters: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    watermark: Watermark | None = None


class SqlRead(TableProcessor[SqlReadConfig]):
    """Streams the rows of a database into a Parquet table; few of them are in memory at a time."""

    config_model = SqlReadConfig

    def __init__(
        self, *, roots: AllowedRoots, limits: EngineLimits, clock: Clock, connections: Connections
    ) -> None:
        """Take what every processor of tables takes, and databases by name."""
        super().__init__(roots=roots, limits=limits, clock=clock)
        self._connections = connections

    def faults(self, config: SqlReadConfig) -> Iterable[ConfigFault]:
        """Return what is wrong with the query, as far as its text tells."""
        if (config.query is None) == (config.table is None):
            yield ConfigFault(path="", message="give either query or table")
        if config.query is None and config.parameters:
            yield ConfigFault(path="parameters", message="they are for a query")
        if config.query is not None and (fault := fault_of(config.query)):
            yield ConfigFault(path="query", message=fault)

    def run(self, inputs: Inputs, config: SqlReadConfig) -> ProcessingResult:
        """Read the rows; ProcessingError has the database's message, in one line."""
        workspace = inputs.workspace
        with workspace.scratch() as scratch, workspace.publish(TABLE) as part:
            lines = scratch / "rows.jsonl"
            with self._connections.open(config.connection, is_read_only=True) as engine:
                found = _read(engine, config, inputs.watermark, lines)
            bytes_in = lines.stat().st_size
            with self.engine(inputs, files=[lines, part]) as connection:
                records = copy_out(connection, found.select, part)
        output = table_output(workspace, records)
        return ProcessingResult(
            output=output,
            records_in=records,
            records_out=records,
            bytes_in=bytes_in,
            bytes_out=output.bytes_out or 0,
            warnings=found.warnings,
            watermark=found.watermark,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read: SQL that gives it, and where the next run goes on."""

    select: str
    warnings: tuple[str, ...]
    watermark: str | None


def _read(engine: Engine, config: SqlReadConfig, last: str | None, lines: Path) -> _Found:
    with engine.connect() as connection:
        _only_read(connection)
        everything = _rows(config)
        wanted, mark = everything, config.watermark
        if mark is not None:
            wanted = after(everything, mark.column, read_mark(last, mark.initial))
        # Asked first: a connection of MySQL's takes no question while it gives rows.
        declared = declared_columns(connection, config.table) if config.table else {}
        with connection.execution_options(yield_per=_BATCH).execute(wanted) as result:
            columns = columns_of_result(connection, result, declared)
            place = None if mark is None else _place(mark.column, columns)
            top: Any = None
            with RowFile(lines, columns) as file:
                for batch in result.partitions():
                    file.write(batch)
                    top = top if place is None else _top(top, batch, place)
        if mark is not None and top is None and connection.dialect.name != "postgresql":
            _learn_types(connection, everything, columns)
        if place is not None and top is not None and _is_collated(connection, columns[place]):
            top = connection.execute(greatest(wanted, columns[place].name)).scalar()
        return _Found(
            select=file.select(),
            warnings=file.warnings(),
            watermark=last if top is None else write_mark(top),
        )


def _only_read(connection: Connection) -> None:
    """Have one snapshot, and let nothing be changed; SQLite was told when it was opened."""
    match connection.dialect.name:
        case "postgresql":
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.exec_driver_sql("SET time_zone = '+00:00'")  # of what it keeps as instants
            connection.commit()


def _rows(config: SqlReadConfig) -> TextClause | Select[Any]:
    if config.query is not None:
        return rows_of_query(config.query, config.parameters)
    return rows_of_table(config.table or "")


def _place(name: str, columns: Sequence[ColumnValues]) -> int:
    names = [column.name for column in columns]
    if name not in names:
        listed = ", ".join(names)
        raise ProcessingError(
            f"watermark: no column {name!r}; there are {listed}{did_you_mean(name, names)}"
        )
    return names.index(name)


def _top(top: Any, batch: Sequence[Sequence[Any]], place: int) -> Any:
    values = [row[place] for row in batch if row[place] is not None]
    try:
        return max(values if top is None else [top, *values], default=None)
    except TypeError as error:
        raise ProcessingError(f"watermark: its values cannot be compared: {error}") from error


def _is_collated(connection: Connection, column: ColumnValues) -> bool:
    """Tell whether the database may order the values otherwise than Python does."""
    return connection.dialect.name != "sqlite" and Kind.TEXT in column.kinds


def _learn_types(
    connection: Connection, rows: TextClause | Select[Any], columns: Sequence[ColumnValues]
) -> None:
    """Give columns without a new row the types that they have in rows read before."""
    for row in connection.execute(first(rows, _SAMPLE)):
        for column, value in zip(columns, row, strict=True):
            column.text(value)
