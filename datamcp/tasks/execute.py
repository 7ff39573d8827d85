"""One attempt at one task in a worker: claim it, run it, settle it."""

import asyncio
import json
import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from datamcp.clock import Clock, SystemClock
from datamcp.errors import BackendUnavailable, TaskError
from datamcp.infra.database import Row
from datamcp.infra.transaction import OpenTransaction
from datamcp.processors.at_hand import AtHand, as_handed_over
from datamcp.processors.processor import Output, ProcessingResult
from datamcp.storage.artifacts import Workspace
from datamcp.storage.copies import Copies
from datamcp.storage.roots import AllowedRoots
from datamcp.storage.store import Artifacts
from datamcp.tasks import context as contexts
from datamcp.tasks import slots
from datamcp.tasks.ask import Ask
from datamcp.tasks.calls import Calls, Exchange
from datamcp.tasks.claim import Claimer, Delivery
from datamcp.tasks.context import TaskContext
from datamcp.tasks.ledger import Claimed, Deferred, Settled, TaskLedger, is_task
from datamcp.tasks.outcome import (
    INTERRUPTED,
    Again,
    Done,
    Fail,
    Outcome,
    Retry,
    Snooze,
    TimedOut,
    failure,
    settle,
)
from datamcp.tasks.ports import Call, Continuation, TaskTypes
from datamcp.tasks.pulse import Pulse
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Order
from datamcp.tasks.soon import Soon
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.telemetry import Telemetry
from datamcp.types import new_id

Limited = Callable[[float | None], AbstractContextManager[None]]

_AGAIN = 1.0  # seconds until an attempt is made anew whose transaction the database has ended


