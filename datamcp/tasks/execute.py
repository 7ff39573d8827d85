"""One attempt at one task in a worker: claim it, run it, settle it."""

import json
import logging
from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from datamcp.clock import Clock
from datamcp.errors import TaskError
from datamcp.infra.database import Row
from datamcp.processors.processor import Output, ProcessingResult
from datamcp.storage.artifacts import ArtifactStore, Workspace
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks import context as contexts
from datamcp.tasks.claim import Claimer, Delivery
from datamcp.tasks.context import TaskContext
from datamcp.tasks.ledger import Claimed, Deferred, Settled, TaskLedger, is_task
from datamcp.tasks.outcome import (
    Done,
    Fail,
    Outcome,
    Retry,
    Snooze,
    TimedOut,
    defer,
    failure,
    settle,
)
from datamcp.tasks.ports import Call, Continuation, TaskTypes
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.telemetry import Telemetry
from datamcp.types import new_id


@dataclass(frozen=True, slots=True)
class Execution:
    """How an attempt went: its outcome, and the state that the ledger gave the task.

    `deferred` is its next attempt, if one follows.
    """

    outcome: Outcome
    state: State
    is_step: bool  # of a pipeline run
    deferred: Deferred | None = None


class Executor:
    """The steps of an attempt: claim what a message names, run it, record how it went."""

    def __init__(
        self,
        *,
        types: TaskTypes,
        ledger: TaskLedger,
        claimer: Claimer,
        settler: Settler,
        continuation: Continuation,
        artifacts: ArtifactStore,
        roots: AllowedRoots,
        clock: Clock,
        telemetry: Telemetry,
        timeout_error: type[Exception],
    ) -> None:
        """Take the parts of an attempt; `timeout_error` is what the pool raises in user code."""
        self._types = types
        self._ledger = ledger
        self._claimer = claimer
        self._settler = settler
        self._continuation = continuation
        self._artifacts = artifacts
        self._roots = roots
        self._clock = clock
        self._telemetry = telemetry
        self._timeout_error = timeout_error

    def claim(self, delivery: Delivery) -> Claimed | None:
        """Claim the task of a message; None if it names nothing that may start (protocol R3)."""
        claimed = self._claimer.claim(delivery)
        if claimed is None:
            self._settler.expire(is_task(delivery.task_id))
            return None
        self._telemetry.emit("task.claimed", task_id=claimed.task_id, attempt=claimed.attempt)
        return claimed

    def row_of(self, task_id: str) -> Row[Any] | None:
        """Return the whole row of a task; None if there is no such task."""
        return self._ledger.get(task_id)

    def state_of(self, task_id: str) -> State | None:
        """Return what the ledger says of a task; None if there is no such task."""
        row = self._ledger.get(task_id)
        return None if row is None else State(row.state)

    def finish(self, delivery: Delivery, outcome: Outcome) -> Execution | None:
        """Record how the attempt of a message went; None if its claim is no longer in force."""
        try:
            return self._record(delivery, outcome)
        except self._timeout_error:
            # The time ran out while the end was being written; the same end again is one (R2).
            return self._record(delivery, outcome)

    def _record(self, delivery: Delivery, outcome: Outcome) -> Execution | None:
        match outcome:
            case Retry() | Snooze():
                after = self._settler.defer(delivery.task_id, delivery.fence, defer(outcome))
            case _:
                ending, is_carried = settle(outcome), delivery.is_carried
                after = self._settler.finish(
                    delivery.task_id, delivery.fence, ending, is_carried=is_carried
                )
        match after:
            case Settled():
                self._telemetry.emit("task.finished", task_id=after.task_id, state=after.state)
                return Execution(outcome, after.state, is_step=after.run_id is not None)
            case Deferred(hint):
                state = State.RETRYING if isinstance(outcome, Retry) else State.SCHEDULED
                is_step = hint.step_id is not None
                return Execution(outcome, state, is_step=is_step, deferred=after)
        return None

    def arguments(self, claimed: Claimed) -> Any:
        """Return the arguments of a Celery task: those of its call, or of its step.

        Raises what the step's references or its parameters have wrong.
        """
        parameters, text = self._types.resolve(claimed.task_type).parameters, claimed.parameters
        if claimed.run_id is not None:
            configuration, _ = self._continuation.inputs(claimed)
            text = parameters.dump(json.loads(configuration))
        return parameters.load(text)

    def arguments_of(self, task_id: str) -> Any:
        """Return the arguments of a Celery task's call, or nothing where they are not known."""
        row = self._ledger.get(task_id)
        kind = None if row is None else self._types.resolve(row.task_type)
        if row is None or kind is None or kind.celery_task is None or row.run_id is not None:
            return [], {}
        return kind.parameters.load(row.parameters)

    def attempt(self, claimed: Claimed, agent_id: str) -> Outcome:
        """Run the capability or the processor of a claim."""
        try:
            value = self._run(claimed, agent_id)
            return Done(_json(value), _output(claimed, value))
        except self._timeout_error:
            return TimedOut(claimed.timeout)
        except PydanticSerializationError as error:
            return Fail("invalid_result", f"the result has no JSON form: {error}")
        except (Exception, SystemExit, CancelledError) as error:  # noqa: BLE001  whatever a capability raises is its outcome
            return failure(error)

    def _run(self, claimed: Claimed, agent_id: str) -> Any:
        task_type = self._types.resolve(claimed.task_type)
        handler = task_type.handler
        if handler is None:
            raise TaskError(f"{claimed.task_type} is run by Celery alone")
        text = claimed.parameters
        inputs: Mapping[str, Output] = {}
        if claimed.run_id is not None:
            text, inputs = self._continuation.inputs(claimed)
        parameters = task_type.parameters.load(text)
        context = self._context(claimed, text, agent_id)
        token = contexts.current.set(context)
        try:
            return handler(Call(parameters, context, inputs))
        finally:
            contexts.current.reset(token)

    def run_here(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, task_id: str | None
    ) -> Any:
        """Run a capability or a processor in this process, without the ledger; return its value.

        Raises InvalidParametersError, and what the capability raises.
        """
        kind = self._types.resolve(name)
        if kind.handler is None:
            raise TaskError(f"{name} is run by Celery alone")
        text = kind.parameters.dump_call(args, kwargs)
        context = self._context_here(name, task_id or new_id(self._clock.now()), text)
        token = contexts.current.set(context)
        try:
            return kind.handler(Call(kind.parameters.load(text), context, {}))
        finally:
            contexts.current.reset(token)

    def _context_here(self, name: str, task_id: str, text: str) -> TaskContext:
        log = logging.getLogger(f"datamcp.task.{name}")
        parameters = json.loads(text)
        return TaskContext(
            task_id=task_id,
            idempotency_key=task_id,
            attempt=1,
            deadline=None,
            agent_id="",
            logger=logging.LoggerAdapter(log, {"task_id": task_id}),
            _task=lambda: Task(task_id=task_id, task_type=name, parameters=parameters),
            _workspace=lambda: self._artifacts.workspace("tasks", task_id, "1-here"),
            _beat=lambda _progress: False,
            _find=self._roots.find,
        )

    def _context(self, claimed: Claimed, text: str, agent_id: str) -> TaskContext:
        deadline = None
        if claimed.timeout is not None:
            deadline = self._clock.now() + timedelta(seconds=claimed.timeout)
        return TaskContext(
            task_id=claimed.task_id,
            idempotency_key=claimed.idempotency_key or claimed.task_id,
            attempt=claimed.attempt,
            deadline=deadline,
            agent_id=agent_id,
            logger=_log(claimed),
            run_id=claimed.run_id,
            step_id=claimed.step_id,
            _task=lambda: _task(claimed, text),
            _workspace=lambda: self._workspace(claimed),
            _beat=lambda progress: self._beat(claimed, progress),
            _find=self._roots.find,
        )

    def _workspace(self, claimed: Claimed) -> Workspace:
        attempt = f"{claimed.attempt}-{claimed.fence[:8]}"  # no two claims write into one folder
        owner, name = claimed.run_id or "tasks", claimed.step_id or claimed.task_id
        return self._artifacts.workspace(owner, name, attempt)

    def _beat(self, claimed: Claimed, progress: float | None) -> bool:
        beat = self._ledger.heartbeat(claimed.task_id, claimed.fence, progress)
        return beat is None or beat.cancel_requested


