"""Messages that need no receipt: what they say is kept elsewhere, too.

kombu 5.7 writes each message that it takes from Redis into a hash, and removes it there when it is
acknowledged, so that it is found again if its worker dies: two round trips for each. A message that
can always be sent again costs neither. Only workers import this module.
"""

from collections.abc import Callable
from typing import Any

from kombu.transport import redis, virtual

_plain: Any = virtual.QoS


def install(header: str) -> None:
    """Have this process take messages with a header without receipts."""
    redis.Channel.QoS = _receipts(lambda message: header in (message.headers or ()))


def _receipts(needs_none: Callable[[Any], bool]) -> type[Any]:
    """Return what keeps account of the messages that a channel has taken."""
    kept: Any = redis.QoS

    class Receipts(kept):  # type: ignore[misc]
        """Keeps those that need no receipt in memory alone."""

        def append(self, message: Any, delivery_tag: str) -> None:
            """Take a message."""
            if needs_none(message):
                _plain.append(self, message, delivery_tag)
            else:
                super().append(message, delivery_tag)

        def ack(self, delivery_tag: str) -> None:
            """Acknowledge one."""
            if self._light(delivery_tag) is None:
                super().ack(delivery_tag)
            else:
                _plain.ack(self, delivery_tag)

        def reject(self, delivery_tag: str, requeue: bool = False) -> None:
            """Give one back, as the next to be taken, or throw it away.

            kombu 5.7 gives it back at the left end of the list, where new ones come: behind all
            that was sent later.
            """
            if requeue:
                self.restore_by_tag(delivery_tag)
                _plain.ack(self, delivery_tag)
            elif self._light(delivery_tag) is None:
                super().reject(delivery_tag)
            else:
                _plain.ack(self, delivery_tag)

        def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
            """Put one back into its queue."""
            message = self._light(tag)
            if message is None:
                super().restore_by_tag(tag, client=client, leftmost=leftmost)
                return
            to = message.delivery_info
            with self.channel.conn_or_acquire(client) as found:
                self.channel._do_restore_message(  # noqa: SLF001  as the class above does
                    message._raw,  # noqa: SLF001
                    to["exchange"],
                    to["routing_key"],
                    found,
                    leftmost,
                )

        def restore_unacked(self, client: Any = None) -> None:
            """Put back what is not acknowledged, the oldest last: it is the next to be taken."""
            with self.channel.conn_or_acquire(client) as found:
                for tag in reversed(self._delivered):
                    self.restore_by_tag(tag, client=found)
            self._delivered.clear()

        def restore_unacked_once(self, stderr: Any = None) -> None:
            """Put back what is not acknowledged when the channel is closed.

            Where the connection was given up before, as the broker did not answer, that ends no
            worker, as it does in kombu 5.7: what has a receipt is found by that, and the rest is
            sent again.
            """
            if self.channel.connection.client is None:
                self._on_collect.cancel()
                self._delivered.clear()
                return
            super().restore_unacked_once(stderr=stderr)

        def _light(self, tag: str) -> Any:
            """Return a message that is kept in memory alone; None if it is kept in Redis."""
            message = self._delivered.get(tag)
            return message if message is not None and needs_none(message) else None

    return Receipts
