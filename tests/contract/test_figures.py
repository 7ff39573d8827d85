from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Select, insert, text
from support.ledgers import LedgerOnHand

from datamcp.infra.database import Database
from datamcp.tasks.figures import RECENTLY, QueueFigures, Running, TaskFigures
from datamcp.tasks.outcome import Done, Fail, TimedOut
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

MANY = 5_000


@pytest.fixture
def figures(alone: LedgerOnHand) -> TaskFigures:
    """Return the figures of a ledger of this test's own."""
    return TaskFigures(alone.ledger.database, now=alone.clock)


def test_an_empty_ledger_has_nothing_to_tell(alone: LedgerOnHand, figures: TaskFigures) -> None:
    """But the time."""
    found = figures.look()
    assert (found.now, found.queues, found.running) == (alone.clock.instant, {}, {})
    assert found.overdue == 0


def test_counts_what_waits_and_what_runs(alone: LedgerOnHand, figures: TaskFigures) -> None:
    """By queue; and by agent, so that somebody can see who is gone."""
    one, two, three = (alone.add(queue="lab") for _ in range(3))
    first = alone.clock.instant
    alone.clock.move(60)
    alone.add(queue="lab")
    alone.add(queue="bench")
    for task_id, agent in ((one, "a"), (two, "a")):
        alone.ledger.claim(task_id, "fence", agent)
        alone.clock.move(1)
    found = figures.look()
    assert found.queues == {
        "lab": QueueFigures(queued=2, oldest_queued_at=first, running=2),
        "bench": QueueFigures(queued=1, oldest_queued_at=first + timedelta(seconds=60)),
    }
    assert found.running == {"a": Running(2, first + timedelta(seconds=60))}
    assert alone.row(three).state == State.QUEUED


def test_counts_what_failed_lately(alone: LedgerOnHand, figures: TaskFigures) -> None:
    """Those that timed out, too; neither what succeeded, nor what failed long ago."""
    for outcome in (Fail("code", "message"), TimedOut(1.0), Done("1")):
        task_id = alone.add(queue="lab")
        alone.ledger.claim(task_id, "fence", "a")
        alone.finish(task_id, "fence", outcome)
    assert figures.look().queues == {"lab": QueueFigures(failed=2)}
    alone.clock.move(RECENTLY)
    assert figures.look().queues == {}


def test_counts_what_should_have_been_sent(alone: LedgerOnHand, figures: TaskFigures) -> None:
    """What has just fallen due is for the next sweep."""
    alone.add(scheduled_at=alone.clock.instant + timedelta(seconds=5))
    alone.add(scheduled_at=alone.clock.instant + timedelta(hours=5))
    alone.clock.move(10)
    assert figures.look().overdue == 0
    alone.clock.move(6)
    assert figures.look().overdue == 1


def test_finds_everything_in_an_index(alone: LedgerOnHand, figures: TaskFigures) -> None:
    """However long the ledger is, it is not read from end to end."""
    fill(alone)
    now = alone.clock.instant
    statements = (
        figures.queued(),
        figures.running(),
        figures.failed(now),
        figures.overdue(now),
    )
    indexes = ("tasks_queued", "tasks_running", "tasks_failed", "tasks_due")
    for statement, index in zip(statements, indexes, strict=True):
        assert index in plan(alone.ledger.database, statement)


def fill(alone: LedgerOnHand) -> None:
    """Have a ledger of many rows that are done, and some that are not."""
    now, done = alone.clock.instant, MANY - 40
    states = [State.SUCCEEDED] * done + [State.FAILED] * 10
    states += [State.QUEUED] * 10 + [State.RUNNING] * 10 + [State.SCHEDULED] * 10
    rows = [
        {
            "task_id": f"filled-{number}",
            "task_type": "lab.echo",
            "queue": f"queue-{number % 3}",
            "priority": 5,
            "state": state,
            "parameters": "{}",
            "max_attempts": 1,
            "agent_id": "a",
            **dict.fromkeys(("created_at", "queued_at", "started_at", "scheduled_at"), now),
            "finished_at": now if state in {State.SUCCEEDED, State.FAILED} else None,
        }
        for number, state in enumerate(states)
    ]
    with alone.ledger.database.transaction() as connection:
        connection.execute(insert(tasks), rows)
    with alone.ledger.database.autocommit() as connection:
        connection.execute(text("ANALYZE tasks"))


def plan(database: Database, statement: Select[Any]) -> str:
    """Return how the database would run a statement, in its own words."""
    explain = "EXPLAIN" if database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    compiled = statement.compile(
        database.engine, compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    with database.transaction() as connection:
        rows = connection.exec_driver_sql(f"{explain} {compiled}").all()
    return "\n".join(str(row) for row in rows)
