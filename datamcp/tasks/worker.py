"""A Celery task in a worker's child: how a message becomes an attempt, and what Celery is told.

Celery's tracer runs around the user's code: signals, hooks, the result backend, what follows in a
canvas. Ours runs around that one, and claims first: a message that may start nothing touches none
of it. The end is written to the ledger as soon as the code has ended, before Celery hears of it.
"""

import json
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

from billiard.common import terminate_handler_fired
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task as CeleryTask
from celery import states
from celery.app.task import Context, get_actual_ignore_result
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore, Reject, TaskPredicate
from celery.exceptions import Retry as CeleryRetry
from kombu.exceptions import EncodeError

from datamcp.errors import BackendUnavailable, DatamcpError, TaskExecutionError
from datamcp.tasks import attempt as attempts
from datamcp.tasks.arguments import Call, result_text
from datamcp.tasks.attempt import Attempt, unawaited
from datamcp.tasks.call import Limits, instant
from datamcp.tasks.claim import Delivery
from datamcp.tasks.enqueue import PlainCall
from datamcp.tasks.execute import Execution, Executor
from datamcp.tasks.ledger import Claimed
from datamcp.tasks.outcome import (
    IGNORED,
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
from datamcp.tasks.publish import CARRIED, HINT, canvas_of
from datamcp.tasks.request import FENCE, LedgerRequest, LeftToLedger
from datamcp.tasks.settle import Settler
from datamcp.tasks.states import FAILURES, State
from datamcp.types import new_token

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
    def executor(self) -> Executor:
        """Who claims and records."""
        executor: Executor = self.app.executor
        return executor

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
        """Claim the task that a message names, and have Celery run it."""
        unawaited.set(False)
        delivery = self._delivery(task_id, args, kwargs, request or {})
        try:
            attempt = self._begin(delivery)
        except TaskPredicate as predicate:
            return _untraced(predicate)
        token = attempts.current.set(attempt)
        try:
            told = _request_of(attempt, request or {})
            return tracer(task_id, attempt.args, attempt.kwargs, told)
        finally:
            attempts.current.reset(token)
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
            claimed = self.executor.claim(delivery)
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

    def _arguments(self, claimed: Claimed) -> Call:
        call: Call = self.executor.arguments(claimed)
        return call

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
        execution = attempt.execution or self._finish(attempt.delivery, outcome)
        attempt.execution = execution
        if execution is None:
            raise LeftToLedger(self.state_of(attempt.delivery.task_id))
        if execution.state is State.CANCELLED and not isinstance(outcome, Cancel):
            raise LeftToLedger(execution.state)
        unawaited.set(execution.is_step)  # holds for what Celery sends next: the rest of a canvas
        if execution.is_step and execution.state is not State.SUCCEEDED:
            self.request.chord = None  # the ledger decides about the body; Celery would only log
        if execution.state in FAILURES:
            self._fail_left(outcome)
        return self._answer(attempt, value, outcome)

    def _run(
        self, attempt: Attempt, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Outcome]:
        """Run the user's function; return what it returned, and its outcome."""
        try:
            value = self._call(attempt, args, kwargs)
        except SoftTimeLimitExceeded:
            return None, TimedOut(None if attempt.claimed is None else attempt.claimed.timeout)
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

    def _finish(self, delivery: Delivery, outcome: Outcome) -> Execution | None:
        try:
            return self.executor.finish(delivery, outcome)
        except BackendUnavailable as error:
            if delivery.is_hint:
                raise LeftToLedger(State.QUEUED) from error
            raise Reject(str(error), requeue=True) from error

    def _fail_left(self, outcome: Outcome) -> None:
        """End those whose replacement comes later in the canvas that fails here."""
        ids = list(_ids_after(self.request))
        if ids and isinstance(outcome, Fail | TimedOut):
            self.settler.fail_left(ids, settle(outcome))

    def _answer(self, attempt: Attempt, value: Any, outcome: Outcome) -> Any:
        if isinstance(attempt.predicate, Ignore | Reject):
            raise attempt.predicate
        match outcome:
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
        raise attempt.predicate or LeftToLedger(State.CANCELLED)

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

    ignore_result = False
    typing = False
    throws = (DatamcpError, SoftTimeLimitExceeded)  # logged in a line, not with a traceback
    abstract = True

    def _arguments(self, claimed: Claimed) -> Call:  # noqa: ARG002  the executor has them
        return Call([], {})

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
    return Snooze()


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
