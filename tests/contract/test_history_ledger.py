"""What is told of runs as a whole, on both databases."""

from typing import Any

import pytest
from support.ledgers import LedgerOnHand
from support.run_rows import RunRows

from datamcp.pipelines.history_ledger import HistoryLedger
from datamcp.tasks.outcome import Fail, Retry, Snooze

CHAIN = {"a": [], "b": ["a"]}


@pytest.fixture
def rows(alone: LedgerOnHand) -> RunRows:
    """Return runs on a ledger of their own."""
    return RunRows(alone)


@pytest.fixture
def history(alone: LedgerOnHand) -> HistoryLedger:
    """Return what is tested."""
    return HistoryLedger(alone.ledger.database)


def again(rows: RunRows, run_id: str, step: str, outcome: Retry | Snooze) -> None:
    """Make an attempt that another one follows, and queue that."""
    rows.make(run_id, step, outcome)
    rows.at_hand.clock.move(10)
    rows.at_hand.ledger.release_due(100)


def test_the_attempts_of_a_run_come_together(rows: RunRows, history: HistoryLedger) -> None:
    """Of all its steps, in order, and of no other run; the last ones of each."""
    run_id, other = rows.start(CHAIN), rows.start(CHAIN)
    again(rows, run_id, "a", Retry("busy", "try later", 5))
    again(rows, other, "a", Retry("other", "run", 5))
    again(rows, run_id, "b", Snooze(5))
    again(rows, run_id, "a", Retry("busy", "once more", 5))

    def told(each: int) -> list[tuple[Any, ...]]:
        found = history.attempts(run_id, each=each)
        return [(row.step_id, row.attempt, row.outcome, row.error_message) for row in found]

    assert told(10) == [
        ("a", 1, "retried", "try later"),
        ("b", 1, "snoozed", None),
        ("a", 2, "retried", "once more"),
    ]
    assert told(1) == [("b", 1, "snoozed", None), ("a", 2, "retried", "once more")]
    assert history.attempts("no such run", each=10) == []


def test_the_lines_of_a_run_come_in_order(rows: RunRows, history: HistoryLedger) -> None:
    """Of all its steps, of one, or of one attempt; the last ones of each."""
    run_id, other = rows.start(CHAIN), rows.start(CHAIN)
    rows.say(run_id, "b", "one", "two")
    rows.say(other, "a", "not this")
    rows.say(run_id, "a", "three", attempt=1)
    rows.say(run_id, "b", "four", attempt=2)

    def told(**wanted: Any) -> list[str]:
        return [row.message for row in history.logs(run_id, **wanted)]

    assert told(each=10) == ["one", "two", "three", "four"]
    assert told(each=2) == ["two", "three", "four"]
    assert told(each=10, step_id="b") == ["one", "two", "four"]
    assert told(each=10, step_id="b", attempt=2) == ["four"]
    assert told(each=10, attempt=1) == ["one", "two", "three"]
    assert told(each=10, step_id="no") == []


def test_lengths_are_those_of_runs_that_succeeded(rows: RunRows, history: HistoryLedger) -> None:
    """The newest first, so many runs; one that failed or goes on is none of them."""
    for seconds in (1, 2, 3):
        run_id = rows.start(CHAIN)
        rows.make(run_id, "a", seconds=seconds)
        rows.make(run_id, "b", seconds=10 * seconds)
        rows.close(run_id)
    bad, open_ = rows.start(CHAIN), rows.start(CHAIN)
    rows.make(bad, "a", seconds=100)
    rows.make(bad, "b", Fail("broken", "for good"), seconds=100)
    rows.close(bad)
    rows.make(open_, "a", seconds=100)
    other = rows.start({"a": []}, "other")
    rows.make(other, "a", seconds=50)
    rows.close(other)
    assert history.step_seconds("flights") == {"a": [3, 2, 1], "b": [30, 20, 10]}
    assert history.step_seconds("flights", limit=2) == {"a": [3, 2], "b": [30, 20]}
    assert history.step_seconds("flights", 2) == {}
    assert history.step_seconds("other", 1) == {"a": [50]}
    assert history.step_seconds("none") == {}


def test_only_the_last_attempt_counts(rows: RunRows, history: HistoryLedger) -> None:
    """What failed before took its own time."""
    run_id = rows.start({"a": []})
    again(rows, run_id, "a", Retry("busy", "try later", 5))
    rows.make(run_id, "a", seconds=4)
    rows.close(run_id)
    assert history.step_seconds("flights") == {"a": [4]}


def test_a_run_has_the_revision_that_it_started_with(rows: RunRows, history: HistoryLedger) -> None:
    """A newer one changes nothing about it."""
    first = rows.start(CHAIN)
    second = rows.start({**CHAIN, "c": ["b"]})
    assert [history.revision(run_id) for run_id in (first, second, "none")] == [1, 2, None]
