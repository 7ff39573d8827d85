"""Databases in pipelines: their connections, the task's id, and what is told of failures."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.inline import calculating, copied

from datamcp import PipelineDefinition, TaskDefinition
from datamcp.errors import InvalidPipelineError
from datamcp.pipelines.status import RunState
from datamcp.testing import InlineRuntime, drain


@pytest.fixture
def runtime(sqlite_template: Path, tmp_path: Path) -> Iterator[InlineRuntime]:
    """Have a runtime that knows a SQLite file as `shop`, with a table of orders."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as made, made:
        made.execute("create table orders (id integer primary key, name text)")
        made.executemany("insert into orders values (?, ?)", [(1, "a"), (2, "b"), (3, "b")])
    settings = {
        "storage.allowed_roots": json.dumps([str(tmp_path)]),
        "integrations.shop.type": "sqlite",
        "integrations.shop.url": f"sqlite:///{tmp_path}/shop.db",
    }
    with calculating(tmp_path / "state", copied(sqlite_template, tmp_path), **settings) as runtime:
        yield runtime


def run(runtime: InlineRuntime, *steps: dict[str, Any], **parameters: Any) -> RunState:
    """Run these steps one after the other, and return how the run ended."""
    tasks = tuple(TaskDefinition.model_validate(step) for step in steps)
    given = {name: {"type": "string"} for name in parameters}
    definition = PipelineDefinition.model_validate(
        {"pipeline_id": "copy", "tasks": tasks, "parameters": given}
    )
    runtime.pipelines.sync.register_pipeline(definition)
    run_id = runtime.pipelines.sync.trigger_pipeline("copy", parameters)
    drain(runtime)
    status = runtime.pipelines.sync.monitor_execution(run_id)
    return status.state


def rows(tmp_path: Path, query: str) -> list[Any]:
    """Return what the shop answers."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        return connection.execute(query).fetchall()


READ = {
    "task_id": "orders",
    "processor": "sql.read",
    "configuration": {
        "connection": "shop",
        "query": "select id, name from orders where name = :name",
        "parameters": {"name": "${parameters.name}"},
    },
}
WRITE = {
    "task_id": "found",
    "processor": "sql.write",
    "input_sources": ["orders"],
    "configuration": {"connection": "shop", "table": "found"},
}


def test_rows_go_from_table_to_table(runtime: InlineRuntime, tmp_path: Path) -> None:
    """A value of the run is bound; what was written is noted under the step's task."""
    assert run(runtime, READ, WRITE, name="b") is RunState.SUCCEEDED
    assert rows(tmp_path, "select * from found") == [(2, "b"), (3, "b")]
    [[write_id]] = rows(tmp_path, "select write_id from datamcp_writes")
    assert runtime.tasks.status(write_id).state == "succeeded"
    assert run(runtime, READ, WRITE, name="b' or 'a' = 'a") is RunState.SUCCEEDED
    assert rows(tmp_path, "select count(*) from found") == [(2,)]


def test_a_run_s_value_is_never_part_of_a_query(runtime: InlineRuntime) -> None:
    """A reference in the text of a query is refused before anything is registered."""
    query = "select id from orders where name = '${parameters.name}'"
    step = {**READ, "configuration": {"connection": "shop", "query": query}}
    with pytest.raises(InvalidPipelineError, match=r"configuration\.query: a query takes no refer"):
        run(runtime, step, name="b")


def test_an_unknown_connection_is_told(runtime: InlineRuntime) -> None:
    """The step ends with one line that names those that are there."""
    step = {"task_id": "a", "processor": "sql.read"}
    assert (
        run(runtime, {**step, "configuration": {"connection": "shopp", "table": "orders"}})
        is RunState.FAILED
    )
