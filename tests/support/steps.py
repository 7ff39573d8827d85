"""Runs processors by hand, without tasks, pipelines or workers."""

import asyncio
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import yaml

from datamcp.config.integrations import IntegrationConfig
from datamcp.processors.processor import Inputs, Output, ProcessingResult
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots

PIPELINES = Path(__file__).resolve().parents[2] / "config" / "pipelines"

Row = dict[str, Any]


class StepRunner:
    """Runs one step after the other in a folder of its own and remembers what each handed over."""

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 2,
        memory_limit: str = "512MB",
        integrations: Mapping[str, IntegrationConfig] = MappingProxyType({}),
    ) -> None:
        """Take the folder that holds the artifacts and is the only allowed root."""
        self.folder = folder
        self.store = ArtifactStore(str(folder / "artifacts"))
        self.registry = ProcessorRegistry(
            roots=AllowedRoots([folder]),
            threads=threads,
            memory_limit=memory_limit,
            integrations=integrations,
        )
        self.results: dict[str, ProcessingResult] = {}

    def run(
        self,
        step: str,
        processor: str,
        inputs: tuple[str, ...] = (),
        *,
        task_id: str = "",
        last: str | None = None,
        **configuration: Any,
    ) -> ProcessingResult:
        """Run one step on the outputs of earlier ones; `last` is the watermark of the last run."""
        config = self.registry.config_model(processor).model_validate(configuration)
        outputs = {name: self.results[name].output for name in inputs}
        data = Inputs(
            outputs=outputs,
            workspace=self.store.workspace("run", step, 1),
            task_id=task_id,
            idempotency_key=f"key of {step}",
            watermark=last,
        )
        result = asyncio.run(self.registry.create(processor).process(data, config))
        self.results[step] = result
        return result

    def run_pipeline(self, name: str, given: Mapping[str, str]) -> None:
        """Run the steps of a shipped pipeline in an order that its edges allow.

        Steps that are an agent's are left out.
        """
        document = yaml.safe_load((PIPELINES / f"{name}.yaml").read_text())
        values = {key: spec["default"] for key, spec in document["parameters"].items()} | given
        tasks = {task["task_id"]: task for task in document["tasks"]}
        edges = {step: task.get("input_sources", []) for step, task in tasks.items()}
        for step in TopologicalSorter(edges).static_order():
            task = tasks[step]
            if task["processor"] in self.registry.names():
                configuration = _filled(task["configuration"], values)
                self.run(step, task["processor"], tuple(edges[step]), **configuration)

    def rows(self, step: str) -> list[Row]:
        """Return the table that a step handed over."""
        path = self.results[step].output.path
        assert path is not None
        return read_parquet(path)

    def rejects(self, step: str) -> list[Row]:
        """Return what a validation found wrong: row, column, rule, value."""
        value = self.results[step].output.value
        assert isinstance(value, Mapping)
        return read_parquet(str(value["rejects"]))


def read_parquet(path: str | Path) -> list[Row]:
    """Return the rows of a Parquet file as dicts."""
    with duckdb.connect() as connection:
        cursor = connection.execute("select * from read_parquet(?)", [str(path)])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def table(path: Path, sql: str) -> Output:
    """Write what `sql` selects to a Parquet file, and return it as a step's output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.sql(sql).write_parquet(str(path))
    return Output(path=str(path))


def _filled(value: Any, parameters: Mapping[str, str]) -> Any:
    match value:
        case str():
            for name, text in parameters.items():
                value = value.replace("${parameters." + name + "}", text)
            return value
        case Mapping():
            return {key: _filled(item, parameters) for key, item in value.items()}
        case list():
            return [_filled(item, parameters) for item in value]
    return value
