"""Who turns CSV into Parquet, and that into an aggregate: datamcp's pipelines, and DuckDB alone."""

# ruff: noqa: S608  the names are ours

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from benchmarks.datamcp_stack import DatamcpHost
from benchmarks.pipelines.table_input import INTEGERS, NULLS, SQL, Input, Row
from benchmarks.rival import PATIENCE, Host, Ledger, Pool
from benchmarks.servers import Servers
from benchmarks.tally import WrongResultError
from datamcp.bootstrap.runtime import Runtime
from datamcp.pipelines.definition import ParameterDefinition, PipelineDefinition, TaskDefinition
from datamcp.pipelines.status import RunState
from datamcp.tasks.queues import PIPELINES

CPUS = os.cpu_count() or 1
"""How many files are worked on at once: all cores are used, on either side."""

ALONE = "DuckDB alone"


class TableSide(Protocol):
    """A side that works on files."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def host(self) -> Host:
        """Its worker."""
        ...

    @property
    def ledger(self) -> Ledger | None:
        """What keeps its steps; None where nothing does."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was run with."""
        ...

    def work(self, inputs: Sequence[Input]) -> Any:
        """Make a table and an aggregate of each file, all at once; return what `check` takes."""
        ...

    def check(self, inputs: Sequence[Input], found: Any) -> None:
        """Raise WrongResultError if something is wrong."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class NoHost(Host):
    """A side that is this process itself."""

    def start(self, pool: Pool, slots: int, *, probe: str | None = None) -> None:
        """Start nothing."""

    def _arguments(self, pool: Pool, slots: int) -> list[str]:  # noqa: ARG002  there is no worker
        return []

    def _environment(self, pool: Pool, slots: int) -> Mapping[str, str]:  # noqa: ARG002  likewise
        return {}


class DuckAlone:
    """DuckDB in one process, with a thread for each core, one file after the other."""

    name = ALONE
    ledger: Ledger | None = None
    settings: Mapping[str, Any] = {"threads": CPUS, "compression": "zstd"}

    def __init__(self, folder: Path) -> None:
        """Take an empty folder."""
        self.host = NoHost("duckdb", folder)

    def work(self, inputs: Sequence[Input]) -> list[tuple[int, list[Row]]]:
        """Make a Parquet file of each, and the aggregate of that."""
        return [self._work(one) for one in inputs]

    def _work(self, one: Input) -> tuple[int, list[Row]]:
        import duckdb

        table = self.host.folder / f"{uuid4().hex}.parquet"
        types = ", ".join(
            f"'{name}': '{'BIGINT' if name in INTEGERS else 'VARCHAR'}'" for name in one.columns
        )
        nulls = ", ".join(f"'{value}'" for value in NULLS)
        read = f"read_csv('{one.path}', columns = {{{types}}}, header = true, nullstr = [{nulls}])"
        with duckdb.connect(":memory:", config={"threads": CPUS}) as connection:
            copied = f"copy (select * from {read}) to '{table}' (format parquet, compression zstd)"
            (rows,) = connection.execute(copied).fetchone() or (0,)
            found = connection.execute(SQL.format(table=f"read_parquet('{table}')")).fetchall()
        table.unlink()
        return rows, found

    def check(self, inputs: Sequence[Input], found: Sequence[tuple[int, list[Row]]]) -> None:
        """Raise WrongResultError if an aggregate is wrong."""
        for one, (rows, aggregate) in zip(inputs, found, strict=True):
            one.check(self.name, rows, aggregate)

    def close(self) -> None:
        """Do nothing: connections end with each file."""


class TableHost(DatamcpHost):
    """A worker of the `pipelines` pool, whose steps may read the input."""

    def __init__(self, folder: Path, servers: Servers, inputs: Path) -> None:
        """Take an empty folder, the servers, and where the input is."""
        super().__init__(folder, servers, "postgresql")
        self.chosen["broker.key_prefix"] = "bench-tables:"
        self._places["storage.allowed_roots"] = json.dumps([str(inputs)])

    def _arguments(self, pool: Pool, slots: int) -> list[str]:
        arguments = super()._arguments(pool, slots)
        arguments[arguments.index("--agent") + 1] = PIPELINES
        return [*arguments, "--concurrency", str(slots)]


class DatamcpTables:
    """`file.read`, then `sql.transform`: a run for each file, all at once."""

    name = "datamcp, PostgreSQL"
    ledger: Ledger | None = "postgresql"

    def __init__(self, host: TableHost) -> None:
        """Take the worker; connects, and registers the pipeline."""
        self.host = host
        self.runtime: Runtime = host.connect()
        self.runtime.pipelines.sync.register_pipeline(TABLES)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return what differs from the defaults."""
        return {**self.host.chosen, "slots": CPUS}

    def work(self, inputs: Sequence[Input]) -> list[Mapping[str, Any]]:
        """Run the pipeline for each, and return the outputs of its steps."""
        pipelines = self.runtime.pipelines.sync
        started = [
            pipelines.trigger_pipeline(TABLES.pipeline_id, {"path": str(one.path)})
            for one in inputs
        ]
        ended = [pipelines.wait(run_id, PATIENCE) for run_id in started]
        for status in ended:
            if status.state is not RunState.SUCCEEDED:
                raise WrongResultError(f"{self.name}: {status.state}, {status.error_message}")
        return [status.tasks for status in ended]

    def check(self, inputs: Sequence[Input], found: Sequence[Mapping[str, Any]]) -> None:
        """Raise WrongResultError if an aggregate is wrong; remove the tables."""
        import duckdb

        for one, steps in zip(inputs, found, strict=True):
            table = steps["aggregate"].output
            with duckdb.connect(":memory:") as connection:
                rows = connection.execute(f"select * from read_parquet('{table}')").fetchall()
            one.check(self.name, steps["flights"].records_out or 0, rows)
            for step in steps.values():
                Path(step.output).unlink()

    def close(self) -> None:
        """Close connections."""
        self.runtime.close()


TABLES = PipelineDefinition(
    pipeline_id="tables",
    parameters={"path": ParameterDefinition(type="string")},
    tasks=(
        TaskDefinition(
            task_id="flights",
            processor="file.read",
            configuration={
                "path": "${parameters.path}",
                "null_values": list(NULLS),
                "types": dict.fromkeys(sorted(INTEGERS), "integer"),
            },
        ),
        TaskDefinition(
            task_id="aggregate",
            processor="sql.transform",
            input_sources=("flights",),
            configuration={"sql": SQL.format(table="flights")},
        ),
    ),
)
"""What our side runs for each file."""
