"""Which step and attempt of a run wrote what, and from what."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict

from datamcp.errors import ProcessingError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.export import edges_of
from datamcp.pipelines.instances import parent_of
from datamcp.pipelines.status import PipelineStatus
from datamcp.processors.engine import columns_of_file
from datamcp.storage.store import Artifacts

Columns = Callable[[str], dict[str, str] | None]
"""Returns the names and types of the columns of a file, None if it is gone, or no table."""


class StepLineage(BaseModel):
    """What one step wrote: where, how much, with which columns, and from which steps' outputs.

    `task_id` and `attempt` tell who wrote it; `task_id` is of an earlier run where the output was
    taken over. `columns` maps names to DuckDB's types; None where the file is gone, or no table.
    """

    model_config = ConfigDict(frozen=True)

    step_id: str
    task_id: str
    attempt: int
    agent_id: str | None
    written_at: datetime | None
    path: str
    records: int | None
    bytes: int | None
    columns: dict[str, str] | None
    read_from: tuple[str, ...]


def lineage_of(
    status: PipelineStatus, definition: PipelineDefinition, columns: Columns
) -> list[StepLineage]:
    """Return what the steps of a run have written, in order of definition."""
    read = _read(definition)
    return [
        StepLineage(
            step_id=step_id,
            task_id=step.adopted_from or step.task_id,
            attempt=step.attempt,
            agent_id=step.agent_id,
            written_at=step.finished_at,
            path=step.output,
            records=step.records_out,
            bytes=step.bytes_out,
            columns=columns(step.output),
            read_from=read.get(parent_of(step_id) or step_id, ()),
        )
        for step_id, step in status.tasks.items()
        if step.bytes_out is not None and isinstance(step.output, str)
    ]


def columns_in(artifacts: Artifacts, path: str) -> dict[str, str] | None:
    """Return the columns of a Parquet file here or in the artifact store; None if it is none, or gone.

    Raises BackendUnavailable if the store does not answer.
    """
    if not path.endswith(".parquet"):
        return None
    with TemporaryDirectory(prefix="datamcp-") as folder:
        try:
            is_in_store = artifacts.holds(path)
            place = artifacts.fetch_footer(path, Path(folder)) if is_in_store else Path(path)
            return columns_of_file(place) if place.is_file() else None
        except ProcessingError:  # it was removed, or is no Parquet after all
            return None


def _read(definition: PipelineDefinition) -> Mapping[str, tuple[str, ...]]:
    """Return, for each step, the steps whose outputs it receives."""
    found: dict[str, tuple[str, ...]] = {}
    for edge in edges_of(definition):
        if edge.data:
            found[edge.to] = (*found.get(edge.to, ()), edge.from_)
    return found
