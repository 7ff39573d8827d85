"""How many messages are ready in a queue, asked of the broker."""

from time import monotonic
from typing import Any

from celery import Celery

from datamcp.tasks.publish import broker_errors

_AT_ONCE = 1.0  # seconds: what fails later has waited for a broker that does not answer


class BrokerDepths:
    """Counts messages; those that a worker has taken do not count."""

    def __init__(self, app: Celery) -> None:
        """Take the app whose connections are used."""
        self._app = app

    def ready(self, queue: str) -> int:
        """Return how many messages no worker has yet; raises BackendUnavailable."""
        with broker_errors(self._app), self._app.connection_or_acquire() as connection:
            lost, began = (*connection.connection_errors, *connection.channel_errors), monotonic()
            try:
                return self._count(connection, queue)
            except lost:
                if monotonic() - began > _AT_ONCE:
                    raise
                connection.collect()  # it went since it was used last
                return self._count(connection, queue)

    def _count(self, connection: Any, queue: str) -> int:
        with _opened(connection).channel() as channel:
            # Not passively: on Redis, kombu 5.7 then takes every queue of an app with a key prefix
            # for one that does not exist (`Channel._has_queue` leaves the prefix out).
            declared = self._app.amqp.queues[queue].bind(channel).queue_declare()
            return int(declared.message_count)


def _opened(connection: Any) -> Any:
    """Open a connection, as one of the pool that failed before is closed and stays so by itself."""
    connection.ensure_connection(max_retries=0)
    return connection
