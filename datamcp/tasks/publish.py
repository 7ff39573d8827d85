"""Where a hint leaves for the broker."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.utils import json

from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import Hint
from datamcp.tasks.queues import broker_priority
from datamcp.tasks.watch import contents

HINT = "datamcp_hint"
"""The header that marks a message as ours: it names a row and carries nothing else."""

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
"""Seconds after a task's timeout at which a child that did not stop is killed."""


class BrokerPublisher:
    """Sends hints through a Celery app's connections."""

    def __init__(self, app: Celery) -> None:
        """Take the app; nothing is opened yet."""
        self._app = app

    def publish(self, hints: Sequence[Hint]) -> None:
        """Send each hint to its queue, in order.

        Raises BackendUnavailable, within some seconds, if the broker does not take them. Sending
        a hint twice does no harm.
        """
        if not hints:
            return
        with broker_errors(self._app), self._app.producer_or_acquire() as producer:
            if len(hints) == 1:
                self._send(producer, hints[0])
            else:
                self._send_together(producer, hints)

    def _send_together(self, producer: Any, hints: Sequence[Hint]) -> None:
        """Send many hints in few round trips, where the transport can."""
        try:
            with producer.batch():
                for hint in hints:
                    self._send(producer, hint)
        except BatchPublishError:
            # kombu does not repeat a batch, as some of it may have arrived. Hints may come twice.
            for hint in hints:
                self._send(producer, hint)

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
            headers={**headers, HINT: 1},
            priority=broker_priority(hint.priority, transport_of(self._app)),
        )


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
    """Return the time limits of a hint's message: those that its call named, or by its timeout."""
    hard, soft = carried(hint.canvas).get("timelimit") or (None, None)
    if hard is None and soft is None:
        return dict(limits(hint.timeout))
    return {"time_limit": hard, "soft_time_limit": soft}


def limits(timeout: float | None) -> dict[str, float]:
    """Return the time limits that a message asks of the pool, in seconds."""
    if timeout is None:
        return {}
    return {"soft_time_limit": timeout, "time_limit": timeout + TIMEOUT_GRACE}


def transport_of(app: Celery) -> str:
    """Return the name of the app's transport, such as `redis` or `amqp`."""
    return str(app.conf.broker_url or "memory").partition("://")[0]


def _one_line(error: BaseException) -> str:
    """Return what an error says, in one line, without its cause."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
