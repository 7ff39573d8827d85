"""The Celery app of our processes: what is sent through it is in the ledger first.

`send_task` is the one road that `.delay()`, `.apply_async()`, canvases, `celery call` and beat
entries all take (protocol R14).
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from datamcp.clock import Clock, SystemClock
from datamcp.errors import BackendUnavailable, Problem, TaskError
from datamcp.tasks.enqueue import Enqueuer, PlainCall
from datamcp.tasks.ledger import Hint
from datamcp.tasks.publish import HINT, broker_errors, canvas_of, limits, transport_of
from datamcp.tasks.queues import DEFAULT, broker_priority
from datamcp.tasks.states import State
from datamcp.tasks.task import Task
from datamcp.tasks.watch import contents
from datamcp.telemetry import Telemetry
from datamcp.types import new_id

_BUILT_IN = "celery."

NO_BROKER = "none is configured; set DATAMCP_BROKER__URL, such as redis://127.0.0.1:6379/0"


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
    cautions: Sequence[Problem] = ()
    """What each start of a process repeats: what is allowed and yet dangerous."""
    telemetry: Telemetry = Telemetry()
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
        if options.pop("expires", None) is not None:
            raise TaskError(f"{name}: `expires` is not supported")
        due = self._due(options.pop("eta", None), options.pop("countdown", None))
        hard, soft = options.pop("time_limit", None), options.pop("soft_time_limit", None)
        priority = options.pop("priority", None)
        task = Task(
            task_id=options.pop("task_id", None) or new_id(self.wall_clock.now()),
            task_type=name,
            parameters=self.enqueuer.bind(name, args, kwargs),
            priority=DEFAULT if priority is None else priority,
            timeout=soft or hard,
            scheduled_at=due,
        )
        plain = PlainCall(
            celery_result=not options.get("ignore_result"), canvas=canvas_of(_body_names(options))
        )
        inserted, hint = self.enqueuer.insert(task, plain)
        if inserted.state is not State.SCHEDULED:  # else the reconciler sends it in time
            self._send_hint(hint, options)
        return self.AsyncResult(hint.task_id)

    def _send_hint(self, hint: Hint, options: Mapping[str, Any]) -> None:
        """Send the message of a row that is committed; if the broker is away, it is sent later."""
        ours = {"routing_key", "exchange", "queue", "headers", "argsrepr", "kwargsrepr"}
        passed_on = {name: value for name, value in options.items() if name not in ours}
        try:
            with broker_errors(self):
                super().send_task(
                    hint.task_type,
                    (),
                    {},
                    **passed_on,
                    task_id=hint.task_id,
                    queue=hint.queue,
                    priority=broker_priority(hint.priority, transport_of(self)),
                    headers={**(options.get("headers") or {}), HINT: 1},
                    argsrepr="",
                    kwargsrepr=contents(hint.step_id, hint.root_id),
                    **limits(hint.timeout),
                )
        except BackendUnavailable as error:
            self.telemetry.emit("task.publish_failed", task_id=hint.task_id, reason=error.reason)

    def _due(self, eta: datetime | str | None, countdown: float | None) -> datetime | None:
        if countdown is not None:
            return self.wall_clock.now() + timedelta(seconds=countdown)
        if isinstance(eta, str):
            eta = datetime.fromisoformat(eta)
        if eta is not None and eta.tzinfo is None:
            eta = eta.replace(tzinfo=self.timezone)
        return eta


def _body_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call under the names that they have in a message."""
    return {
        **options,
        "callbacks": _listed(options.get("link")),
        "errbacks": _listed(options.get("link_error")),
    }


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple) else [value]
