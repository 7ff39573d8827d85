"""A Celery task in a worker's child: how a message becomes an attempt, and what Celery is told.

Celery's tracer runs around the user's code: signals, hooks, the result backend, what follows in a
canvas. Ours runs around that one, and claims first: a message that may start nothing touches none
of it. The end is written to the ledger as soon as the code has ended, before Celery hears of it.
"""

import json
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from threading import Event
from time import monotonic
from typing import Any, NoReturn

from billiard.common import terminate_handler_fired
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded
from billiard.process import current_process
from celery import Task as CeleryTask
from celery import current_app, states
from celery.app.task import Context, get_actual_ignore_result
from celery.app.trace import TraceInfo, fast_trace_task, trace_ok_t, trace_task_ret
from celery.exceptions import Ignore, Reject, TaskPredicate
from celery.exceptions import Retry as CeleryRetry
from kombu.exceptions import EncodeError

from datamcp.errors import BackendUnavailable, DatamcpError, TaskExecutionError
from datamcp.tasks import attempt as attempts
from datamcp.tasks import bunch as bunches
from datamcp.tasks import slots
from datamcp.tasks.alarm import alarm
from datamcp.tasks.arguments import Call, result_text
from datamcp.tasks.attempt import Attempt, unawaited
from datamcp.tasks.batch import Batches
from datamcp.tasks.bunch import Bunch
from datamcp.tasks.call import Limits, instant
from datamcp.tasks.calls import before_waiting
from datamcp.tasks.claim import Delivery
from datamcp.tasks.enqueue import PlainCall
from datamcp.tasks.execute import Execution, Executor, out_of_time
from datamcp.tasks.ledger import Claimed
from datamcp.tasks.limit import MOST_TOGETHER
from datamcp.tasks.logs import TaskLogs
from datamcp.tasks.outcome import (
    IGNORED,
    INTERRUPTED,
    Cancel,
    Done,
    Fail,
    Outcome,
    Retry,
    Snooze,
    TimedOut,
    failure,
    settle,
)
from datamcp.tasks.ports import TaskType
from datamcp.tasks.publish import BATCH, CARRIED, HINT, canvas_of
from datamcp.tasks.request import FENCE, LedgerRequest, LeftToLedger
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Slot
from datamcp.tasks.states import FAILURES, State
from datamcp.types import new_token

_PAUSE = 0.05  # seconds between two looks whether a suspect is alone
_LONELY = 5.0  # seconds for which a message is kept that may not begin beside a suspect
_NEXT_TRY = 2.0  # seconds until a suspect is tried again that another one kept from running

_AFTER_CELERY = 1.0  # seconds after a hard limit at which its process is gone, if Celery lives

_MEANT_FOR_CELERY = (TaskPredicate, MemoryError)
"""Errors that Celery would take as orders: to retry, to reject, to end itself."""


