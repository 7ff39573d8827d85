"""`data.validate`: gives columns their types and sets aside the rows that break a rule."""

# ruff: noqa: S608  every name and text goes through identifier() and literal()

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StrictFloat, StrictInt

from datamcp.errors import ProcessingError
from datamcp.processors.engine import (
    columns_of,
    copy_out,
    count,
    count_records,
    identifier,
    parquet,
)
from datamcp.processors.processor import (
    ConfigFault,
    Inputs,
    ProcessingConfig,
    ProcessingResult,
)
from datamcp.processors.rules import (
    BROKEN,
    CHECKED,
    Broken,
    ColumnRules,
    TableRules,
    checked,
    duplicates,
    failures,
    fault_of,
    kept,
    sentence,
)
from datamcp.processors.table_processor import TABLE, TableProcessor, table_output, table_path
from datamcp.storage.artifacts import Workspace

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REJECTS = "rejects.parquet"
"""Names the table of what was wrong: row (the first data row is 1), column, rule, value."""


class DataValidateConfig(ProcessingConfig):
    """What a good row is.

    Every column named here must be in the input; other columns pass as they are. `key` columns
    may not be empty, and of several rows with one key the first is kept. `references` maps a
    column to `step.column` of another input; an empty value refers to nothing and is fine.
    `input` names the step to check, where that is not the only input without references to it.
    The step fails if more than `max_rejected` rows break a rule: a count, or a fraction below 1.
    """

    columns: dict[str, ColumnRules] = Field(default_factory=dict)
    key: list[str] = Field(default_factory=list)
    references: dict[str, Annotated[str, Field(pattern=r"^[^.]+\..+$")]] = Field(
        default_factory=dict
    )
    input: str | None = None
    max_rejected: (
        Annotated[StrictInt, Field(ge=0)] | Annotated[StrictFloat, Field(ge=0, lt=1)] | None
    ) = None


class DataValidate(TableProcessor[DataValidateConfig]):
    """Splits its input in a table of typed, good rows and a table of what was wrong."""

    config_model = DataValidateConfig

    def faults(self, config: DataValidateConfig) -> Iterable[ConfigFault]:
        """Return the rules that can never be checked: limits out of order, patterns that are none."""
        for name, rules in config.columns.items():
            if message := fault_of(rules):
                yield ConfigFault(path=f"columns.{name}", message=message)

    def run(self, inputs: Inputs, config: DataValidateConfig) -> ProcessingResult:
        """Check every row; ProcessingError if a column is missing or too many rows are bad."""
        tables = {step: table_path(step, output) for step, output in inputs.outputs.items()}
        step_id = _step_to_check(config, list(tables))
        workspace = inputs.workspace
        with workspace.publish(TABLE) as part:
            with (
                workspace.publish(REJECTS) as rejects,
                self.engine(inputs, files=[*tables.values(), part, rejects]) as connection,
            ):
                rules = _rules(connection, config, tables)
                found = _set_aside(connection, rules, tables[step_id], step_id, rejects)
                told = sentence(found.rejected, found.broken, rules, config.references)
                is_fatal = _is_too_many(found, config.max_rejected)
                if not is_fatal:
                    copy_out(connection, kept(rules, found.columns), part)
            if is_fatal:
                raise ProcessingError(
                    f"{told}; of {found.records:,} rows, more than max_rejected = "
                    f"{config.max_rejected} allows; see {workspace.path_of(REJECTS)}"
                )
        return _result(found, tables[step_id], workspace, warning=told)


@dataclass(frozen=True, slots=True)
class _Found:
    """What checking a table has shown."""

    columns: Sequence[str]
    records: int
    rejected: int
    broken: Sequence[Broken]


def _step_to_check(config: DataValidateConfig, steps: Sequence[str]) -> str:
    if config.input is not None:
        if config.input not in steps:
            raise ProcessingError(f"input: {config.input!r} is not an input of this step")
        return config.input
    referred = {_target(target, steps)[0] for target in config.references.values()}
    left = [step for step in steps if step not in referred]
    if len(left) != 1:
        raise ProcessingError(
            f"input: say which step to check; {', '.join(left) or 'none'} could be meant"
        )
    return left[0]


def _target(target: str, steps: Sequence[str]) -> tuple[str, str]:
    """Split `step.column`; both may have dots, so the longest step that is an input wins."""
    known = [step for step in steps if target.startswith(f"{step}.")]
    step = max(known, key=len, default=target.partition(".")[0])
    return step, target[len(step) + 1 :]


def _rules(
    connection: "DuckDBPyConnection", config: DataValidateConfig, tables: Mapping[str, Path]
) -> TableRules:
    references = {
        column: _known_values(connection, column, target, tables)
        for column, target in config.references.items()
    }
    return TableRules(columns=config.columns, key=config.key, references=references)


def _known_values(
    connection: "DuckDBPyConnection", column: str, target: str, tables: Mapping[str, Path]
) -> str:
    step, name = _target(target, list(tables))
    if step not in tables:
        raise ProcessingError(f"references.{column}: {step!r} is not an input of this step")
    source = parquet(tables[step])
    if name not in columns_of(connection, source):
        raise ProcessingError(f"references.{column}: step {step!r} has no column {name!r}")
    known = identifier(name)
    return f"select cast({known} as varchar) from {source} where {known} is not null"


def _set_aside(
    connection: "DuckDBPyConnection", rules: TableRules, table: Path, step_id: str, rejects: Path
) -> _Found:
    """Find every broken rule once, and write the list; the rows stay where they are."""
    columns = columns_of(connection, parquet(table))
    missing = [name for name in rules.by_column() if name not in columns]
    if missing:
        listed = ", ".join(map(repr, missing))
        raise ProcessingError(
            f"step {step_id!r} has no column {listed}; it has {', '.join(columns)}"
        )
    source = parquet(table, ", file_row_number = true")
    connection.execute(f"create view {CHECKED} as {checked(rules, source)}")
    connection.execute(f"create temp table {BROKEN} as {failures(rules)}")
    if rules.key:
        connection.execute(f"insert into {BROKEN} {duplicates(rules.key)}")
    copy_out(connection, f"select * from {BROKEN} order by all", rejects)
    return _Found(
        columns=columns,
        records=count_records(connection, table),
        rejected=count(connection, f"select count(distinct row) from {BROKEN}"),
        broken=_counted(connection),
    )


def _counted(connection: "DuckDBPyConnection") -> list[Broken]:
    rows = connection.execute(
        f'select "column", rule, count(*) from {BROKEN} group by all order by 3 desc, 1, 2'
    ).fetchall()
    return [Broken(*row) for row in rows]


def _is_too_many(found: _Found, limit: float | None) -> bool:
    if limit is None:
        return False
    allowed = limit if isinstance(limit, int) else limit * found.records
    return found.rejected > allowed


def _result(found: _Found, source: Path, workspace: Workspace, *, warning: str) -> ProcessingResult:
    value = {
        "records_rejected": found.rejected,
        "rejects": workspace.path_of(REJECTS),
    }
    table = table_output(workspace, found.records - found.rejected)
    return ProcessingResult(
        output=table.model_copy(update={"value": value}),
        records_in=found.records,
        records_out=found.records - found.rejected,
        records_rejected=found.rejected,
        bytes_in=source.stat().st_size,
        bytes_out=table.bytes_out or 0,
        warnings=(warning,) if found.rejected else (),
    )
