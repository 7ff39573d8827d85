"""How many messages are ready in a queue, asked of the broker."""

from celery import Celery
from kombu.exceptions import ChannelError

from datamcp.tasks.publish import broker_errors


class BrokerDepths:
    """Counts messages; those that a worker has taken do not count."""

    def __init__(self, app: Celery) -> None:
        """Take the app whose connections are used."""
        self._app = app

    def ready(self, queue: str) -> int:
        """Return how many messages no worker has yet; raises BackendUnavailable."""
        with (
            broker_errors(self._app),
            self._app.connection_or_acquire() as connection,
            connection.channel() as channel,
        ):
            return self._count(channel, queue)

    def _count(self, channel: object, queue: str) -> int:
        try:
            declared = channel.queue_declare(queue=queue, passive=True)  # type: ignore[attr-defined]
        except ChannelError:
            return 0  # nothing was ever sent to it
        return int(declared.message_count)
