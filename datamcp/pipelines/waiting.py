"""Steps that wait: how one begins, and what a look at it shows.

What is looked at is in the ledger, or a file. Nothing of a step's is in any process.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid5

from pydantic_core import to_json

from datamcp.errors import PipelineError, ProcessingError
from datamcp.infra.database import Connection
from datamcp.pipelines.board import Slip
from datamcp.pipelines.children import Children
from datamcp.pipelines.compiled import RunInfo
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.gate import RUN
from datamcp.pipelines.outputs import Scope, outputs_of, resolved
from datamcp.pipelines.slotless import (
    RunPipeline,
    WaitApproval,
    WaitFile,
    WaitSignal,
    WaitUntil,
    read,
)
from datamcp.pipelines.step_ledger import StepEnd, StepLedger
from datamcp.tasks.states import State

_CHILDREN = UUID("0192f0c4-6a51-5d3b-9c55-6368696c6472")


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has shown: how the step has ended, or what it awaits and when to look again."""

    end: StepEnd | None = None
    awaits: str = ""
    due: datetime | None = None
    started_runs: Sequence[str] = ()


class Files(Protocol):
    """Knows files that pipelines may read."""

    def find(self, path: str) -> Any:
        """Return the file or folder that a path means; raise ProcessingError if there is none."""
        ...


class Waits:
    """Knows what steps wait for."""

    def __init__(self, steps: StepLedger, children: Children, files: Files) -> None:
        """Take where signals are kept, who runs sub-pipelines, and where files may be."""
        self._steps = steps
        self._children = children
        self._files = files

    def begin(
        self,
        connection: Connection,
        run: RunInfo,
        slip: Slip,
        step: TaskDefinition,
        scope: Scope,
        now: datetime,
    ) -> Look:
        """Let a step begin to wait; raises DatamcpError for a configuration that is wrong."""
        config = read(step.processor, resolved(step.configuration, scope))
        if not isinstance(config, RunPipeline):
            return self._see(connection, run, slip, config, since=now, now=now)
        child = str(uuid5(_CHILDREN, slip.task_id))
        self._children.start(connection, run, slip.task_id, child, config)
        due = _end_of(slip, now)
        return Look(awaits=awaits_run(child), due=due, started_runs=(child,))

    def look(self, connection: Connection, run: RunInfo, slip: Slip, now: datetime) -> Look:
        """Look at a step that waits; raises DatamcpError for a configuration that is wrong."""
        step = run.compiled.step_of(slip.step_id)
        since = slip.since or now
        if step.processor == RUN:
            return self._see_run(connection, slip, since=since, now=now)
        scope = Scope.of(run, outputs_of(self._steps, connection, run, step), step, slip.element)
        config = read(step.processor, resolved(step.configuration, scope))
        return self._see(connection, run, slip, config, since=since, now=now)

    def _see(
        self,
        connection: Connection,
        run: RunInfo,
        slip: Slip,
        config: Any,
        *,
        since: datetime,
        now: datetime,
    ) -> Look:
        match config:
            case WaitUntil(at=at, seconds=seconds):
                due = at if at is not None else _later(since, seconds or 0)
                if due is None:
                    raise PipelineError(f"no calendar goes on for {seconds:g} s")
                if due <= now:
                    return _ended(slip, due.astimezone(UTC).isoformat())
                return self._wait(slip, "time", due, since=since, now=now)
            case WaitFile(path=path, poll=poll):
                place = self._find(path)
                if place is not None:
                    return _ended(slip, place)
                again = _later(now, poll)
                return self._wait(slip, f"file {path}", again, since=since, now=now)
            case WaitSignal(name=name):
                found = self._steps.signalled(connection, run.run_id, name)
                if found is not None:
                    return _ended_raw(slip, found.payload, found.note)
                awaits = awaits_signal(run.run_id, name)
                return self._wait(slip, awaits, None, since=since, now=now)
            case WaitApproval():
                return self._see_approval(connection, run, slip, since=since, now=now)
        raise PipelineError(f"{slip.step_id} waits for nothing that is known")

    def _see_approval(
        self, connection: Connection, run: RunInfo, slip: Slip, *, since: datetime, now: datetime
    ) -> Look:
        name = approval_of(slip.step_id)
        found = self._steps.signalled(connection, run.run_id, name)
        if found is None:
            return self._wait(slip, awaits_signal(run.run_id, name), None, since=since, now=now)
        if json.loads(found.payload)["approved"]:
            return _ended_raw(slip, found.payload, found.note)
        why = f"it was rejected: {found.note}" if found.note else "it was rejected"
        return Look(StepEnd(slip.task_id, State.FAILED, "rejected", why, note=found.note))

    def _see_run(
        self, connection: Connection, slip: Slip, *, since: datetime, now: datetime
    ) -> Look:
        child = str(uuid5(_CHILDREN, slip.task_id))
        end = self._children.end_of(connection, child, slip.task_id)
        if end is not None:
            return Look(end)
        return self._wait(slip, awaits_run(child), None, since=since, now=now)

    def _find(self, path: str) -> str | None:
        try:
            return str(self._files.find(path))
        except ProcessingError as error:
            if str(error).startswith("no file"):
                return None
            raise

    @staticmethod
    def _wait(
        slip: Slip, awaits: str, due: datetime | None, *, since: datetime, now: datetime
    ) -> Look:
        """Wait on; or end, where the step's time is over."""
        over = _end_of(slip, since)
        if over is None:
            return Look(awaits=awaits, due=due)
        if over <= now:
            message = f"it waited longer than {slip.timeout:g} s"
            return Look(StepEnd(slip.task_id, State.TIMED_OUT, "timeout", message))
        return Look(awaits=awaits, due=over if due is None else min(due, over))


def awaits_run(run_id: str) -> str:
    """Return what a step awaits that waits for a run."""
    return f"run {run_id}"


def awaits_signal(run_id: str, name: str) -> str:
    """Return what a step of a run awaits that waits for a signal."""
    return f"signal {run_id} {name}"


def approval_of(step_id: str) -> str:
    """Return the name of the signal that approves, or rejects, a step."""
    return f"approval of {step_id}"


def shown(awaits: str | None) -> str | None:
    """Return what people are told of what a step waits for."""
    kind, _, rest = (awaits or "").partition(" ")
    match kind:
        case "":
            return None
        case "map":
            return "the steps that it was made to"
        case "signal" if " approval of " in f" {rest}":
            return "approval"
        case "signal":
            return f"signal {rest.partition(' ')[2]}"
    return awaits


def _end_of(slip: Slip, since: datetime) -> datetime | None:
    """Return when the time of a step is over; None if it never is."""
    return None if slip.timeout is None else _later(since, slip.timeout)


def _later(instant: datetime, seconds: float) -> datetime | None:
    """Return an instant so much later; None if it lies beyond all calendars."""
    try:
        return instant + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _ended(slip: Slip, value: Any) -> Look:
    return _ended_raw(slip, to_json(value).decode(), None)


def _ended_raw(slip: Slip, value: str, note: str | None) -> Look:
    output = f'{{"value":{value}}}'
    return Look(StepEnd(slip.task_id, State.SUCCEEDED, output=output, note=note))
