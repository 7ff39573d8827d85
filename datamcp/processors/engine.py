"""DuckDB, the engine of the table processors: opened locked, asked, and its errors translated.

A connection lives for one step, in memory; what does not fit is spilled to the step's scratch
folder. It may touch only the files named when it is opened, reach no network and load no
extension, and its settings are locked (https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).
DuckDB is imported when a step runs, because its threads do not survive a fork.
"""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datamcp.errors import ProcessingError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PARQUET = "format parquet, compression zstd"
"""How tables are written between steps."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What one engine may use: threads, and memory as DuckDB writes sizes (`"512MB"`)."""

    threads: int
    memory_limit: str


@contextmanager
def open_engine(
    limits: EngineLimits, *, scratch: Path, files: Sequence[Path]
) -> Iterator["DuckDBPyConnection"]:
    """Give a connection that may read and write `files` and spill to `scratch`, and no more."""
    import duckdb

    connection = duckdb.connect(":memory:", config=_settings(limits, scratch))
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_progress_bar = false")  # it would write to stdout
        connection.execute(f"set allowed_paths = [{', '.join(literal(str(f)) for f in files)}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
    except duckdb.Error as error:
        raise ProcessingError(one_line(str(error))) from error
    finally:
        connection.close()


def _settings(
    limits: EngineLimits, scratch: Path
) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "threads": limits.threads,
        "memory_limit": limits.memory_limit,
        "temp_directory": str(scratch),
        "python_enable_replacements": False,  # SQL sees no variable of this program
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def copy_out(
    connection: "DuckDBPyConnection", query: str, path: Path, *, options: str = PARQUET
) -> int:
    """Write the rows of `query` to `path`, in order, and return how many there were."""
    target = f"{literal(str(path))} ({options}, use_tmp_file false)"
    return count(connection, f"copy ({query}\n) to {target}")


def count(connection: "DuckDBPyConnection", statement: str) -> int:
    """Return the number that `statement` answers with."""
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def count_records(connection: "DuckDBPyConnection", path: Path) -> int:
    """Return how many rows a Parquet file has; reads its footer only."""
    source = f"parquet_file_metadata({literal(str(path))})"
    return count(connection, f"select coalesce(sum(num_rows), 0)::bigint from {source}")


def parquet(path: Path, options: str = "") -> str:
    """Return the SQL of a Parquet file as a table; its columns are those of the file only."""
    return f"read_parquet({literal(str(path))}, hive_partitioning = false{options})"


def parquets(paths: Sequence[Path]) -> str:
    """Return the SQL of several Parquet files, one below the other, as a table of all columns."""
    listed = ", ".join(literal(str(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def refuse_wildcards(path: Path) -> None:
    """ProcessingError for a path in which DuckDB would see a pattern for many files."""
    if set("*?[") & set(str(path)):
        raise ProcessingError(f"cannot read {str(path)!r}: a path may not have any of * ? [")


def columns_of(connection: "DuckDBPyConnection", table: str) -> list[str]:
    """Return the names of a table's columns, in order; `table` is SQL."""
    return [
        column[0] for column in connection.execute(f"select * from {table} limit 0").description
    ]


def columns_of_file(path: Path) -> dict[str, str]:
    """Return the names and types of the columns of a Parquet file; reads its footer only.

    ProcessingError if it is none.
    """
    limits = EngineLimits(threads=1, memory_limit="256MB")
    with open_engine(limits, scratch=path.parent, files=[path]) as connection:
        described = connection.execute(f"describe select * from {parquet(path)}").fetchall()
    return {str(name): str(kind) for name, kind, *_ in described}


def identifier(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def one_line(message: str) -> str:
    """Return DuckDB's message as one line, without its picture of the statement."""
    told, _, picture = message.partition("\n\nLINE ")
    line = re.match(r"\d+", picture)
    said = re.sub(r"\s+", " ", told).strip()
    return f"{said} (line {line.group()})" if line else said
