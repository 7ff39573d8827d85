"""Ageing: what starves moves up, and nothing else does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from support.ledgers import LedgerOnHand

from datamcp.tasks.ageing import AGE, Ageing
from datamcp.tasks.ledger import Hint


@dataclass
class Sent:
    """What was sent, in place of a broker."""

    hints: list[Hint] = field(default_factory=list)

    def publish(self, hints: Sequence[Hint]) -> None:
        """Note hints."""
        self.hints += hints


@dataclass(frozen=True)
class Bundle:
    """A ledger, what ages in it, and what is sent of that."""

    at_hand: LedgerOnHand
    ageing: Ageing
    sent: Sent

    def run(self, priority: int, count: int = 1) -> None:
        """Let tasks of a level run from now on."""
        for _ in range(count):
            task_id = self.at_hand.add(priority=priority)
            assert self.at_hand.ledger.claim(task_id, f"f-{task_id}", "agent") is not None

    def sweep(self) -> list[tuple[str, int]]:
        """Return the ids and levels of what one sweep sends."""
        self.sent.hints.clear()
        assert self.ageing.sweep() == len(self.sent.hints)
        return [(hint.task_id, hint.priority) for hint in self.sent.hints]


@pytest.fixture
def bundle(alone: LedgerOnHand) -> Bundle:
    """Return an empty ledger."""
    sent = Sent()
    return Bundle(alone, Ageing(alone.ledger, sent, now=alone.clock), sent)


def test_what_starves_moves_up_to_the_next_level_that_is_served(bundle: Bundle) -> None:
    """The oldest first, and its row stays what it is."""
    old = bundle.at_hand.add(priority=0)
    bundle.at_hand.clock.move(1)
    bundle.at_hand.add(priority=0)
    bundle.at_hand.clock.move(AGE)
    bundle.run(9)
    bundle.run(7)
    assert bundle.sweep() == [(old, 7)]
    assert bundle.at_hand.row(old).priority == 0


def test_no_more_are_sent_while_those_wait(bundle: Bundle) -> None:
    """The same one again, and not before the time is up once more."""
    ids = [bundle.at_hand.add(priority=0) for _ in range(3)]
    bundle.at_hand.clock.move(AGE + 1)
    bundle.run(9)
    (first,) = bundle.sweep()
    assert first[0] in ids
    bundle.at_hand.clock.move(2)
    assert bundle.sweep() == []
    bundle.at_hand.clock.move(AGE)
    bundle.run(9)
    assert [one[1] for one in bundle.sweep()] == [9]


def test_the_more_run_the_more_give_way(bundle: Bundle) -> None:
    """One in four."""
    for _ in range(10):
        bundle.at_hand.add(priority=2)
    bundle.at_hand.clock.move(AGE + 1)
    bundle.run(9, count=12)
    assert [level for _, level in bundle.sweep()] == [9] * 3


def test_what_does_not_starve_stays(bundle: Bundle) -> None:
    """Where nothing higher is served, or not lately; where it is served itself, or waits briefly."""
    bundle.at_hand.add(priority=5)
    bundle.at_hand.clock.move(AGE + 1)
    assert bundle.sweep() == []
    bundle.run(3)
    bundle.run(5)
    assert bundle.sweep() == []
    bundle.run(9)
    assert bundle.sweep() == []  # of its own level, one runs
    bundle.at_hand.add(priority=1)
    assert bundle.sweep() == []  # it came just now
    bundle.at_hand.clock.move(AGE + 1)
    assert bundle.sweep() == []  # what runs is long, and nothing passes the others by


def test_queues_do_not_mix(bundle: Bundle) -> None:
    """What runs elsewhere keeps nobody waiting here."""
    bundle.at_hand.add(priority=0, queue="other")
    bundle.at_hand.clock.move(AGE + 1)
    bundle.run(9)
    assert bundle.sweep() == []
