"""How many messages a worker takes: none without a free slot (protocol R5).

On Redis a worker looks for a message when it has a slot for it. RabbitMQ sends messages by itself,
as many as are not acknowledged yet: there the message of a task stays with its slot, so that no
other comes in its place. After some seconds it is acknowledged all the same, as a broker does not
wait for ever (a plain message, once its task is in the ledger); and the worker then asks for one
message less, or for none, until the task has ended.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from celery import bootsteps
from celery.worker import state
from kombu.common import ignore_errors

from datamcp.clock import Clock, SystemClock

HOLD = 5.0  # seconds that a message stays with its slot; brokers wait for longer
_LOOK = 1.0  # seconds between two looks


class Intake(Protocol):
    """Decides when the message of a task that a slot has is acknowledged."""

    def begin(self, consumer: Any) -> None:
        """Begin on a new connection, before messages come."""
        ...

    def accept(self, request: Any) -> None:
        """Note that a slot has a message."""
        ...

    def end(self, request: Any) -> None:
        """Note that its slot is free."""
        ...

    def widen(self) -> None:
        """Note that the gatherer has room for some more messages; any thread may say so."""
        ...

    def narrow(self) -> None:
        """Note that no more messages are wanted than there are free slots."""
        ...

    def give_back(self, requests: Sequence[Any]) -> None:
        """Return messages to their queue, the first of them as the next to be taken."""
        ...


class AtOnce:
    """Acknowledges what is a hint as soon as a slot has it."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self._consumer: Any = None

    def begin(self, consumer: Any) -> None:
        """Look for as many messages as there are slots for, and as the gatherer has room for."""
        self._consumer = consumer
        gatherer = consumer.gatherer
        if gatherer is None:
            return

        channel = consumer.task_consumer.channel

        def can_consume() -> bool:
            # What was asked for has to be read, or it would be in nobody's hands.
            is_asked = bool(getattr(channel, "_in_poll", None))
            return is_asked or len(state.reserved_requests) < int(gatherer.slots + gatherer.room)

        channel.qos.can_consume = can_consume

    def accept(self, request: Any) -> None:
        """Acknowledge a hint: from now on the ledger owns its task."""
        if request.is_hint:
            request.let_go()

    def end(self, request: Any) -> None:
        """Do nothing."""

    def widen(self) -> None:
        """Do nothing, as well as `narrow`: it is asked before each look for a message."""

    def narrow(self) -> None:
        """Do nothing."""

    def give_back(self, requests: Sequence[Any]) -> None:
        """Put all back at once, or who asks for one meanwhile would get another than the first."""
        messages = [request.withdraw() for request in requests]
        qos, tags = messages[0].channel.qos, [message.delivery_tag for message in messages]
        _soon(self._consumer, lambda: qos.give_back(tags))


class WithSlot:
    """Keeps a message while its task runs, and takes fewer once it can't be kept any longer.

    The connection is used by the worker's main thread alone; ends are told by any.
    """

    def __init__(self, clock: Clock | None = None, *, hold: float = HOLD) -> None:
        """Take a clock, in tests, and for how many seconds a message is kept."""
        self._clock = clock or SystemClock()
        self._hold = hold
        self._lock = Lock()
        self._kept: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # since when
        self._let_go: WeakSet[Any] = WeakSet()
        self._consumer: Any = None
        self._is_deaf = False

    def begin(self, consumer: Any) -> None:
        """Count what still runs from the last connection, whose messages are gone."""
        with self._lock:
            self._consumer, self._is_deaf = consumer, False
            for request in list(self._kept):
                request.forget_message()
                self._let_go.add(request)
            self._kept.clear()
        consumer.timer.call_repeatedly(_LOOK, self.look)
        if self._free() < 1:
            _defer_consume(consumer.task_consumer)
            self._is_deaf = True
        else:
            self._adjust()

    def accept(self, request: Any) -> None:
        """Keep a message."""
        with self._lock:
            self._kept[request] = self._clock.monotonic()

    def end(self, request: Any) -> None:
        """Ask for one more message, if that of this task is gone already."""
        with self._lock:
            self._kept.pop(request, None)
            was_let_go = request in self._let_go
            self._let_go.discard(request)
        if was_let_go and self._consumer is not None:
            self._consumer.call_soon(self._adjust)

    def widen(self) -> None:
        """Ask for what the gatherer has room for."""
        self._consumer.call_soon(self._adjust)

    def narrow(self) -> None:
        """Ask for no more than there are slots for, at once."""
        self._adjust()

    def give_back(self, requests: Sequence[Any]) -> None:
        """Put each back where it was: RabbitMQ remembers that."""
        messages = [request.withdraw() for request in requests]
        _soon(self._consumer, lambda: [message.requeue() for message in messages])

    def look(self) -> None:
        """Let go of what was kept for too long; not before no other comes in its place."""
        due = self._clock.monotonic() - self._hold
        with self._lock:
            old = [one for one, since in self._kept.items() if since <= due and one.is_in_ledger]
            for request in old:
                del self._kept[request]
                self._let_go.add(request)
        self._adjust()
        for request in old:
            request.let_go()

    def _free(self) -> int:
        """Return for how many messages this worker has slots, those that it keeps among them."""
        return int(self._consumer.pool.num_processes) - len(self._let_go)

    def _room(self) -> int:
        """Return how many messages short tasks may wait with, and share slots."""
        gatherer = self._consumer.gatherer
        return 0 if gatherer is None else int(gatherer.room)

    def _adjust(self) -> None:
        """Take as many messages as there are slots for, and as the gatherer has room for."""
        consumer, free = self._consumer, self._free()
        if consumer.task_consumer is None:  # the connection is lost
            return
        with ignore_errors(consumer.connection):  # type: ignore[no-untyped-call]
            if free < 1:
                if not self._is_deaf:
                    consumer.task_consumer.cancel()
                self._is_deaf = True
                return
            wanted = free + self._room()
            if consumer.qos.prev != wanted:
                consumer.qos.value = wanted
                consumer.qos.update()
            if self._is_deaf:
                self._is_deaf = False
                consumer.task_consumer.consume()


def _soon(consumer: Any, give_back: Callable[[], object]) -> None:
    """Give messages back in the worker's loop, by one act: it takes many in any order.

    If the connection is lost by then, the broker has what has a receipt, and hints are sent again.
    """

    def act() -> None:
        with ignore_errors(consumer.connection):  # type: ignore[no-untyped-call]
            give_back()

    consumer.call_soon_ack(act)


def _defer_consume(task_consumer: Any) -> None:
    """Let the first `consume` do nothing: the worker's loop calls it, whether or not it is wanted."""
    consume = task_consumer.consume

    def once(*_: Any, **__: Any) -> None:
        task_consumer.consume = consume

    task_consumer.consume = once


class IntakeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells the intake of each new connection of a worker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Begin on a connection."""
        parent.app.intake.begin(parent)

    def stop(self, parent: Any) -> None:
        """Have what waits for a slot wait no more."""
        if parent.gatherer is not None:
            parent.gatherer.stop()
