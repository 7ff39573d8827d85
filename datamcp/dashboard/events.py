"""What Flower hears of tasks and workers."""

import logging
from threading import Event
from typing import Any

from flower.events import Events
from flower.options import options

from datamcp.infra.celery import host

_log = logging.getLogger("flower.events")

_RETRY = 2.0  # seconds


class SteadyEvents(Events):  # type: ignore[misc]
    """Flower's events, which are back soon after the broker is.

    Flower itself waits twice as long after each failure, without limit: an hour without a broker
    would be followed by most of an hour without events.
    """

    def run(self) -> None:
        """Receive events for ever; this is a thread's work."""
        never = Event()
        while True:
            try:
                self._receive()
            except Exception as error:  # noqa: BLE001  whatever ends it, it has to go on
                _log.error("Failed to capture events: %s; trying again in %g s", error, _RETRY)
                never.wait(_RETRY)

    def _receive(self) -> None:
        with self.capp.connection() as connection:
            receiver = self.capp.events.Receiver(
                connection, handlers={"*": self.on_event}, node_id=self._queue_name(connection)
            )
            receiver.capture(limit=None, timeout=None, wakeup=True)

    def _queue_name(self, connection: Any) -> str | None:
        """Return what the queue of events is called; None for a new name each time.

        In Redis, kombu 5.7 keeps the name of each such queue for as long as any is in use, and
        each Flower would leave one more behind. RabbitMQ removes the queue with its connection,
        and refuses one that is in use.
        """
        is_redis = connection.transport.driver_type == "redis"
        return f"flower-{options.port}@{host()}" if is_redis else None
