"""Tables of prices, read; tables of results, written."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from datamcp.agent_types.markets.panel import Panel
from datamcp.agent_types.markets.series import Columns, Series
from datamcp.agent_types.markets.signals import MarketSignals
from datamcp.errors import ProcessingError
from datamcp.processors.column_type import ColumnType, cast
from datamcp.processors.csv_file import check_gzip, read_header, select_csv
from datamcp.processors.engine import (
    EngineLimits,
    columns_of,
    copy_out,
    identifier,
    open_engine,
    parquet,
    refuse_wildcards,
)
from datamcp.processors.file_fault import explain
from datamcp.processors.file_format import FileFormat, format_of, is_gzip
from datamcp.storage.artifacts import Workspace

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LIMITS = EngineLimits(threads=1, memory_limit="512MB")

_ROW = '"row of the table"'


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """What a table calls its columns; capital letters count as small ones.

    Highs, lows and volumes that are not named are read from `high`, `low` and `volume`, where the
    table has these.
    """

    date: str
    close: str
    high: str | None = None
    low: str | None = None
    volume: str | None = None


def read_prices(path: Path, names: ColumnNames, workspace: Workspace) -> Columns:
    """Read the columns of a Parquet or CSV file, `.csv.gz` too; oldest row first, unchecked.

    Raises ProcessingError if the file can't be read, lacks a column, or has a value that is no
    date (ISO 8601) or no finite number.
    """
    import duckdb

    if path.is_dir():
        raise ProcessingError(f"{path.name} is a folder; prices are read from one file")
    refuse_wildcards(path)
    source = _source(path)
    with _engine(workspace, [path]) as connection:
        try:
            wanted = _wanted(path, names, columns_of(connection, source))
            rows = connection.execute(_selection(wanted, source)).fetchall()
        except duckdb.Error as error:
            raise ProcessingError(explain(path, str(error))) from error
    read = dict(zip(wanted, zip(*rows, strict=True), strict=True)) if rows else {}
    return Columns(
        dates=read.get("date", ()),
        close=read.get("close", ()),
        high=read.get("high"),
        low=read.get("low"),
        volume=read.get("volume"),
    )


@contextmanager
def _engine(workspace: Workspace, files: Sequence[Path]) -> "Iterator[DuckDBPyConnection]":
    with (
        workspace.scratch() as scratch,
        open_engine(_LIMITS, scratch=scratch, files=files) as connection,
    ):
        yield connection


def _source(path: Path) -> str:
    match format_of(path.name, None):
        case FileFormat.PARQUET:
            return parquet(path)
        case FileFormat.CSV:
            names = read_header(path, ",")
            if is_gzip(path.name):
                check_gzip(path)
            return f"({select_csv(path, names, delimiter=',', null_values=[''])})"
    raise ProcessingError(f"{path.name}: prices are read from Parquet or CSV; see file.read")


def _wanted(path: Path, names: ColumnNames, there: Sequence[str]) -> dict[str, str]:
    """Return the table's own names of the columns to read, by what they hold."""
    own = {name.lower(): name for name in there}
    asked = {
        "date": names.date,
        "close": names.close,
        "high": names.high or "high",
        "low": names.low or "low",
        "volume": names.volume or "volume",
    }
    optional = {name for name in ("high", "low", "volume") if getattr(names, name) is None}
    for what, name in asked.items():
        if name.lower() not in own and what not in optional:
            raise ProcessingError(
                f"{path.name} has no column {name!r}; it has {', '.join(there)}; set {what}_column"
            )
    return {what: own[name.lower()] for what, name in asked.items() if name.lower() in own}


def _selection(wanted: Mapping[str, str], source: str) -> str:
    kinds = {"date": ColumnType.TIMESTAMP}
    values = [_value(name, kinds.get(what, ColumnType.NUMBER)) for what, name in wanted.items()]
    numbered = f"select *, row_number() over () as {_ROW} from {source}"
    return f"select {', '.join(values)} from ({numbered}) order by {_ROW}"


def _value(name: str, kind: ColumnType) -> str:
    text = f"cast({identifier(name)} as varchar)"
    value = cast(text, kind)
    meant = "a date" if kind is ColumnType.TIMESTAMP else "a finite number"
    said = f"'row ' || {_ROW} || ': {name.replace(chr(39), chr(39) * 2)}: ''' || {text} || ''' is not {meant}'"
    return f"case when {text} is not null and ({value}) is null then error({said}) else {value} end"


def write_panel(path: Path, series: Series, indicators: Panel, workspace: Workspace) -> int:
    """Write a row for each price: date, close and every indicator that the series allows.

    Returns how many rows there are.
    """
    columns = {
        "close": _Typed("double", series.close),
        **{
            name: _Typed("double", one.values)
            for name, one in indicators.items()
            if one.values is not None
        },
    }
    return _write(path, {**_dated(series.dates), **columns}, workspace)


def write_signals(path: Path, found: MarketSignals, workspace: Workspace) -> int:
    """Write a row for each signal; the names of its rules are joined with `, `."""
    signals = found.signals
    dates = [signal.date for signal in signals if signal.date is not None]
    columns = {
        "row": _Typed("bigint", [signal.row for signal in signals]),
        "price": _Typed("double", [signal.price for signal in signals]),
        "action": _Typed("varchar", [signal.action for signal in signals]),
        "strength": _Typed("double", [signal.strength for signal in signals]),
        "rules": _Typed(
            "varchar", [", ".join(word.rule for word in signal.rules) for signal in signals]
        ),
    }
    return _write(path, {**_dated(dates if found.first_date else None), **columns}, workspace)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A column: its type in SQL, and its values."""

    sql_type: str
    values: Sequence[object]


def _dated(dates: Sequence[date] | None) -> dict[str, _Typed]:
    if dates is None:
        return {}
    is_instant = any(isinstance(one, datetime) for one in dates)
    return {"date": _Typed("timestamp" if is_instant else "date", dates)}


def _write(path: Path, columns: Mapping[str, _Typed], workspace: Workspace) -> int:
    named = ", ".join(
        f"unnest(cast(? as {column.sql_type}[])) as {identifier(name)}"
        for name, column in columns.items()
    )
    with _engine(workspace, [path]) as connection:
        connection.execute(
            f"create temp table result as select {named}",
            [list(column.values) for column in columns.values()],
        )
        return copy_out(connection, "select * from result", path)
