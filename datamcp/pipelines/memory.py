"""What steps leave behind for later runs: outputs that are reused, and how far was read.

Both are written in the transaction in which a step succeeds, so that what was rolled back, or was
finished by somebody else, leaves nothing.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from pydantic_core import to_json
from sqlalchemy import and_, delete, or_, select

from datamcp.infra import instants
from datamcp.infra.database import Connection
from datamcp.pipelines.compiled import RunInfo, base_of
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.outputs import Scope, outputs_of, text_of
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.pipelines.tables import step_cache, watermarks
from datamcp.tasks.ledger import Now, Settled
from datamcp.tasks.statements import insert_if_new
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks


class StepMemory:
    """Outputs by key, and watermarks. Safe to share between threads."""

    def __init__(self, steps: StepLedger, *, now: Now = instants.now) -> None:
        """Take the rows of steps and, in tests, a clock in place of the database's."""
        self.database = steps.database
        self._steps = steps
        self._now = now

    # Outputs that are reused.

    def find(
        self, connection: Connection, run: RunInfo, step_id: str, key: str
    ) -> tuple[str, str] | None:
        """Return the output (JSON) that was kept under a key, and whose task's it is.

        None if there is none, its time is over, or its file is gone.
        """
        statement = select(step_cache.c.output, step_cache.c.task_id).where(
            step_cache.c.pipeline_id == run.compiled.definition.pipeline_id,
            step_cache.c.step_id == base_of(step_id),
            step_cache.c.key == key,
            or_(step_cache.c.expires_at.is_(None), step_cache.c.expires_at > self._now()),
        )
        row = connection.execute(statement).one_or_none()
        if row is None or not _is_there(json.loads(row.output).get("path")):
            return None
        return row.output, row.task_id

    def remember(self, connection: Connection, run: RunInfo, settled: Sequence[Settled]) -> None:
        """Keep what later runs need of those of these steps that succeeded."""
        for step in settled:
            if step.state is not State.SUCCEEDED:
                continue
            definition = run.compiled.step_of(str(step.step_id))
            if definition.cache is not None:
                self._keep_output(connection, run, step, definition)
            if "watermark" in definition.configuration:
                self._keep_watermark(connection, run, step)

    def _keep_output(
        self, connection: Connection, run: RunInfo, step: Settled, definition: TaskDefinition
    ) -> None:
        row = connection.execute(
            select(tasks.c.output, tasks.c.metadata).where(tasks.c.task_id == step.task_id)
        ).one()
        if row.output is None or definition.cache is None:
            return
        element = json.loads(row.metadata)["map"]["value"] if row.metadata else None
        key = cache_key(self._steps, connection, run, str(step.step_id), element)
        ttl = definition.cache.ttl
        identity = {
            "pipeline_id": run.compiled.definition.pipeline_id,
            "step_id": base_of(str(step.step_id)),
            "key": key,
        }
        connection.execute(
            delete(step_cache).where(
                *(step_cache.c[name] == value for name, value in identity.items())
            )
        )
        connection.execute(
            insert_if_new(self.database.dialect, step_cache).values(
                **identity,
                task_id=step.task_id,
                run_id=run.run_id,
                output=row.output,
                stored_at=self._now(),
                expires_at=None if ttl is None else instants.After(self._now(), ttl),
            )
        )

    # How far was read.

    def watermark(self, pipeline_id: str, step_id: str) -> str | None:
        """Return (as JSON) how far the last success of a step has read; None if there is none."""
        wanted = and_(
            watermarks.c.pipeline_id == pipeline_id, watermarks.c.step_id == base_of(step_id)
        )
        with self.database.autocommit() as connection:
            value: str | None = connection.execute(
                select(watermarks.c.value).where(wanted)
            ).scalar_one_or_none()
        return value

    def _keep_watermark(self, connection: Connection, run: RunInfo, step: Settled) -> None:
        text = connection.execute(
            select(tasks.c.output).where(tasks.c.task_id == step.task_id)
        ).scalar_one()
        value = json.loads(text or "{}").get("watermark")
        if value is None:
            return
        identity = {
            "pipeline_id": run.compiled.definition.pipeline_id,
            "step_id": base_of(str(step.step_id)),
        }
        insert = insert_if_new(self.database.dialect, watermarks)
        values = {"value": value, "task_id": step.task_id, "updated_at": self._now()}
        connection.execute(
            delete(watermarks).where(*(watermarks.c[name] == one for name, one in identity.items()))
        )
        connection.execute(insert.values(**identity, **values))


def cache_key(
    steps: StepLedger, connection: Connection, run: RunInfo, step_id: str, element: object
) -> str:
    """Return under which key a step's output is kept: what its author wrote, and what it does.

    So a step that was changed finds nothing of what it was before, and one of many nothing of
    another `element`. Raises ProcessingError.
    """
    step = run.compiled.step_of(step_id)
    if step.cache is None:
        raise ValueError(f"{step_id} has no cache")
    scope = Scope.of(run, outputs_of(steps, connection, run, step), step, element)
    what: list[object] = [step.processor, step.configuration, list(step.input_sources)]
    if step.map is not None:
        what.append(element)
    shown = text_of(step.cache.key, scope)
    return sha256(to_json([shown, what])).hexdigest()


def _is_there(path: str | None) -> bool:
    # To ask a remote store would hold up the transaction; its files go when their run does.
    return path is None or "://" in path or Path(path).exists()
