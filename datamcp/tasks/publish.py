"""Where a hint leaves for the broker."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils import json

from datamcp.clock import Clock, SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.infra.celery import PATIENCE
from datamcp.tasks.confirm import Confirms, confirms
from datamcp.tasks.ledger import Hint
from datamcp.tasks.many import Stencils, is_watched, send_together
from datamcp.tasks.queues import broker_priority
from datamcp.tasks.watch import contents

HINT = "datamcp_hint"
"""The header that marks a message as ours: it names a row and carries nothing else."""

BATCH = "datamcp_batch"
"""The header in which a hint names more tasks of its kind: they travel with it (protocol R18)."""

CARRIED = (
    "callbacks",
    "chain",
    "chord",
    "errbacks",
    "group_index",
    "replaced_task_nesting",
    "shadow",
    "stamped_headers",
    "stamps",
)
"""What a message of a plain call carries besides its hint, by Celery's names."""

_KEPT = frozenset({*CARRIED, "group_id", "headers", "timelimit"})
_NOTHING: tuple[Any, ...] = (None, 0, [], {})

TIMEOUT_GRACE = 5.0
"""Seconds after a task's timeout in which it may tidy up; then its process is killed."""

_PAUSES = (0.0, 0.3)  # seconds before what failed at once is tried again
_AT_ONCE = 1.0  # seconds
_REST = 2.0  # seconds in which a broker that did not answer is not asked

T = TypeVar("T")


class BrokerPublisher:
    """Sends hints through a Celery app's connections. Safe to share between threads."""

    def __init__(self, app: Celery, clock: Clock | None = None) -> None:
        """Take the app, and a clock in tests; nothing is opened yet."""
        self._app = app
        self._clock = SystemClock() if clock is None else clock
        self._stencils = Stencils()
        self._confirms = Confirms(self._clock.monotonic)
        self._silence: tuple[float, BackendUnavailable] | None = None

    def publish(self, hints: Sequence[Hint]) -> None:
        """Send each hint to its queue, in order.

        Raises BackendUnavailable, within some seconds, if the broker does not take them; at once
        if it has just been silent. Sending a hint twice does no harm.
        """
        if not hints:
            return
        if is_watched(self._app):  # whoever looks at messages wants to see each task
            hints = list(_apart(hints))
        self._require_no_silence()
        began = self._clock.monotonic()
        try:
            with broker_errors(self._app), self._app.producer_or_acquire() as producer:
                once_more(producer, lambda: self._send_all(producer, hints))
        except BackendUnavailable as error:
            ended = self._clock.monotonic()
            self._silence = (ended + _REST, error) if ended - began >= PATIENCE else None
            raise

    def _require_no_silence(self) -> None:
        """Let many calls not wait one after the other for a broker that hangs."""
        silence = self._silence
        if silence is not None and self._clock.monotonic() < silence[0]:
            raise BackendUnavailable(silence[1].service, silence[1].reason)

    def _send_all(self, producer: Any, hints: Sequence[Hint]) -> None:
        if confirms(producer):
            self._confirms.push(producer.connection, hints, self._send)
        elif len(hints) == 1:
            self._send_one(producer, hints[0])
        else:
            send_together(self._app, producer, hints, self._send, self._stencils)

    def _send_one(self, producer: Any, hint: Hint) -> None:
        stencil = None
        if not is_watched(self._app):
            stencil = self._stencils.of(producer, hint, self._send)
        if stencil is None:
            self._send(producer, hint)
        else:
            stencil.push(producer, [hint])

    def _send(self, producer: Any, hint: Hint) -> None:
        amqp = self._app.amqp
        parts = carried(hint.canvas)
        headers = parts.pop("headers", None) or {}
        stamps = parts.pop("stamps", None) or {}
        parts.pop("timelimit", None)
        message = amqp.create_task_message(
            hint.task_id,
            hint.task_type,
            ignore_result=not hint.celery_result,
            retries=hint.attempt,
            root_id=hint.root_id,
            parent_id=hint.parent_id,
            **parts,
            **stamps,
            argsrepr="",
            kwargsrepr=contents(hint.step_id, hint.root_id),
            create_sent_event=self._app.conf.task_send_sent_event,
            **limits_of(hint),
        )
        amqp.send_task_message(
            producer,
            hint.task_type,
            message,
            queue=hint.queue,
            declare=_undeclared(producer, amqp.queues[hint.queue]),
            headers={**headers, HINT: 1, **({BATCH: list(hint.others)} if hint.others else {})},
            priority=broker_priority(hint.priority, transport_of(self._app)),
            retry=False,  # see `once_more`
        )