@dataclass(frozen=True, slots=True)
class Execution:
    """How an attempt went: its outcome, and the state that the ledger gave the task.

    The outcome of a failure that another attempt follows is that Retry. `deferred` is its next attempt, if one follows.
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
        artifacts: Artifacts,
        roots: AllowedRoots,
        clock: Clock,
        telemetry: Telemetry,
        exchange: Exchange,
        timeout_error: type[Exception],
        limited: Limited = lambda _seconds: nullcontext(),
    ) -> None:
        """Take the parts of an attempt.

        `limited` gives a block so many seconds; `timeout_error` is what is raised in it then.
        """
        self._types = types
        self._ledger = ledger
        self._claimer = claimer
        self._settler = settler
        self._continuation = continuation
        self._artifacts = artifacts
        self._roots = roots
        self._clock = clock
        self._telemetry = telemetry
        self._exchange = exchange
        self._timeout_error = timeout_error
        self._limited = limited
        self._soon = Soon()
        self._transactions: dict[str, OpenTransaction] = {}  # of the attempts that run, by fence

    def claim(self, delivery: Delivery) -> Claimed | None:
        """Claim the task of a message; None if it names nothing that may start (protocol R3)."""
        claimed = self._claimer.claim(delivery)
        if claimed is None:
            self._settler.expire(is_task(delivery.task_id))
            return None
        self._telemetry.emit("task.claimed", task_id=claimed.task_id, attempt=claimed.attempt)
        return claimed

    def claim_together(
        self, task_ids: Sequence[str], fence: str, agent_id: str
    ) -> Sequence[Claimed]:
        """Claim those of some tasks that may start, with one fence; not what has to run alone.

        Raises BackendUnavailable at once.
        """
        claimed = self._ledger.claim_many(task_ids, fence, agent_id)
        for one in claimed:
            self._telemetry.emit("task.claimed", task_id=one.task_id, attempt=one.attempt)
        return claimed

    def row_of(self, task_id: str) -> Row[Any] | None:
        """Return the whole row of a task; None if there is no such task."""
        return self._ledger.get(task_id)

    def state_of(self, task_id: str) -> State | None:
        """Return what the ledger says of a task; None if there is no such task."""
        row = self._ledger.get(task_id)
        return None if row is None else State(row.state)

    def finish(
        self, delivery: Delivery, outcome: Outcome, *, is_step: bool = True
    ) -> Execution | None:
        """Record how the attempt of a message went; None if its claim is no longer in force.

        `is_step` is False of what is known to be no step of a run.
        """
        transaction = self._transactions.pop(delivery.fence, None)
        if transaction is not None and transaction.is_open:
            return self._record_within(transaction, delivery, outcome)
        try:
            return self._record(delivery, outcome, is_step=is_step)
        except self._timeout_error:
            # The time ran out while the end was being written; the same end again is one (R2).
            return self._record(delivery, outcome, is_step=is_step)

    def _record(self, delivery: Delivery, outcome: Outcome, *, is_step: bool) -> Execution | None:
        concluded = self._settler.conclude(
            delivery.task_id,
            delivery.fence,
            outcome,
            is_carried=delivery.is_carried,
            is_step=is_step,
        )
        return self._execution(concluded.outcome, concluded.after)

    def _record_within(
        self, transaction: OpenTransaction, delivery: Delivery, outcome: Outcome
    ) -> Execution | None:
        """Record a success together with what the attempt has written."""
        if not isinstance(outcome, Done):
            transaction.roll_back()
            return self._record(delivery, outcome, is_step=True)
        try:
            after = self._settler.finish_within(
                transaction,
                delivery.task_id,
                delivery.fence,
                settle(outcome),
                is_carried=delivery.is_carried,
            )
        except self._timeout_error:
            # If it was committed before the time ran out, that stands.
            transaction.roll_back()
            return self._record(delivery, out_of_time(None), is_step=True)
        except BackendUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  the database refuses what the capability wrote
            return self._record(delivery, failure(error), is_step=True)
        return self._execution(
            Snooze(_AGAIN, INTERRUPTED) if isinstance(after, Deferred) else outcome, after
        )

    def may_end_later(self, claimed: Claimed) -> bool:
        """Tell whether a success of a claim may be written with others, a moment later."""
        transaction = self._transactions.get(claimed.fence)
        return not claimed.has_place and not (transaction is not None and transaction.is_open)

    def let_go(self, fence: str) -> None:
        """Roll back what an attempt has written and that nobody finished."""
        transaction = self._transactions.pop(fence, None)
        if transaction is not None:
            transaction.roll_back()

    def _execution(self, outcome: Outcome, after: Deferred | Settled | None) -> Execution | None:
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
        """Run the capability or the processor of a claim.

        What it has written in its transaction waits for `finish` if it succeeded.
        """
        transaction = self._transactions[claimed.fence] = OpenTransaction(self._ledger.database)
        outcome = self._outcome(claimed, agent_id, transaction)
        if not isinstance(outcome, Done):
            transaction.roll_back()
        if transaction.is_lost and isinstance(outcome, Fail):
            return Snooze(_AGAIN, INTERRUPTED)  # nothing that it did counts, and it is not to blame
        return outcome

    def _outcome(self, claimed: Claimed, agent_id: str, transaction: OpenTransaction) -> Outcome:
        try:
            with self._limited(claimed.timeout):
                value = self._run(claimed, agent_id, transaction)
            if isinstance(value, Ask):
                return value.outcome
            return Done(_json(value), _output(claimed, value))
        except self._timeout_error:
            return out_of_time(claimed.timeout)
        except Ask as ask:
            return ask.outcome
        except PydanticSerializationError as error:
            message = f"the result has no JSON form: {error}"
            return Fail("invalid_result", message, again=Again.NEVER)
        except (Exception, SystemExit, CancelledError) as error:  # noqa: BLE001  whatever a capability raises is its outcome
            return failure(error)

    def _run(self, claimed: Claimed, agent_id: str, transaction: OpenTransaction) -> Any:
        task_type = self._types.resolve(claimed.task_type)
        handler = task_type.handler
        if handler is None:
            raise TaskError(f"{claimed.task_type} is run by Celery alone")
        text = claimed.parameters
        inputs: Mapping[str, Output] = {}
        if claimed.run_id is not None:
            text, inputs = self._continuation.inputs(claimed)
        pulse = self._pulse(claimed, transaction)
        calls = self._exchange.calls(claimed, agent_id, transaction)
        copies = self._copies(lambda: context.workspace)
        context = self._context(claimed, text, agent_id, pulse, transaction, calls, copies)
        token = contexts.current.set(context)
        try:
            try:
                with copies:
                    at_hand = AtHand(inputs, copies)
                    parameters = task_type.parameters.load(at_hand.within(text))
                    value = handler(Call(parameters, context, at_hand))
                    return as_handed_over(value, copies)
            finally:
                contexts.current.reset(token)
                calls.close()
        except BaseException:
            transaction.roll_back()  # before the last heartbeat is written
            raise
        finally:
            pulse.end()

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
        transaction = OpenTransaction(self._ledger.database)
        task_id = task_id or new_id(self._clock.now())
        copies = self._copies(lambda: context.workspace)
        context = self._context_here(name, task_id, text, transaction, copies)
        token = contexts.current.set(context)
        try:
            with copies:
                value = kind.handler(Call(kind.parameters.load(text), context, {}))
            if transaction.is_open:
                transaction.commit(lambda _connection: True)
        finally:
            contexts.current.reset(token)
            transaction.roll_back()
        return value

    def _context_here(
        self, name: str, task_id: str, text: str, transaction: OpenTransaction, copies: Copies
    ) -> TaskContext:
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
            _beat=lambda _progress, _details: False,
            _find=copies.find,
            _block=transaction.block,
            _call=self._call_here,
            _acall=self._acall_here,
        )

    def _call_here(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """Run what is called here, too, and return what its caller would get of a task's result."""
        value = self.run_here(name, (), parameters, task_id=None)
        if isinstance(value, Ask):
            raise value
        return json.loads(_json(value))

    async def _acall_here(self, name: str, parameters: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(self._call_here, name, parameters)

    def _context(
        self,
        claimed: Claimed,
        text: str,
        agent_id: str,
        pulse: Pulse,
        transaction: OpenTransaction,
        calls: Calls,
        copies: Copies,
    ) -> TaskContext:
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
            last_details=json.loads(claimed.details) if claimed.details else {},
            _beat=pulse.beat,
            _find=copies.find,
            _block=transaction.block,
            _told=_order_to_stop(),
            _call=calls.call,
            _acall=calls.acall,
        )

    def _copies(self, workspace: Callable[[], Workspace]) -> Copies:
        return Copies(self._roots, self._artifacts, workspace)

    def _workspace(self, claimed: Claimed) -> Workspace:
        attempt = f"{claimed.attempt}-{claimed.fence[:8]}"  # no two claims write into one folder
        owner, name = claimed.run_id or "tasks", claimed.step_id or claimed.task_id
        return self._artifacts.workspace(owner, name, attempt)

    def _pulse(self, claimed: Claimed, transaction: OpenTransaction) -> Pulse:
        def write(progress: float | None, details: str | None) -> bool:
            with transaction.not_begun() as may_write:
                if not may_write:  # it would wait for what this attempt has to end
                    return self._ledger.is_to_be_cancelled(claimed.task_id, claimed.fence)
                beat = self._ledger.heartbeat(claimed.task_id, claimed.fence, progress, details)
                return beat is None or beat.cancel_requested

        clock = SystemClock()  # also where that of the ledger stands still
        return Pulse(write, clock=clock, later=self._soon, telemetry=self._telemetry)


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


def out_of_time(timeout: float | None) -> Outcome:
    """Return the outcome of an attempt in which the pool's error for a time that is up was raised.

    If it was the time of what this runs inside of, this attempt is made anew.
    """
    slot = slots.current.get()
    is_own = slot is None or slot.is_out_of_time
    return TimedOut(timeout) if is_own else Snooze(code=INTERRUPTED)


def _order_to_stop() -> Callable[[], bool]:
    """Return what tells whether this slot was told to stop what it works on now."""
    slot = slots.current.get()
    return (lambda: False) if slot is None else lambda: slot.order is not Order.NONE


def _log(claimed: Claimed) -> "logging.LoggerAdapter[logging.Logger]":
    log = logging.getLogger(f"datamcp.task.{claimed.task_type}")
    return logging.LoggerAdapter(log, {"task_id": claimed.task_id})