def _task(claimed: Claimed, text: str) -> Task:
    metadata: Mapping[str, Any] = json.loads(claimed.metadata) if claimed.metadata else {}
    return Task(
        task_id=claimed.task_id,
        task_type=claimed.task_type,
        priority=claimed.priority,
        parameters=json.loads(text),
        timeout=claimed.timeout,
        idempotency_key=claimed.idempotency_key,
        tags=tuple(json.loads(claimed.tags)) if claimed.tags else (),
        metadata=dict(metadata),
    )


def _json(value: Any) -> str:
    return to_json(value, inf_nan_mode="constants").decode()


def _output(claimed: Claimed, value: Any) -> str | None:
    """Return what a step's downstreams see of its value, with what was counted, as JSON."""
    if claimed.run_id is None:
        return None
    match value:
        case ProcessingResult():
            counted = value.model_dump(mode="json", exclude={"output", "execution_time"})
            return json.dumps(value.output.model_dump(mode="json") | counted)
        case Output():
            return value.model_dump_json()
        case _:
            return _json({"value": value})


def _log(claimed: Claimed) -> "logging.LoggerAdapter[logging.Logger]":
    log = logging.getLogger(f"datamcp.task.{claimed.task_type}")
    return logging.LoggerAdapter(log, {"task_id": claimed.task_id})
