"""`sql.transform`: one SELECT over the tables of the upstream steps."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from datamcp.errors import ProcessingError
from datamcp.processors.engine import copy_out, count_records, identifier, one_line, parquet
from datamcp.processors.processor import Inputs, ProcessingConfig, ProcessingResult
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output, table_path
from datamcp.types import JSONValue

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE_FUNCTIONS = frozenset(
    {"generate_series", "json_each", "json_tree", "range", "repeat", "unnest"}
)
"""The table functions that SQL may call. The others read files, raw memory or the engine itself."""


class SqlTransformConfig(ProcessingConfig):
    """One SELECT in DuckDB's dialect; each input is a table named after its step.

    The SQL reads its inputs and nothing else: no file, no network, no setting, no extension.
    """

    sql: str = Field(min_length=1)
    engine: Literal["duckdb"] = "duckdb"


class SqlTransform(TableProcessor[SqlTransformConfig]):
    """Runs one SELECT and keeps its rows, in order, as a Parquet table."""

    config_model = SqlTransformConfig

    def run(self, inputs: Inputs, config: SqlTransformConfig) -> ProcessingResult:
        """Run the SQL; ProcessingError has DuckDB's message if it is wrong."""
        tables = {step: table_path(step, output) for step, output in inputs.outputs.items()}
        with (
            inputs.workspace.publish(TABLE) as part,
            self.engine(inputs, files=[*tables.values(), part]) as connection,
        ):
            _refuse_unsafe(connection, config.sql)
            records_in = sum(count_records(connection, path) for path in tables.values())
            _name_tables(connection, tables)
            records = copy_out(connection, config.sql.strip().rstrip(";"), part)
        output = table_output(inputs.workspace, records)
        return ProcessingResult(
            output=output,
            records_in=records_in,
            records_out=records,
            bytes_in=sum(path.stat().st_size for path in tables.values()),
            bytes_out=output.bytes_out or 0,
        )


def _refuse_unsafe(connection: "DuckDBPyConnection", sql: str) -> None:
    row = connection.execute("select json_serialize_sql(cast(? as varchar))", [sql]).fetchone()
    parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if parsed["error"]:
        reason = one_line(str(parsed.get("error_message", "it cannot be parsed")))
        raise ProcessingError(f"sql must be one SELECT: {reason}")
    if len(parsed["statements"]) != 1:
        raise ProcessingError(f"sql must be one SELECT, got {len(parsed['statements'])} statements")
    forbidden = sorted(set(_table_functions(parsed)) - TABLE_FUNCTIONS)
    if forbidden:
        raise ProcessingError(
            f"sql may read its inputs only, and may not call {', '.join(forbidden)}"
        )


def _table_functions(node: JSONValue) -> Iterator[str]:
    """Walk the parsed statement for the table functions that it calls."""
    if isinstance(node, Mapping):
        function = node.get("function")
        if node.get("type") == "TABLE_FUNCTION" and isinstance(function, Mapping):
            yield str(function.get("function_name", "")).lower()
        for child in node.values():
            yield from _table_functions(child)
    elif isinstance(node, list):
        for child in node:
            yield from _table_functions(child)


def _name_tables(connection: "DuckDBPyConnection", tables: Mapping[str, Path]) -> None:
    for step, path in tables.items():
        connection.execute(f"create view {identifier(step)} as select * from {parquet(path)}")