class LedgerTask(CeleryTask):  # type: ignore[misc]
    """A Celery task whose attempts are those of the ledger."""

    Request = LedgerRequest
    # Late for Celery, so that LedgerRequest decides: at once for hints, at the end for others.
    acks_late = True
    acks_on_failure = True
    acks_on_timeout = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
    abstract = True
    _tracer: Any = None

    @property
    def may_share_a_slot(self) -> bool:
        """Tell whether attempts may be claimed and ended together with others: see `gather`."""
        return False

    @property
    def executor(self) -> Executor:
        """Who claims and records."""
        executor: Executor = self.app.executor
        return executor

    @property
    def batches(self) -> Batches:
        """Who runs tasks that came together."""
        return Batches(
            executor=self.executor,
            ledger=self.app.runtime.ledger,
            settler=self.settler,
            logs=self.logs,
            patrol=self.app.patrol,
            is_to_end=terminate_handler_fired,
        )

    @property
    def logs(self) -> TaskLogs:
        """Who keeps what attempts log."""
        logs: TaskLogs = self.app.logs
        return logs

    @property
    def settler(self) -> Settler:
        """Who ends what this process can't."""
        settler: Settler = self.app.settler
        return settler

    # Around Celery's tracer.

    @property
    def __trace__(self) -> Any:
        """What a pool calls with a message: our tracer around Celery's."""
        return None if self._tracer is None else partial(self._trace, self._tracer)

    @__trace__.setter
    def __trace__(self, tracer: Any) -> None:
        self._tracer = tracer

    def _trace(
        self,
        tracer: Any,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        request: Mapping[str, Any] | None = None,
    ) -> Any:
        """Claim the task that a message names, and have Celery run it in a slot of this worker."""
        delivery = self._delivery(task_id, args, kwargs, request or {})
        outer, token = slots.current.get(), unawaited.set(False)
        try:
            if outer is not None:
                return self._trace_inside(outer.above(), tracer, delivery, request or {})
            return self._trace_in_slot(tracer, delivery, request or {})
        finally:
            unawaited.reset(token)

    def _trace_in_slot(self, tracer: Any, delivery: Delivery, request: Mapping[str, Any]) -> Any:
        number = slot_number()
        if number is not None:  # a process of its own
            alarm.begin()
        with self.app.slots.slot(number) as slot:
            token = slots.current.set(slot)
            try:
                others = _others(request)
                if delivery.is_hint and others:
                    return self._trace_batch(slot, delivery, others)
                return self._trace_in(slot, tracer, delivery, request)
            except TaskPredicate as predicate:
                return _untraced(predicate)
            finally:
                slot.release()
                slots.current.reset(token)

    def _trace_in(
        self, slot: Slot, tracer: Any, delivery: Delivery, request: Mapping[str, Any]
    ) -> Any:
        if delivery.is_hint and not _may_begin(slot):
            raise LeftToLedger(State.QUEUED)
        attempt = self._begin(delivery)
        if attempt.claimed is not None:
            _hold(slot, attempt.claimed, self._time_of(attempt.claimed, request))
        if attempt.claimed is not None and attempt.claimed.pause:
            Event().wait(attempt.claimed.pause)  # its turn comes in a moment: see `limit`
        with self._apart(slot, attempt):
            return self._make(attempt, tracer, request)

    def _trace_inside(
        self, slot: Slot, tracer: Any, delivery: Delivery, request: Mapping[str, Any]
    ) -> Any:
        """Do the same inside of what this slot runs already, and waits for this (protocol R19).

        A suspect is not alone here, but its slot shows what has died; and what runs inside of
        others need not give way to one that waits until all of them have ended.
        """
        token = slots.current.set(slot)
        try:
            with alarm.inside():
                attempt = self._begin(delivery)
                if attempt.claimed is not None:
                    _hold(slot, attempt.claimed, self._time_of(attempt.claimed, request))
                    Event().wait(attempt.claimed.pause)
                return self._make(attempt, tracer, request)
        except TaskPredicate as predicate:
            return _untraced(predicate)
        finally:
            slot.release()
            slots.current.reset(token)

    def _trace_batch(self, slot: Slot, delivery: Delivery, others: Sequence[str]) -> Any:
        """Run all tasks of a message; without Celery's tracer, which knows of one."""
        if not _may_begin(slot):
            raise LeftToLedger(State.QUEUED)
        began = monotonic()

        def finish(claimed: Claimed, outcome: Outcome) -> None:
            one = replace(delivery, task_id=claimed.task_id)
            execution = self._finish(one, outcome, is_step=not claimed.ends_alone)
            if execution is not None and execution.deferred is not None:
                self.settler.resume(execution.deferred)

        ids = (delivery.task_id, *others)
        try:
            count = self.batches.run(ids, delivery.fence, delivery.agent_id, slot, finish)
        except BackendUnavailable as error:
            raise LeftToLedger(State.QUEUED) from error
        if terminate_handler_fired():
            raise SystemExit(1)
        return trace_ok_t(None, None, monotonic() - began, f"{count} tasks")

    @contextmanager
    def _apart(self, slot: Slot, attempt: Attempt) -> Iterator[None]:
        """Let a suspect have this worker to itself, or come again in a moment (protocol R10)."""
        if attempt.claimed is None or not attempt.claimed.is_suspect:
            yield
            return
        with slot.alone(partial(Event().wait, _PAUSE)) as is_alone:
            if not is_alone:
                self._finish(attempt.delivery, Snooze(_NEXT_TRY))
                raise LeftToLedger(State.SCHEDULED)
            yield

    def _make(self, attempt: Attempt, tracer: Any, request: Mapping[str, Any]) -> Any:
        claimed = attempt.claimed
        if claimed is None:
            return self._make_known(attempt, tracer, request)
        with self.logs.of(claimed.task_id, claimed.fence, claimed.attempt):
            return self._make_known(attempt, tracer, request)

    def _make_known(self, attempt: Attempt, tracer: Any, request: Mapping[str, Any]) -> Any:
        token = attempts.current.set(attempt)
        try:
            told = _request_of(attempt, request)
            return tracer(attempt.delivery.task_id, attempt.args, attempt.kwargs, told)
        finally:
            attempts.current.reset(token)
            self.executor.let_go(attempt.delivery.fence)
            if attempt.execution is not None and attempt.execution.deferred is not None:
                # Not before Celery has said "retry": the next attempt may end at once.
                self.settler.resume(attempt.execution.deferred)

    def _delivery(
        self,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        request: Mapping[str, Any],
    ) -> Delivery:
        is_hint = HINT in request
        carries = any(request.get(name) for name in ("chain", "chord", "callbacks"))
        return Delivery(
            task_id=task_id,
            task_type=self.name,
            fence=request.get(FENCE) or new_token(),
            agent_id=str(request.get("hostname")),
            is_hint=is_hint,
            is_carried=carries,
            plain=None if is_hint else _plain_call(self, args, kwargs, request),
        )

    def _begin(self, delivery: Delivery) -> Attempt:
        """Claim; raise what Celery is told of a message that starts nothing."""
        try:
            claimed = self._claim(delivery)
        except BackendUnavailable as error:
            if delivery.is_hint:
                # Its row stays, and will be sent again (R4).
                raise LeftToLedger(State.QUEUED) from error
            raise Reject(str(error), requeue=True) from error  # it may not be in the ledger yet
        except Exception as error:  # noqa: BLE001  what is raised here, a pool of threads drops
            return Attempt(delivery, error=error)
        if claimed is None:
            raise LeftToLedger(self.state_of(delivery.task_id))
        attempt = Attempt(delivery, claimed)
        try:
            attempt.args, attempt.kwargs = self._arguments(claimed)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it is, the attempt failed
            attempt.error = error
        return attempt

    def _claim(self, delivery: Delivery) -> Claimed | None:
        """Claim a task, unless it was claimed with others already; None if it may not start."""
        bunch = bunches.current.get()
        if bunch is None:
            return self.executor.claim(delivery)
        if delivery.task_id in bunch:
            return bunch.take(delivery.task_id)
        return self.executor.claim(delivery)

    def _arguments(self, claimed: Claimed) -> Call:
        call: Call = self.executor.arguments(claimed)
        return call

    def _time_of(self, claimed: Claimed, request: Mapping[str, Any]) -> float | None:
        """Return after how long (s) the worker itself sees that a claim ends.

        A Celery task may have more time to tidy up than ours, or all of it: its message says so.
        """
        limits = Limits(*(request.get("timelimit") or ()))
        if limits.timeout is None:
            return claimed.timeout
        return None if limits.hard is None else limits.hard + _AFTER_CELERY

    # Inside of it.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the attempt that this thread has claimed; else call the function, as Celery does."""
        attempt = attempts.current.get()
        is_ours = attempt is not None and attempt.delivery.task_type == self.name
        if attempt is None or attempt.has_begun or not is_ours:
            return super().__call__(*args, **kwargs)
        attempt.has_begun = True
        if attempt.claimed is None and not isinstance(attempt.error, SoftTimeLimitExceeded):
            raise attempt.error or LeftToLedger(None)  # it was refused before there was a row
        return self._perform(attempt, args, kwargs)

    def _perform(self, attempt: Attempt, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the code, record how it went, and tell Celery that.

        Success is announced to Celery only if the ledger says so, so that no successor of a
        canvas starts otherwise (protocol R12).
        """
        value, outcome = self._run(attempt, args, kwargs)
        if isinstance(attempt.predicate, SystemExit):
            self._leave(attempt, outcome)
        claimed = attempt.claimed
        execution = attempt.execution or self._end_with_others(attempt, outcome)
        if execution is None:
            self.logs.write_now()
            is_step = claimed is None or not claimed.ends_alone
            execution = self._finish(attempt.delivery, outcome, is_step=is_step)
        attempt.execution = execution
        _release()  # what Celery still does is no part of the attempt
        if execution is None:
            raise LeftToLedger(self.state_of(attempt.delivery.task_id))
        outcome = execution.outcome
        if execution.state is State.CANCELLED and not isinstance(outcome, Cancel):
            raise LeftToLedger(execution.state)
        unawaited.set(execution.is_step)  # holds for what Celery sends next: the rest of a canvas
        if execution.is_step and execution.state is not State.SUCCEEDED:
            self.request.chord = None  # the ledger decides about the body; Celery would only log
        if execution.state in FAILURES:
            self._fail_left(outcome)
        return self._answer(attempt, value, execution)

    def _run(
        self, attempt: Attempt, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Outcome]:
        """Run the user's function; return what it returned, and its outcome."""
        try:
            with alarm.set(self._own_time_of(attempt)):
                value = self._call(attempt, args, kwargs)
        except SoftTimeLimitExceeded:
            return None, out_of_time(None if attempt.claimed is None else attempt.claimed.timeout)
        except CeleryRetry as retry:
            attempt.predicate = retry
            return None, self._retried(attempt, retry.exc)
        except Reject as rejection:
            attempt.predicate = rejection
            reason = str(rejection.reason or "rejected by the task")
            return None, Snooze() if rejection.requeue else Fail("rejected", reason, rejection)
        except Ignore as order:
            attempt.predicate = order
            return None, _ignored(attempt, order)
        except (Exception, SystemExit, CancelledError) as error:  # noqa: BLE001  its outcome
            if terminate_handler_fired():
                return None, _interrupted(attempt, error)
            if attempt.again is not None:  # `retry(throw=False)`, and then this
                return None, self._retried(attempt, error)
            return None, failure(error)
        if attempt.again is not None:
            return None, self._retried(attempt, attempt.predicate.exc)
        return value, self._done(value)

    def _own_time_of(self, attempt: Attempt) -> float | None:
        """Return how long (s) the code may take; None where Celery sees to it, as the call says."""
        if attempt.claimed is None or any(self.request.timelimit or ()):
            return None
        return attempt.claimed.timeout

    def _call(self, attempt: Attempt, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if attempt.error is not None:
            raise attempt.error
        return super().__call__(*args, **kwargs)

    def _done(self, value: Any) -> Outcome:
        """Return the outcome of a function that returned this."""
        try:
            return Done(result_text(value))
        except (TypeError, ValueError) as error:
            if self._is_passed_on():
                message = f"the result has no JSON form: {error}"
                return Fail("invalid_result", message, EncodeError(message))
            return Done("null")  # as with Celery, where nobody asks for the result

    def _is_passed_on(self) -> bool:
        request = self.request
        is_awaited = not get_actual_ignore_result(self, request)
        return bool(is_awaited or request.chain or request.chord or request.callbacks)

    def _retried(self, attempt: Attempt, error: BaseException | None) -> Outcome:
        """Return the outcome of a function that asked for another attempt."""
        why = failure(error) if error is not None else Fail("retry", "the task asked for it")
        again = attempt.again
        if again is None:  # `raise Retry(...)`, by hand
            delay, due = self._when(attempt.predicate.when)
            return Retry(why.code, why.message, delay, due)
        return Retry(
            why.code,
            why.message,
            again.delay,
            again.due,
            parameters=again.parameters,
            canvas=again.canvas,
            queue=again.queue,
        )

    def _when(self, when: Any) -> tuple[float, datetime | None]:
        match when:
            case datetime():
                return 0.0, self.app.aware(when)
            case None:
                return float(self.default_retry_delay or 0), None
        return float(when), None

    def _leave(self, attempt: Attempt, outcome: Outcome) -> NoReturn:
        """Give the task back, and end, as a signal asked of this process."""
        with suppress(BackendUnavailable):  # else the worker gives it back once we are gone
            attempt.execution = self.executor.finish(attempt.delivery, outcome)
        raise attempt.predicate

    def _finish(
        self, delivery: Delivery, outcome: Outcome, *, is_step: bool = True
    ) -> Execution | None:
        try:
            return self.executor.finish(delivery, outcome, is_step=is_step)
        except BackendUnavailable as error:
            if delivery.is_hint:
                raise LeftToLedger(State.QUEUED) from error
            raise Reject(str(error), requeue=True) from error

    def _end_with_others(self, attempt: Attempt, outcome: Outcome) -> Execution | None:
        """Leave a success to be written with those around it, if it was claimed with them."""
        bunch, claimed = bunches.current.get(), attempt.claimed
        if (
            bunch is None
            or claimed is None
            or claimed.fence != bunch.fence
            or not isinstance(outcome, Done)
            or not self.executor.may_end_later(claimed)
        ):
            return None
        bunch.end(claimed, outcome, attempt.since)
        return Execution(outcome, State.SUCCEEDED, is_step=claimed.run_id is not None)

    def _fail_left(self, outcome: Outcome) -> None:
        """End those whose replacement comes later in the canvas that fails here."""
        ids = list(_ids_after(self.request))
        if ids and isinstance(outcome, Fail | TimedOut):
            self.settler.fail_left(ids, settle(outcome))

    def _answer(self, attempt: Attempt, value: Any, execution: Execution) -> Any:
        if isinstance(attempt.predicate, Ignore | Reject):
            raise attempt.predicate
        match execution.outcome:
            case Done():
                return value
            case Fail(code, message, exception):
                if isinstance(exception, Exception) and not isinstance(
                    exception, _MEANT_FOR_CELERY
                ):
                    raise exception
                raise TaskExecutionError(self.request.id, code, message) from exception
            case TimedOut(timeout):
                raise SoftTimeLimitExceeded(timeout)
            case Retry(_, message, delay, exception=error) if attempt.predicate is None:
                raise CeleryRetry(None, error if isinstance(error, Exception) else message, delay)
        raise attempt.predicate or LeftToLedger(execution.state)

    # What the user's code asks of its task.

    def retry(self, *args: Any, throw: bool = True, **options: Any) -> Any:
        """Ask for another attempt, as Celery's `retry` does; the ledger waits for its time."""
        retry = super().retry(*args, throw=False, **options)
        attempt = attempts.current.get()
        if attempt is not None and attempt.is_at(self.request.id):
            attempt.predicate = retry
        if throw:
            raise retry
        return retry

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        """Tell those who wait at Celery's result backend how far the task is."""
        attempt = attempts.current.get()
        if attempt is not None and attempt.is_at(task_id or self.request.id):
            attempt.last_state, attempt.last_meta = state, meta
        super().update_state(task_id, state, meta, **options)

    def on_replace(self, sig: Any) -> Any:
        """Leave the row of this task to what replaces it, and send that."""
        attempt = attempts.current.get()
        if attempt is None or not attempt.is_at(self.request.id):
            return super().on_replace(sig)
        left = self.settler.leave(attempt.delivery.task_id, attempt.delivery.fence)
        if left is None or left.state is State.CANCELLED:
            raise LeftToLedger(None if left is None else left.state)
        is_step = left.run_id is not None
        attempt.execution = Execution(Cancel(), left.state, is_step=is_step)
        try:
            return super().on_replace(sig)
        except Ignore:
            raise
        except Exception as error:
            outcome = failure(error)
            self.settler.fail_left([attempt.delivery.task_id], settle(outcome))
            attempt.execution = Execution(outcome, State.FAILED, is_step=is_step)
            raise

    def arguments_of(self, task_id: str) -> Call:
        """Return the arguments of a call that the ledger keeps."""
        args, kwargs = self.executor.arguments_of(task_id)
        return Call(args, kwargs)

    def state_of(self, task_id: str) -> State | None:
        """Return a task's state in the ledger, if anybody is to be told of it."""
        if not self.app.conf.worker_send_task_events:
            return None
        try:
            return self.executor.state_of(task_id)
        except BackendUnavailable:
            return None


class CapabilityTask(LedgerTask):
    """The Celery task of a capability or a processor."""

    kind: TaskType

    ignore_result = False
    typing = False
    throws = (DatamcpError, SoftTimeLimitExceeded)  # logged in a line, not with a traceback
    abstract = True

    @property
    def may_share_a_slot(self) -> bool:
        """Tell whether the ledger has no more to do with a claim than to make it."""
        return self.kind.limit is None

    def run_together(self, entries: Sequence[Sequence[Any]]) -> list[Any]:
        """Run tasks that a slot has got at once; return what Celery's tracer does, for each."""
        request = entries[0][2]
        fence, agent_id = request[FENCE], request["hostname"]
        bunch = Bunch(
            self._claim_together([task_id for _, task_id, *_ in entries], fence, agent_id),
            fence=fence,
            agent_id=agent_id,
            settler=self.settler,
            budget=self.app.brevity.budget,
        )
        trace = fast_trace_task if self.app.use_fast_trace_task else trace_task_ret
        tokens = bunches.current.set(bunch), before_waiting.set(bunch.flush)
        try:
            with self.app.patrol.over(bunch.look):
                results = [trace(*entry) for entry in entries]
        finally:
            bunches.current.reset(tokens[0])
            before_waiting.reset(tokens[1])
            with suppress(BackendUnavailable):  # then their leases run out
                bunch.close()
        return [
            _put_aside() if task_id in bunch.lost else result
            for (_, task_id, *_), result in zip(entries, results, strict=True)
        ]

    def _claim_together(
        self, task_ids: Sequence[str], fence: str, agent_id: str
    ) -> Sequence[Claimed]:
        try:
            return self.executor.claim_together(task_ids, fence, agent_id)
        except BackendUnavailable:
            return ()  # each is tried by itself

    def _arguments(self, claimed: Claimed) -> Call:  # noqa: ARG002  the executor has them
        return Call([], {})

    def _time_of(self, claimed: Claimed, request: Mapping[str, Any]) -> float | None:  # noqa: ARG002  the ledger alone says so
        return claimed.timeout

    def _run(
        self, attempt: Attempt, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Outcome]:
        if attempt.claimed is None:
            return super()._run(attempt, args, kwargs)
        outcome = self.executor.attempt(attempt.claimed, attempt.delivery.agent_id)
        if isinstance(outcome, Fail) and terminate_handler_fired():
            return None, _interrupted(attempt, outcome.exception)
        return json.loads(outcome.result) if isinstance(outcome, Done) else None, outcome

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the capability here and now, without the ledger: what Celery's `apply` does."""
        return self.executor.run_here(self.name, args, kwargs, task_id=self.request.id)


def ledgered(base: type) -> type[LedgerTask]:
    """Return a class of Celery tasks as one whose attempts are the ledger's."""
    if issubclass(base, LedgerTask):
        return base
    members = {"__module__": base.__module__, "__doc__": base.__doc__, "abstract": True}
    made: type[LedgerTask] = type(base.__name__, (LedgerTask, base), members)
    return made


def bound_to_ledger(task: Any, app: Any) -> Any:
    """Set on a task's own class what is not its own choice here: its app, and how it is received."""
    type(task).app = app
    for name in ("Request", *_ACKNOWLEDGEMENT):
        setattr(type(task), name, getattr(LedgerTask, name))
    return task


_ACKNOWLEDGEMENT = (
    "acks_late",
    "acks_on_failure",
    "acks_on_timeout",
    "reject_on_worker_lost",
    "retry_on_worker_lost",
)


def _others(request: Mapping[str, Any]) -> Sequence[str]:
    """Return the tasks that a message names besides its own; none where it names them wrongly."""
    match request.get(BATCH):
        case [*named] if len(named) < MOST_TOGETHER and all(isinstance(one, str) for one in named):
            return named
    return ()


def _may_begin(slot: Slot) -> bool:
    """Tell whether anything may begin in a slot, once it may or a moment has passed.

    Whoever answered at once would take message after message that other workers could work on.
    """
    try:
        for _ in range(int(_LONELY / _PAUSE)):
            if slot.may_begin():
                return True
            Event().wait(_PAUSE)
    except SoftTimeLimitExceeded:
        return False
    return slot.may_begin()


def slot_number() -> int | None:
    """Return the number of this process's slot; None where a process has many."""
    number: int | None = getattr(current_process(), "index", None)
    return number


def _hold(slot: Slot, claimed: Claimed, seconds: float | None) -> None:
    """Show a claim in the slot, and how much time it has."""
    now = monotonic()
    deadline = None if seconds is None else now + seconds
    slot.hold(claimed.task_id, claimed.fence, since=now, deadline=deadline)


def _release() -> None:
    slot = slots.current.get()
    if slot is not None:
        slot.release()


def _plain_call(
    task: LedgerTask, args: Sequence[Any], kwargs: Mapping[str, Any], request: Mapping[str, Any]
) -> PlainCall:
    """Return what a plain message asks for, to be kept when it is adopted."""
    context = Context(request)
    limits = Limits(*(context.timelimit or ()))
    headers = {name: one for name, one in (context.headers or {}).items() if name != FENCE}
    parts = {name: getattr(context, name) for name in CARRIED} | {
        "group_id": context.group,
        "headers": headers,
        "timelimit": limits.carried,
    }
    return PlainCall(
        celery_result=not get_actual_ignore_result(task, context),
        canvas=canvas_of(parts),
        args=args,
        kwargs=kwargs,
        timeout=limits.timeout,
        attempt=int(context.retries or 0),
        due=instant(context.eta),
        expires_at=instant(context.expires),
        root_id=context.root_id,
        parent_id=context.parent_id,
    )


def _request_of(attempt: Attempt, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Celery's tracer shows to the user's code as `self.request`."""
    told = {name: value for name, value in request.items() if name not in {HINT, FENCE}}
    told |= {"args": attempt.args, "kwargs": attempt.kwargs, "eta": None}
    claimed = attempt.claimed
    if claimed is not None:
        expires = None if claimed.expires_at is None else claimed.expires_at.isoformat()
        told |= {"retries": claimed.attempt - 1, "expires": expires}
    return told


def _interrupted(attempt: Attempt, error: BaseException | None) -> Snooze:
    """Have the process end, as a signal asked it to; the attempt is made anew elsewhere."""
    attempt.predicate = error if isinstance(error, SystemExit) else SystemExit(1)
    return Snooze(code=INTERRUPTED)


def run_together(entries: Sequence[Sequence[Any]]) -> list[Any]:
    """Run tasks of one type in this slot, one after the other: a job of a worker's pool."""
    task: CapabilityTask = current_app.tasks[entries[0][0]]
    return task.run_together(entries)


def _put_aside() -> Any:
    """Return what a pool is told of a task with which the ledger has more to do than Celery."""
    info, _, seconds, _ = _untraced(LeftToLedger(None))
    return 1, info, seconds


def _untraced(predicate: TaskPredicate) -> Any:
    """Return what a tracer returns of a message that it puts aside."""
    state = states.REJECTED if isinstance(predicate, Reject) else states.IGNORED
    try:
        raise predicate
    except TaskPredicate as raised:
        return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(state, raised), 0.0, None)


def _ignored(attempt: Attempt, order: Ignore) -> Outcome:
    """Return how a task ended that raised `Ignore`: as it told the result backend, if it did."""
    meta = attempt.last_meta
    match attempt.last_state:
        case states.SUCCESS:
            return Done(result_text(meta))
        case states.FAILURE:
            told = meta if isinstance(meta, Mapping) else {}
            message = told.get("exc_message") or meta or "the task said so"
            return Fail(str(told.get("exc_type") or "Ignore"), str(message))
    return Cancel(IGNORED, str(order) or "the task raised Ignore")


def _ids_after(request: Any) -> Iterator[str]:
    """Yield the ids of what was to come later in the canvas of a task."""
    for part in [*(request.chain or ()), *([request.chord] if request.chord else ())]:
        task_id = (part.get("options") or {}).get("task_id")
        if task_id:
            yield task_id
