"""How many messages a worker takes, by what it has let go of."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from datamcp.tasks.intake import HOLD, AtOnce, WithSlot
from datamcp.testing.clock import FakeClock


class Request:
    """A message that a slot has."""

    def __init__(self, *, is_hint: bool = True, is_in_ledger: bool = True) -> None:
        """Be a hint, or a plain message, whose task may not be in the ledger yet."""
        self.is_hint = is_hint
        self.is_in_ledger = is_hint or is_in_ledger
        self.is_let_go = False
        self.is_forgotten = False

    def let_go(self) -> None:
        """Note that it was acknowledged."""
        self.is_let_go = True

    def forget_message(self) -> None:
        """Note that its message is gone."""
        self.is_forgotten = True


@dataclass
class Consumer:
    """What a worker has of its connection; notes what was done, in order."""

    slots: int
    done: list[str | int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the parts that the intake uses."""
        self.pool = SimpleNamespace(num_processes=self.slots)
        self.gatherer = SimpleNamespace(room=0)
        self.timer = SimpleNamespace(call_repeatedly=lambda _seconds, _look: None)
        self.connection = SimpleNamespace(connection_errors=(), channel_errors=())
        self.qos = SimpleNamespace(prev=self.slots, value=self.slots, update=self._update)
        self.task_consumer: Any = SimpleNamespace(
            cancel=lambda: self.done.append("cancel"), consume=lambda: self.done.append("consume")
        )

    def call_soon(self, act: Any) -> None:
        """Do it now."""
        act()

    def call_soon_ack(self, act: Any) -> None:
        """Do it now."""
        act()

    def _update(self) -> None:
        self.qos.prev = self.qos.value
        self.done.append(self.qos.value)


@dataclass(frozen=True)
class Bundle:
    """The intake of a worker with two slots, and its clock."""

    intake: WithSlot
    consumer: Consumer
    clock: FakeClock

    def accept(self, **options: bool) -> Request:
        """Let a slot have a message."""
        request = Request(**options)
        self.intake.accept(request)
        return request

    def look_later(self) -> list[str | int]:
        """Return what is done once messages were kept for long enough."""
        self.consumer.done.clear()
        self.clock.advance(seconds=HOLD + 1)
        self.intake.look()
        return self.consumer.done


@pytest.fixture
def bundle() -> Bundle:
    """Return an intake that has begun."""
    clock, consumer = FakeClock(), Consumer(slots=2)
    intake = WithSlot(clock)
    intake.begin(consumer)
    return Bundle(intake, consumer, clock)


def test_a_message_is_kept_for_some_seconds(bundle: Bundle) -> None:
    """Then it is let go, and one less is asked for; one that ends before changes nothing."""
    short, long = bundle.accept(), bundle.accept()
    bundle.intake.look()
    bundle.intake.end(short)
    assert bundle.consumer.done == []
    assert bundle.look_later() == [1]
    assert (short.is_let_go, long.is_let_go) == (False, True)


def test_a_worker_without_a_free_slot_takes_none(bundle: Bundle) -> None:
    """It consumes again when a slot is free; each slot counts once."""
    first, second = bundle.accept(), bundle.accept()
    assert bundle.look_later() == ["cancel"]
    assert bundle.look_later() == []
    bundle.intake.end(first)
    bundle.intake.end(first)
    assert bundle.consumer.done == [1, "consume"]
    bundle.intake.end(second)
    assert bundle.consumer.done == [1, "consume", 2]


def test_plain_messages_are_kept_until_the_ledger_has_their_task(bundle: Bundle) -> None:
    """Then they are let go like hints."""
    adopted = bundle.accept(is_hint=False)
    unknown = bundle.accept(is_hint=False, is_in_ledger=False)
    assert bundle.look_later() == [1]
    assert (adopted.is_let_go, unknown.is_let_go) == (True, False)


def test_what_runs_on_after_a_lost_connection_counts(bundle: Bundle) -> None:
    """Its message is gone, and its slot is not free."""
    first, second = bundle.accept(), bundle.accept()
    again = Consumer(slots=2)
    bundle.intake.begin(again)
    assert first.is_forgotten
    again.task_consumer.consume()  # the worker's loop does that, wanted or not
    assert again.done == []
    bundle.intake.end(second)
    assert again.done == [1, "consume"]


def test_on_redis_a_hint_is_acknowledged_at_once() -> None:
    """A plain message is not."""
    intake, hint, plain = AtOnce(), Request(), Request(is_hint=False)
    intake.accept(hint)
    intake.accept(plain)
    assert (hint.is_let_go, plain.is_let_go) == (True, False)


def test_short_tasks_may_wait_for_a_slot(bundle: Bundle) -> None:
    """More messages are asked for as soon as they may; no more than before as soon as they wait."""
    bundle.consumer.gatherer.room = 32
    bundle.intake.end(bundle.accept())
    assert bundle.consumer.done == []
    for _ in range(2):
        bundle.intake.widen()
        bundle.intake.look()
    assert bundle.consumer.done == [34]
    bundle.consumer.gatherer.room = 0
    bundle.intake.narrow()
    assert bundle.consumer.done == [34, 2]


class Held:
    """A message that no slot had room for."""

    def __init__(self, tag: str, qos: Any, done: list[Any]) -> None:
        """Take its delivery tag, who keeps account of it, and where it notes that it went back."""
        self.delivery_tag = tag
        self.channel = SimpleNamespace(qos=qos)
        self.requeue = lambda: done.append(tag)

    def withdraw(self) -> "Held":
        """Be its own request."""
        return self


def test_on_redis_all_go_back_at_once() -> None:
    """A worker's loop takes what it is to do soon in any order, so it is one act."""
    done: list[Any] = []
    consumer = Consumer(1)
    consumer.task_consumer.channel = SimpleNamespace(qos=SimpleNamespace(can_consume=None))
    intake = AtOnce()
    intake.begin(consumer)
    qos = SimpleNamespace(give_back=done.append)
    intake.give_back([Held(tag, qos, done) for tag in "abc"])
    assert done == [["a", "b", "c"]]


def test_on_rabbitmq_each_goes_back_in_order() -> None:
    """It has its place there still; whoever waits gets the first."""
    done: list[Any] = []
    intake = WithSlot()
    intake.begin(Consumer(1))
    intake.give_back([Held(tag, None, done) for tag in "abc"])
    assert done == ["a", "b", "c"]
