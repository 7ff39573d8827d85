"""`file.read`: a CSV, Parquet or JSON lines file becomes a table of the run."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from datamcp.errors import ProcessingError
from datamcp.processors.column_type import ColumnType, cast
from datamcp.processors.csv_file import check_gzip, read_header, select_csv
from datamcp.processors.engine import (
    columns_of,
    copy_out,
    identifier,
    literal,
    parquet,
    refuse_wildcards,
)
from datamcp.processors.file_fault import explain
from datamcp.processors.file_format import FileFormat, format_of, is_gzip
from datamcp.processors.processor import Inputs, ProcessingConfig, ProcessingResult
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class FileReadConfig(ProcessingConfig):
    """Which file, and how to read it.

    `path` lies inside `storage.allowed_roots` or is shipped input (`data/…`). Columns of CSV are
    text unless `types` says otherwise; a value that is not of its type fails the step
    (`data.validate` sets such rows aside instead). `delimiter` and `null_values` are for CSV.
    """

    path: str = Field(min_length=1)
    format: FileFormat | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    null_values: list[str] = Field(default_factory=lambda: [""])
    types: dict[str, ColumnType] = Field(default_factory=dict)


class FileRead(TableProcessor[FileReadConfig]):
    """Reads one file of a known format into a Parquet table."""

    config_model = FileReadConfig

    def run(self, inputs: Inputs, config: FileReadConfig) -> ProcessingResult:
        """Read the file; ProcessingError names the file, and the line where it is known."""
        source = self._roots.resolve(config.path)
        refuse_wildcards(source)
        select = _selection(source, config)
        with (
            inputs.workspace.publish(TABLE) as part,
            self.engine(inputs, files=[source, part]) as connection,
        ):
            records = _convert(connection, source, _typed(connection, select, config), part)
        output = table_output(inputs.workspace.path_of(TABLE), records)
        return ProcessingResult(
            output=output,
            records_in=records,
            records_out=records,
            bytes_in=source.stat().st_size,
            bytes_out=output.bytes_out or 0,
        )


def _selection(source: Path, config: FileReadConfig) -> str:
    name = literal(str(source))
    match format_of(source.name, config.format):
        case FileFormat.CSV:
            names = read_header(source, config.delimiter)
            if is_gzip(source.name):
                check_gzip(source)
            return select_csv(
                source, names, delimiter=config.delimiter, null_values=config.null_values
            )
        case FileFormat.JSONL:
            if is_gzip(source.name):
                check_gzip(source)
            compression = "gzip" if is_gzip(source.name) else "none"
            return (
                f"select * from read_json({name}, format = 'newline_delimited', records = true, "
                f"sample_size = -1, compression = '{compression}', hive_partitioning = false)"
            )
        case FileFormat.PARQUET:
            return f"select * from {parquet(source)}"


def _typed(connection: "DuckDBPyConnection", select: str, config: FileReadConfig) -> str:
    if not config.types:
        return select
    names = columns_of(connection, f"({select})")
    unknown = sorted(set(config.types) - set(names))
    if unknown:
        raise ProcessingError(f"types: no column {', '.join(map(repr, unknown))} in {config.path}")
    columns = ", ".join(_column(name, config.types.get(name)) for name in names)
    return f"select {columns} from (select *, row_number() over () as {_ROW} from ({select}))"


def _column(name: str, column_type: ColumnType | None) -> str:
    column = identifier(name)
    if column_type is None:
        return column
    text = f"cast({column} as varchar)"
    value = cast(text, column_type)
    said = f"'row ' || {_ROW} || ': {name.replace(chr(39), chr(39) * 2)}: ''' || {text} || ''' is not of type {column_type}'"
    return (
        f"case when {column} is not null and ({value}) is null then error({said}) "
        f"else {value} end as {column}"
    )


def _convert(connection: "DuckDBPyConnection", source: Path, select: str, part: Path) -> int:
    import duckdb

    try:
        return copy_out(connection, select, part)
    except duckdb.Error as error:
        raise ProcessingError(explain(source, str(error))) from error


_ROW = '"row of the file"'
