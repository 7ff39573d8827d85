"""The Celery app of our processes: what is sent through it is in the ledger first.

`send_task` is the one road that `.delay()`, `.apply_async()`, canvases, `celery call` and beat
entries all take (protocol R14).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from celery import Celery, _state
from kombu import pools

from datamcp.clock import Clock, SystemClock
from datamcp.errors import BackendUnavailable, Problem, TaskError
from datamcp.infra.celery import publishing
from datamcp.tasks import attempt as attempts
from datamcp.tasks.attempt import Again, Attempt
from datamcp.tasks.call import (
    instant,
    limits_of_call,
    parts_of,
    queue_of,
    refuse,
    with_defaults,
)
from datamcp.tasks.enqueue import Enqueuer, PlainCall
from datamcp.tasks.execute import Executor
from datamcp.tasks.intake import AtOnce, Intake, WithSlot
from datamcp.tasks.ledger import Hint, Inserted, NewTask
from datamcp.tasks.logs import TaskLogs
from datamcp.tasks.pace import Brevity
from datamcp.tasks.patrol import Patrol
from datamcp.tasks.ports import TaskType
from datamcp.tasks.publish import HINT, broker_errors, canvas_of, limits_of, once_more, transport_of
from datamcp.tasks.queues import DEFAULT, broker_priority, is_redis
from datamcp.tasks.result import LedgerResult
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import SlotTable
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.tasks.watch import contents
from datamcp.tasks.worker import LedgerTask, bound_to_ledger, ledgered
from datamcp.telemetry import Telemetry
from datamcp.types import new_id

LEDGERED_BUILT_INS = frozenset(
    {"celery.accumulate", "celery.chunks", "celery.map", "celery.starmap"}
)
"""Celery's own tasks that do the work of others, and are kept in the ledger like these."""

_BUILT_IN = "celery."

_taken_group: ContextVar[str | None] = ContextVar("taken_group", default=None)
"""The group of whose calls the first found room."""

NO_BROKER = "none is configured; set DATAMCP_BROKER__URL, such as redis://127.0.0.1:6379/0"


