"""The lines that tasks have logged, on both databases."""

import pytest
from support.ledgers import LedgerOnHand

from datamcp.tasks.log_ledger import LogLedger, NewLine


@pytest.fixture
def logs(alone: LedgerOnHand) -> LogLedger:
    """Return the lines' ledger, with the clock of the other."""
    return LogLedger(alone.ledger.database, now=alone.clock)


def lines(*messages: str, first: int = 0, ago: float = 0.0) -> list[NewLine]:
    """Return lines with these messages, numbered on."""
    return [NewLine(first + n, ago, "INFO", message) for n, message in enumerate(messages)]


def test_lines_come_back_in_order(alone: LedgerOnHand, logs: LogLedger) -> None:
    """By their instants, and by their numbers where these are equal."""
    logs.write("t", "f2", 2, lines("later"))
    logs.write("t", "f1", 1, lines("b", "c", first=1, ago=5))
    logs.write("t", "f1", 1, lines("a", ago=5))
    logs.write("other", "f", 1, lines("x"))
    found = logs.read("t", attempt=None, limit=10)
    assert [(line.attempt, line.message) for line in found] == [
        (1, "a"),
        (1, "b"),
        (1, "c"),
        (2, "later"),
    ]
    assert (alone.clock.instant - found[0].at).total_seconds() == 5
    assert [line.message for line in logs.read("t", attempt=2, limit=10)] == ["later"]


def test_a_limit_keeps_the_last(logs: LogLedger) -> None:
    """Whoever looks wants to know how it ended."""
    logs.write("t", "f", 1, lines(*"abcdef"))
    assert [line.message for line in logs.read("t", attempt=None, limit=2)] == ["e", "f"]


def test_old_lines_are_removed(alone: LedgerOnHand, logs: LogLedger) -> None:
    """So many at once, and none that is young."""
    logs.write("t", "f", 1, lines(*"abcde"))
    alone.clock.move(100)
    logs.write("t", "g", 2, lines("young"))
    assert logs.prune(50, 3) == 3
    assert logs.prune(50, 3) == 2
    assert logs.prune(50, 3) == 0
    assert [line.message for line in logs.read("t", attempt=None, limit=10)] == ["young"]
