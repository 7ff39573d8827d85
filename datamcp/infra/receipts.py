"""Messages that need no receipt: what they say is kept elsewhere, too.

kombu 5.7 writes each message that it takes from Redis into a hash, and removes it there when it is
acknowledged, so that it is found again if its worker dies: two round trips for each. A message that
can always be sent again costs neither. Only workers import this module.
"""

from collections.abc import Callable, Sequence
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

        @property
        def is_closed(self) -> bool:
            """Tell whether the channel is: what was taken on it is somebody else's by now.

            Celery 5.7 acknowledges in the next round of its loop, and the connection may be lost
            in this one; kombu 5.7 then raises what ends the worker.
            """
            return self.channel.connection is None

        def ack(self, delivery_tag: str) -> None:
            """Acknowledge one."""
            if self.is_closed:
                return
            if self._light(delivery_tag) is None:
                super().ack(delivery_tag)
            else:
                _plain.ack(self, delivery_tag)

        def reject(self, delivery_tag: str, requeue: bool = False) -> None:
            """Give one back, or throw it away."""
            if self.is_closed:
                return
            if requeue:
                self.give_back([delivery_tag])
            elif self._light(delivery_tag) is None:
                super().reject(delivery_tag)
            else:
                _plain.ack(self, delivery_tag)

        def give_back(self, tags: Sequence[str], client: Any = None) -> None:
            """Put some back into their queues, all at once: the first is the next to be taken.

            They are to be in the order in which they are taken: the most urgent first, of equals the
            oldest. kombu 5.7 puts each at the left end of its list, behind all that was sent later.
            """
            if self.is_closed:
                return
            taken = {tag: self._delivered[tag] for tag in tags if tag in self._delivered}
            with self.channel.conn_or_acquire(client) as found, found.pipeline() as pipe:
                for tag, message in reversed(taken.items()):
                    if not needs_none(message):
                        self._remove_from_indices(tag, pipe)
                    to = message.delivery_info
                    self.channel._do_restore_message(  # noqa: SLF001  as the class above does
                        message._raw,  # noqa: SLF001
                        to["exchange"],
                        to["routing_key"],
                        pipe,
                    )
                pipe.execute()
            for tag in taken:
                _plain.ack(self, tag)

        def restore_unacked(self, client: Any = None) -> None:
            """Put back what is not acknowledged."""
            self._flush()
            self.give_back(list(self._delivered), client)
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
