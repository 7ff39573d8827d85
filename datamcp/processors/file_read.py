"""`file.read`: CSV, Parquet or JSON lines files become one table of the run."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from datamcp.errors import ProcessingError
from datamcp.processors.column_type import NUMBERS, ColumnType, cast, of_number
from datamcp.processors.csv_file import check_gzip, has_underscores, read_header, select_csv
from datamcp.processors.engine import (
    columns_of,
    copy_out,
    count_records,
    identifier,
    literal,
    parquet,
    parquets,
)
from datamcp.processors.file_fault import explain
from datamcp.processors.file_format import FileFormat, format_of, is_gzip
from datamcp.processors.file_sources import Source, find_sources
from datamcp.processors.processor import Inputs, ProcessingConfig, ProcessingResult
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class FileReadConfig(ProcessingConfig):
    """Which files, and how to read them.

    `path` lies inside `storage.allowed_roots` or is shipped input (`data/…`); a URL such as
    `s3://bucket/in/a.csv` begins as one of them does. With `*`, `?`, `[…]` or `**` it means all
    files that it finds, at most 5,000: their rows follow each other in the order of the files'
    names. They must have the same columns, in any order; with `union: by_name` a column that a file
    lacks is empty there. `filename_column` adds a column that tells the file, from the first folder
    with a wildcard on. Columns of CSV are text unless `types` says otherwise; a value that is not
    of its type fails the step (`data.validate` sets such rows aside instead). `delimiter` and
    `null_values` are for CSV.
    """

    path: str = Field(min_length=1)
    format: FileFormat | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    null_values: list[str] = Field(default_factory=lambda: [""])
    types: dict[str, ColumnType] = Field(default_factory=dict)
    union: Literal["by_name"] | None = None
    filename_column: str | None = Field(default=None, min_length=1)


class FileRead(TableProcessor[FileReadConfig]):
    """Reads files of a known format into one Parquet table."""

    config_model = FileReadConfig

    def run(self, inputs: Inputs, config: FileReadConfig) -> ProcessingResult:
        """Read the files; ProcessingError names the file, and the line where it is known."""
        workspace = inputs.workspace
        with workspace.scratch() as scratch, workspace.publish(TABLE) as part:
            sources = find_sources(config.path, self._roots, scratch)
            is_one = len(sources) == 1
            pieces = [part] if is_one else [scratch / f"{n}.parquet" for n in range(len(sources))]
            files = [*(source.place for source in sources), *pieces, part]
            with self.engine(inputs, files=files) as connection:
                bytes_in = sum(
                    _read(connection, source, config, piece)
                    for source, piece in zip(sources, pieces, strict=True)
                )
                _check_columns(connection, sources, pieces, config)
                if not is_one:
                    copy_out(connection, f"select * from {parquets(pieces)}", part)
                records = count_records(connection, part)
        output = table_output(workspace, records)
        return ProcessingResult(
            output=output,
            records_in=records,
            records_out=records,
            bytes_in=bytes_in,
            bytes_out=output.bytes_out or 0,
        )


def _read(
    connection: "DuckDBPyConnection", source: Source, config: FileReadConfig, piece: Path
) -> int:
    """Make a table of one file, and return the file's bytes."""
    with source.at_hand() as path:
        numbers = _readable_numbers(path, config)
        if numbers:
            with suppress(ProcessingError):  # what is wrong, and where, is found by way of the text
                _convert(connection, path, source, config, piece, numbers)
                return path.stat().st_size
        _convert(connection, path, source, config, piece)
        return path.stat().st_size


def _convert(
    connection: "DuckDBPyConnection",
    path: Path,
    source: Source,
    config: FileReadConfig,
    piece: Path,
    numbers: Collection[str] = (),
) -> None:
    select = _named(connection, _selection(path, config, numbers), source, config)
    convert(connection, path, _typed(connection, select, config, numbers), piece)


def _readable_numbers(path: Path, config: FileReadConfig) -> frozenset[str]:
    """Return columns of numbers that DuckDB may read itself, much faster than by way of text.

    None where it might take for a number what `cast` does not.
    """
    names = frozenset(name for name, kind in config.types.items() if kind in NUMBERS)
    is_plain = format_of(path.name, config.format) is FileFormat.CSV and not is_gzip(path.name)
    return names if names and is_plain and not has_underscores(path) else frozenset()


def _named(
    connection: "DuckDBPyConnection", select: str, source: Source, config: FileReadConfig
) -> str:
    name = config.filename_column
    if name is None:
        return select
    if name.lower() in {column.lower() for column in columns_of(connection, f"({select})")}:
        raise ProcessingError(f"filename_column: {source.place.name} has a column {name!r} already")
    return f"select *, {literal(source.name)} as {identifier(name)} from ({select})"


def _check_columns(
    connection: "DuckDBPyConnection",
    sources: Sequence[Source],
    pieces: Sequence[Path],
    config: FileReadConfig,
) -> None:
    """ProcessingError for a file whose columns are others, and for types of none."""
    found = [columns_of(connection, parquet(piece)) for piece in pieces]
    for source, columns in zip(sources, found, strict=True):
        differing = sorted({*columns} ^ {*found[0]})
        if differing and config.union is None:
            raise ProcessingError(
                f"{source.name}: its columns are not those of {sources[0].name}: one of them has "
                f"no {', '.join(map(repr, differing))}; to allow that, set union: by_name"
            )
    unknown = sorted(set(config.types) - {name for columns in found for name in columns})
    if unknown:
        raise ProcessingError(f"types: no column {', '.join(map(repr, unknown))} in {config.path}")


def _selection(source: Path, config: FileReadConfig, numbers: Collection[str]) -> str:
    name = literal(str(source))
    match format_of(source.name, config.format):
        case FileFormat.CSV:
            names = read_header(source, config.delimiter)
            if is_gzip(source.name):
                check_gzip(source)
            return select_csv(
                source,
                names,
                delimiter=config.delimiter,
                null_values=config.null_values,
                numbers=numbers,
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


def _typed(
    connection: "DuckDBPyConnection", select: str, config: FileReadConfig, numbers: Collection[str]
) -> str:
    if not config.types:
        return select
    names = columns_of(connection, f"({select})")
    columns = ", ".join(
        _column(name, config.types.get(name), is_number=name in numbers) for name in names
    )
    return f"select {columns} from (select *, row_number() over () as {_ROW} from ({select}))"


def _column(name: str, column_type: ColumnType | None, *, is_number: bool) -> str:
    column = identifier(name)
    if column_type is None:
        return column
    text = f"cast({column} as varchar)"
    value = of_number(column, column_type) if is_number else cast(text, column_type)
    said = f"'row ' || {_ROW} || ': {name.replace(chr(39), chr(39) * 2)}: ''' || {text} || ''' is not of type {column_type}'"
    refused = f"case when {column} is not null then error({said}) end"
    return f"coalesce({value}, {refused}) as {column}"


def convert(connection: "DuckDBPyConnection", source: Path, select: str, piece: Path) -> int:
    """Write what is selected from a file to another one, and return how many rows there are.

    ProcessingError says what is wrong with the file, and where.
    """
    import duckdb

    try:
        return copy_out(connection, select, piece)
    except duckdb.Error as error:
        raise ProcessingError(explain(source, str(error))) from error


_ROW = '"row of the file"'