def _apart(hints: Sequence[Hint]) -> Iterator[Hint]:
    """Yield a hint for each task."""
    for hint in hints:
        for task_id in hint.task_ids:
            yield replace(hint, task_id=task_id, others=()) if hint.others else hint


def once_more(producer: Any, send: Callable[[], T]) -> T:
    """Send; and again, on a new connection, where the old one turns out at once to be gone.

    Celery's own way repeats what has run into a time limit, too: a call then takes minutes.
    """
    began = monotonic()
    for pause in _PAUSES:
        try:
            return send()
        except Exception as error:
            connection = producer.connection
            lost = (*connection.connection_errors, *connection.channel_errors, OperationalError)
            if not isinstance(error, lost):
                raise
            connection.collect()  # not politely: that would wait for an answer, too
            if monotonic() - began >= _AT_ONCE:
                raise
            Event().wait(pause)
            producer.revive(connection)
    return send()


@contextmanager
def broker_errors(app: Celery) -> Iterator[None]:
    """Turn what the broker's driver raises into BackendUnavailable."""
    try:
        yield
    except Exception as error:
        unavailable = _unavailable(app, error)
        if unavailable is None:
            raise
        raise unavailable from error


def _unavailable(app: Celery, error: Exception) -> BackendUnavailable | None:
    """Return what an error says of the broker, or of the result backend; None if nothing."""
    connection = app.connection_for_write()
    lost = (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
    if isinstance(error, lost):
        return BackendUnavailable(f"broker {connection.as_uri()}", _one_line(error))
    # What Celery's result backend makes of a lost connection.
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, lost):
        return BackendUnavailable("the result backend", _one_line(error.__cause__))
    return None


def _undeclared(producer: Any, queue: Any) -> list[Any]:
    """Return the queue if it is still to be declared on the producer's connection.

    kombu would find that out itself, at the price of a copy of the queue for each message.
    """
    known = producer.connection.declared_entities
    return [] if queue.can_cache_declaration and hash(queue) in known else [queue]


def canvas_of(parts: Mapping[str, Any]) -> str | None:
    """Return what a message carries beside its hint as JSON text; None for nothing.

    The parts have the names of Celery's message body and headers (its protocol, version 2).
    """
    kept = {name: part for name, part in parts.items() if name in _KEPT and part not in _NOTHING}
    text: str | None = json.dumps(kept) if kept else None  # type: ignore[no-untyped-call]
    return text


def carried(canvas: str | None) -> dict[str, Any]:
    """Return what a message carries beside its hint, by the names of Celery's options."""
    parts: dict[str, Any] = {} if canvas is None else json.loads(canvas)  # type: ignore[no-untyped-call]
    return parts


def limits_of(hint: Hint) -> dict[str, Any]:
    """Return the time limits of a hint's message: those that its call named.

    All others stand in the ledger, and the worker sees to them itself.
    """
    hard, soft = carried(hint.canvas).get("timelimit") or (None, None)
    return {"time_limit": hard, "soft_time_limit": soft}


def transport_of(app: Celery) -> str:
    """Return the name of the app's transport, such as `redis` or `amqp`."""
    return str(app.conf.broker_url or "memory").partition("://")[0]


def _one_line(error: BaseException) -> str:
    """Return what an error says, in one line, without its cause."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