class LedgerCelery(Celery):  # type: ignore[misc]
    """A Celery app that writes the ledger before it publishes."""

    control_cls = "datamcp.tasks.control:LedgerControl"
    beat_cls = "celery.apps.beat:Beat"

    # Set once, when the parts are put together.
    enqueuer: Enqueuer | None = None
    executor: Executor | None = None
    settler: Settler | None = None
    logs: TaskLogs | None = None
    runtime: Any = None
    task_factory: Callable[[str], Any] | None = None
    pool_to_serve: str | None = None
    """The agent type that this app's workers serve; None for all."""
    has_broker: bool = True
    cautions: Sequence[Problem] = ()
    """What each start of a process repeats: what is allowed and yet dangerous."""
    telemetry: Telemetry = Telemetry()
    wall_clock: Clock = SystemClock()
    brevity: Brevity = Brevity()

    sends_firings: bool = False
    """Whether this process is beat, whose calls no full queue refuses (protocol R16)."""

    serves: bool = False
    """Whether this process is a worker of ours, in which other apps of a project give way."""

    _declared: frozenset[Any] = frozenset()
    _producers: Any = None
    _has_ledger: bool = False

    @cached_property
    def slots(self) -> SlotTable:
        """What the slots of this worker work on; a worker makes it before it forks."""
        return SlotTable()

    @cached_property
    def patrol(self) -> Patrol:
        """Who looks after tasks that run together, beside them."""
        return Patrol()

    @cached_property
    def intake(self) -> Intake:
        """Who decides how many messages a worker takes."""
        return AtOnce() if is_redis(transport_of(self)) else WithSlot()

    @cached_property
    def Beat(self) -> Any:  # noqa: D102, N802  Celery's property
        return self.subclass_with_self(self.beat_cls)

    @cached_property
    def AsyncResult(self) -> Any:  # noqa: D102, N802  Celery's property
        return self.subclass_with_self(LedgerResult, name="AsyncResult")

    def served_queues(self) -> Collection[str]:
        """Return the queues that this process works for: none, unless it is a worker's."""
        return list(self.amqp.queues.consume_from) if self.serves else ()

    def task_of(self, name: str) -> Any:
        """Return the Celery task of a task type; raises UnknownTaskTypeError."""
        if name in self.tasks or self.task_factory is None:
            return self.tasks[name]
        return self.task_factory(name)

    def require_broker(self) -> None:
        """Raise BackendUnavailable, in a line that says what to do, if no broker is configured."""
        if not self.has_broker:
            raise BackendUnavailable("broker", NO_BROKER)

    @property
    def producer_pool(self) -> Any:
        """The producers: their connections give up soon where the broker does not answer."""
        if self._producers is None:
            limit = self.pool.limit  # has a fork forget both pools
            options = publishing(str(self.conf.broker_write_url or self.conf.broker_url))
            self._producers = pools.producers[self.connection_for_write(**options)]
            self._producers.limit = limit
        return self._producers

    def _after_fork(self) -> None:
        self._producers = None
        super()._after_fork()

    def producer_or_acquire(self, producer: Any = None) -> Any:  # noqa: D102  Celery's method
        self.require_broker()
        return super().producer_or_acquire(producer)

    # The tasks of a project.

    def finalize(self, auto: bool = False) -> None:  # noqa: D102, FBT  Celery's method
        super().finalize(auto=auto)
        if not self._declared:
            self._declared = frozenset(_state._on_app_finalizers)  # noqa: SLF001  no other way

    def take_shared(self) -> None:
        """Register tasks of other apps and of none that were declared since the app was finalized.

        Celery hands them to every app when that is finalized, and those of `shared_task` later,
        too; here modules with tasks of an app of their own are imported when they are needed.
        """
        self.finalize()
        finalizers = frozenset(_state._on_app_finalizers)  # noqa: SLF001  as above
        for declare in finalizers - self._declared:
            declare(self)
        self._declared = finalizers

    def _task_from_fun(
        self, fun: Any, name: str | None = None, base: Any = None, **options: Any
    ) -> Any:
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        if is_exempt(name):
            return super()._task_from_fun(fun, name=name, base=base, **options)
        task = super()._task_from_fun(fun, name=name, base=ledgered(base or self.Task), **options)
        return bound_to_ledger(task, self)

    @cached_property
    def twins(self) -> dict[str, tuple[str, str]]:
        """The paths of two functions that were declared under one name; the first counts."""
        return {}

    def _warn_duplicate_task_name(
        self, name: str, existing: str, new: str, consequence: str
    ) -> None:
        self.twins[name] = (existing, new)
        super()._warn_duplicate_task_name(name, existing, new, consequence)

    def register_task(self, task: Any, **options: Any) -> Any:  # noqa: D102  Celery's method
        task = task() if isinstance(task, type) else task
        if not isinstance(task, LedgerTask):
            task.__class__ = ledgered(type(task))
        return bound_to_ledger(super().register_task(task, **options), self)

    # Calls.

    def send_task(  # noqa: D102  Celery's method; its documentation holds
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        headers = options.get("headers") or {}
        if HINT in headers or is_exempt(name):
            return super().send_task(name, args, kwargs, **options)
        if self.enqueuer is None:
            raise TaskError(f"{name} can't be sent: this app is not part of a runtime")
        kind = self.enqueuer.type_of(name)
        if options.get("task_type") is None:
            options = with_defaults(options, kind)
        refuse(name, options)
        attempt = attempts.current.get()
        if attempt is not None and _is_retry(attempt, options):
            return self._note_retry(attempt, kind, args or (), kwargs or {}, options)
        return self._call(kind, args or (), kwargs or {}, options)

    def _note_retry(
        self,
        attempt: Attempt,
        kind: TaskType,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Any:
        """Keep what the task that runs here asks of its next attempt; the ledger does the rest."""
        is_same = list(args) == list(attempt.args) and dict(kwargs) == dict(attempt.kwargs)
        is_step = attempt.claimed is not None and attempt.claimed.run_id is not None
        if is_step and not is_same:
            raise TaskError(f"{kind.name}: a step of a run can't be retried with other arguments")
        countdown = options.get("countdown")
        attempt.again = Again(
            delay=0.0 if countdown is None else float(countdown),
            due=None if countdown is not None else self.aware(options.get("eta")),
            parameters=None if is_same else kind.parameters.dump_call(args, kwargs),
            canvas=None if is_step else canvas_of(self._parts(options)) or "{}",
            queue=queue_of(kind, options.get("queue")),
        )
        return self._result(attempt.delivery.task_id, options)

    def _call(
        self,
        kind: TaskType,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: dict[str, Any],
    ) -> Any:
        plain = self._plain_call(kind, args, kwargs, options)
        self._require_room(plain.queue or kind.queue, plain.due, options)
        inserted, hint = self._insert(self._task(kind, options), plain)
        if inserted.state is State.QUEUED:  # else the reconciler sends it in time, or never
            self._send_hint(hint, options)
        return self._tracked(hint.task_id, options)

    def as_new(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> NewTask:
        """Return a plain call as the task that it is to be inserted as; raises TaskError."""
        if self.enqueuer is None:
            raise TaskError(f"{name} can't be sent: this app is not part of a runtime")
        kind = self.enqueuer.type_of(name)
        options = with_defaults(options, kind)
        refuse(name, options)
        plain = self._plain_call(kind, args, kwargs, options)
        return self.enqueuer.check(self._task(kind, options), plain)

    def _task(self, kind: TaskType, options: Mapping[str, Any]) -> Task:
        priority = options.get("priority")
        return Task(
            task_id=options.get("task_id") or new_id(self.wall_clock.now()),
            task_type=kind.name,
            priority=DEFAULT if priority is None else priority,
        )

    def _plain_call(
        self,
        kind: TaskType,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> PlainCall:
        limits, parent = limits_of_call(options), self.current_worker_task
        request = None if parent is None else parent.request
        root = None if request is None else request.root_id or request.id
        return PlainCall(
            celery_result=not options.get("ignore_result"),
            canvas=canvas_of(self._parts(options)),
            args=args,
            kwargs=kwargs,
            queue=queue_of(kind, self._wanted_queue(kind, args, kwargs, options)),
            timeout=limits.timeout,
            due=self._due(options),
            expires_at=self.aware(options.get("expires")),
            attempt=int(options.get("retries") or 0),
            root_id=options.get("root_id") or root,
            parent_id=options.get("parent_id") or (None if request is None else request.id),
        )

    def _parts(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return parts_of(options, limits_of_call(options))

    def _wanted_queue(
        self,
        kind: TaskType,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Any:
        """Return the queue that a call names, or `task_routes` name for it."""
        wanted = options.get("queue") or options.get("routing_key")
        if not wanted and kind.name in LEDGERED_BUILT_INS:
            return self._queue_of_work(args, kwargs)
        if wanted or not self.conf.task_routes:
            return wanted
        route = self.amqp.router.lookup_route(
            kind.name, args, kwargs, dict(options), kind.celery_task
        )
        return route.get("queue") if isinstance(route, Mapping) else route

    def _queue_of_work(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Return the queue of what `celery.map` and its like run; else that of the task here."""
        attempt = attempts.current.get()
        work = kwargs.get("task") or next(iter(args), None)
        if isinstance(work, Mapping) and "task" in work and self.enqueuer is not None:
            return self.enqueuer.type_of(str(work["task"])).queue
        claimed = None if attempt is None else attempt.claimed
        return None if claimed is None else claimed.queue

    def _require_room(self, queue: str, due: datetime | None, options: Mapping[str, Any]) -> None:
        """Refuse a client's call if the queue is full; a group is refused as a whole, or taken."""
        group = options.get("group_id")
        if self.enqueuer is None or self.sends_firings or (group and group == _taken_group.get()):
            return
        self._require_ledger()
        self.enqueuer.require_room(queue, due)
        _taken_group.set(group)

    def _insert(self, task: Task, plain: PlainCall) -> tuple[Inserted, Hint]:
        if self.enqueuer is None:
            raise TaskError(f"{task.task_type} can't be sent: this app is not part of a runtime")
        self._require_ledger()
        return self.enqueuer.insert(task, plain)

    def _require_ledger(self) -> None:
        """Look once whether the ledger fits, as `connect()` does."""
        if not self._has_ledger and self.runtime is not None:
            self.runtime.require_ledger()
        self._has_ledger = True

    def _send_hint(self, hint: Hint, options: Mapping[str, Any]) -> None:
        """Send the message of a row that is committed; if the broker is away, it is sent later."""
        passed_on = {name: value for name, value in options.items() if name not in _OURS}
        send = partial(super().send_task, hint.task_type, (), {}, **passed_on)
        try:
            with (
                broker_errors(self),
                self.producer_or_acquire(options.get("producer")) as producer,
            ):
                once_more(
                    producer,
                    lambda: send(
                        producer=producer,
                        retry=False,
                        task_id=hint.task_id,
                        queue=hint.queue,
                        priority=broker_priority(hint.priority, transport_of(self)),
                        headers={**(options.get("headers") or {}), HINT: 1},
                        argsrepr="",
                        kwargsrepr=contents(hint.step_id, hint.root_id),
                        root_id=hint.root_id,
                        parent_id=hint.parent_id,
                        retries=hint.attempt,
                        expires=None,
                        add_to_parent=False,
                        **limits_of(hint),
                    ),
                )
        except BackendUnavailable as error:
            self.telemetry.emit("task.publish_failed", task_id=hint.task_id, reason=error.reason)

    def _tracked(self, task_id: str, options: Mapping[str, Any]) -> Any:
        """Return the result of a call, and tell the task that made the call of it."""
        result, parent = self._result(task_id, options), self.current_worker_task
        if options.get("add_to_parent", True) and parent is not None:
            parent.add_trail(result)
        return result

    def _result(self, task_id: str, options: Mapping[str, Any]) -> Any:
        result = (options.get("result_cls") or self.AsyncResult)(task_id)
        result.ignored, result.is_plain = bool(options.get("ignore_result")), True
        return result

    def _due(self, options: Mapping[str, Any]) -> datetime | None:
        countdown = options.get("countdown")
        return self.aware(options.get("eta") if countdown is None else countdown)

    def aware(self, value: Any) -> datetime | None:
        """Return an instant that Celery would take, or seconds from now; raises TaskError."""
        return instant(value, now=self.wall_clock.now(), zone=self.timezone)


_OURS = frozenset(
    {
        "add_to_parent",
        "argsrepr",
        "countdown",
        "eta",
        "exchange",
        "expires",
        "headers",
        "kwargsrepr",
        "parent_id",
        "priority",
        "producer",
        "queue",
        "result_cls",
        "retries",
        "retry",
        "retry_policy",
        "root_id",
        "routing_key",
        "serializer",
        "soft_time_limit",
        "task_id",
        "time_limit",
    }
)
"""Options that the ledger, or the hint, says for itself."""


def is_exempt(name: str) -> bool:
    """Tell whether a task is one of Celery's own that the ledger has nothing to do with."""
    return name.startswith(_BUILT_IN) and name not in LEDGERED_BUILT_INS


def _is_retry(attempt: Attempt, options: Mapping[str, Any]) -> bool:
    """Tell whether a call is what `Task.retry` sends: the task that runs here, once more."""
    made = 0 if attempt.claimed is None else attempt.claimed.attempt
    return attempt.is_at(options.get("task_id")) and options.get("retries") == made
