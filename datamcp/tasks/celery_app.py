"""The Celery app of our processes: what is sent through it is in the ledger first.

`send_task` is the one road that `.delay()`, `.apply_async()`, canvases, `celery call` and beat
entries all take (protocol R14).
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from datamcp.clock import Clock, SystemClock
from datamcp.errors import BackendUnavailable, TaskError
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.publish import HINT, limits, transport_of
from datamcp.tasks.queues import DEFAULT, broker_priority
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.types import new_id

_BUILT_IN = "celery."

NO_BROKER = "none is configured: set broker.url (DATAMCP_BROKER__URL), or start a stack here"


unawaited: ContextVar[bool] = ContextVar("datamcp_unawaited", default=False)
"""Whether what is sent from here is awaited by nobody at the result backend: steps of a run."""


class LedgerResult(AsyncResult):  # type: ignore[misc]
    """Celery's result, which does not subscribe to what nobody awaits.

    A group makes one promise for each member, and each would be a subscription in Redis.
    """

    def then(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102  Celery's method
        return None if unawaited.get() else super().then(*args, **kwargs)


class LedgerCelery(Celery):  # type: ignore[misc]
    """A Celery app that writes the ledger before it publishes."""

    # Set once, when the parts are put together.
    enqueuer: Enqueuer | None = None
    runtime: Any = None
    task_factory: Callable[[str], Any] | None = None
    pool_to_serve: str | None = None
    """The agent type that this app's workers serve; None for all."""
    has_broker: bool = True
    wall_clock: Clock = SystemClock()

    @cached_property
    def AsyncResult(self) -> Any:  # noqa: D102, N802  Celery's property
        return self.subclass_with_self(LedgerResult, name="AsyncResult")

    def task_of(self, name: str) -> Any:
        """Return the Celery task of a task type; raises UnknownTaskTypeError."""
        if name in self.tasks or self.task_factory is None:
            return self.tasks[name]
        return self.task_factory(name)

    def require_broker(self) -> None:
        """Raise BackendUnavailable, in a line that says what to do, if no broker is configured."""
        if not self.has_broker:
            raise BackendUnavailable("broker", NO_BROKER)

    def producer_or_acquire(self, producer: Any = None) -> Any:  # noqa: D102  Celery's method
        self.require_broker()
        return super().producer_or_acquire(producer)

    def send_task(  # noqa: D102  Celery's method; its documentation holds
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        headers = options.get("headers") or {}
        if HINT in headers or name.startswith(_BUILT_IN):
            return super().send_task(name, args, kwargs, **options)
        return self._send_ledgered(name, args or (), kwargs or {}, options)

    def _send_ledgered(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: dict[str, Any],
    ) -> Any:
        if self.enqueuer is None:
            raise TaskError(f"{name} can't be sent: this app is not part of a runtime")
        if options.get("expires") is not None:
            raise TaskError(f"{name}: `expires` is not supported")
        due = self._due(options.pop("eta", None), options.pop("countdown", None))
        priority = options.pop("priority", None)
        task = Task(
            task_id=options.pop("task_id", None) or new_id(self.wall_clock.now()),
            task_type=name,
            parameters=self.enqueuer.bind(name, args, kwargs),
            priority=DEFAULT if priority is None else priority,
            scheduled_at=due,
        )
        inserted, hint = self.enqueuer.insert(task, is_plain=True)
        if inserted.is_new and inserted.state is State.SCHEDULED and not _carries(options):
            return self.AsyncResult(task.task_id)  # the reconciler sends it in time
        hint = replace(hint, timeout=options.pop("soft_time_limit", None) or hint.timeout)
        return self._send_hint(hint.task_id, name, hint.queue, task.priority, hint.timeout, options)

    def _send_hint(
        self,
        task_id: str,
        name: str,
        queue: str,
        priority: int,
        timeout: float | None,
        options: dict[str, Any],
    ) -> Any:
        options.pop("time_limit", None)
        options.pop("routing_key", None)
        options.pop("exchange", None)
        return super().send_task(
            name,
            (),
            {},
            **{
                **options,
                "task_id": task_id,
                "queue": queue,
                "priority": broker_priority(priority, transport_of(self)),
                "headers": {**(options.get("headers") or {}), HINT: 1},
                **limits(timeout),
            },
        )

    def _due(self, eta: datetime | str | None, countdown: float | None) -> datetime | None:
        if countdown is not None:
            return self.wall_clock.now() + timedelta(seconds=countdown)
        if isinstance(eta, str):
            eta = datetime.fromisoformat(eta)
        if eta is not None and eta.tzinfo is None:
            eta = eta.replace(tzinfo=self.timezone)
        return eta


def _carries(options: Mapping[str, Any]) -> bool:
    """Tell whether a message is part of a canvas, so that it must travel whatever its time."""
    return any(options.get(name) for name in ("chain", "chord", "link", "link_error", "group_id"))
