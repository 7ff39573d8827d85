"""RabbitMQ confirms what it has taken; here nobody waits for that, and nothing is forgotten meanwhile.

A hint may be lost with a connection, as its row is not: but then it is missed after some seconds
only (protocol R4). So hints are kept until they are confirmed, and what a connection that is gone
has left open goes out first on the next one. A connection that has confirmed nothing for some
seconds counts as gone, whatever the network says.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from kombu.exceptions import OperationalError
from kombu.messaging import Producer

from datamcp.infra.celery import PATIENCE
from datamcp.tasks.ledger import Hint

AT_ONCE = 500  # messages that may wait to be confirmed
_MISSED = 30.0  # seconds after which a hint has been missed, and sent again, by whoever sweeps

Send = Callable[[Any, Hint], None]


def confirms(producer: Any) -> bool:
    """Tell whether a producer's broker confirms what it has taken."""
    return hasattr(getattr(producer, "channel", None), "confirm_select")


class Confirms:
    """What each connection has sent and not confirmed. One thread at a time uses a connection."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take what counts seconds."""
        self._clock = clock
        self._open: WeakKeyDictionary[Any, _Unconfirmed] = WeakKeyDictionary()

    def push(self, connection: Any, hints: Sequence[Hint], send: Send) -> None:
        """Send hints in order, after what is left of before; `send(producer, hint)` sends one.

        Of many it awaits that they are confirmed, and else reads what has been.
        """
        sent = self._open.get(connection)
        if sent is None or not sent.is_of(connection):
            left = [] if sent is None else sent.hints
            channel = connection.channel()  # the default one's publishers wait for each message
            self._open[connection] = sent = _Unconfirmed(channel, self._clock, left)
        sent.look()
        hints = [*sent.left_but(hints), *hints]
        for start in range(0, len(hints), AT_ONCE):
            for hint in hints[start : start + AT_ONCE]:
                sent.take(hint, send)
            if len(hints) > 1:
                sent.await_all()


class _Unconfirmed(Producer):
    """Publishes without waiting that each message is confirmed."""

    def __init__(self, channel: Any, clock: Callable[[], float], left: Sequence[Hint]) -> None:
        """Take a new channel, and what the one before has left."""
        super().__init__(channel)  # type: ignore[no-untyped-call]
        self._clock = clock
        self._left = dict.fromkeys(left)  # not sent here yet
        self._sent = 0
        self._open: dict[int, tuple[Hint, float]] = {}  # in the order in which they were sent
        self._hint: Hint | None = None
        self._refused = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirm)
        channel.events["basic_nack"].add(self._refuse)
        publish = partial(type(channel).basic_publish, channel)
        channel.basic_publish = lambda *args, **options: self._count(publish(*args, **options))

    def is_of(self, connection: Any) -> bool:
        """Tell whether this is how a connection is connected now."""
        return bool(self.channel.is_open) and self.channel.connection is connection.connection

    @property
    def hints(self) -> list[Hint]:
        """What may not have arrived, and is not missed yet."""
        since = self._clock() - _MISSED
        return [*self._left, *(hint for hint, at in self._open.values() if at > since)]

    def left_but(self, hints: Sequence[Hint]) -> list[Hint]:
        """Return what is left of before, but for what is to be sent now anyway."""
        for hint in hints:
            self._left.pop(hint, None)
        return list(self._left)

    def take(self, hint: Hint, send: Send) -> None:
        """Send a hint."""
        self._hint = hint
        send(self, hint)
        self._left.pop(hint, None)

    def look(self) -> None:
        """Read what is confirmed, where that is due; raises OperationalError if nothing comes."""
        if len(self._open) >= AT_ONCE:
            self.await_all()
        if not self._is_late():
            return  # each publish reads one answer by itself
        try:
            while self._open:
                self.channel.connection.drain_events(timeout=0)
        except TimeoutError:
            if self._is_late():
                raise OperationalError("the broker confirms nothing") from None

    def await_all(self) -> None:
        """Wait until all is confirmed; raises OperationalError for what was refused."""
        while self._open:
            self.channel.connection.drain_events(timeout=PATIENCE)
        if self._refused:
            self._refused = False
            raise OperationalError("the broker has refused a message")

    def _is_late(self) -> bool:
        oldest = next(iter(self._open.values()), None)
        return oldest is not None and self._clock() - oldest[1] > PATIENCE

    def _count(self, published: Any) -> Any:
        self._sent += 1
        if self._hint is not None:
            self._open[self._sent] = (self._hint, self._clock())
        return published

    def _confirm(self, tag: int, multiple: bool) -> None:
        if multiple:
            for one in [one for one in self._open if one <= tag]:
                del self._open[one]
        else:
            self._open.pop(tag, None)

    def _refuse(self, tag: int, multiple: bool) -> None:
        self._refused = True
        self._confirm(tag, multiple)
