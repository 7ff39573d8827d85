from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement
from support.brokers import RedisServer
from support.ledgers import new_task
from support.workers import Installation, on_database

from datamcp import Task
from datamcp.infra import instants
from datamcp.tasks.ledger import TaskLedger, is_task
from datamcp.tasks.reconcile import GRACE, WINDOW, Sweep
from datamcp.tasks.states import State


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """Have an installation on SQLite without any process."""
    folder = tmp_path / "reconcile"
    folder.mkdir()
    with on_database("sqlite", request, folder) as found:
        yield found


def long_ago() -> ColumnElement[datetime]:
    """Return an instant that is further back than the time that a hint may take."""
    return instants.after(instants.now(), -2 * GRACE)


def test_a_backlog_that_waits_is_left_alone(installed: Installation) -> None:
    """However long messages have been waiting for a slot, none is sent twice (R4)."""
    tasks, depths = installed.runtime.tasks, installed.runtime.depths
    old = TaskLedger(installed.runtime.database, now=long_ago)
    for priority in (0, 5, 9):
        tasks.enqueue(Task(task_type="lab.whoami", priority=priority))
        old.insert(new_task(task_type="lab.whoami", queue="lab"))
    assert depths.ready("lab") == 3
    assert installed.runtime.reconciler.sweep() == Sweep(due=0, lost=0)
    assert depths.ready("lab") == 3


def test_what_was_lost_is_sent_again(installed: Installation, redis_server: RedisServer) -> None:
    """Once a queue is empty, the rows of it that nobody took are missing a message (R4)."""
    old = TaskLedger(installed.runtime.database, now=long_ago)
    old.insert(new_task(task_type="lab.whoami", queue="lab"))
    installed.runtime.tasks.enqueue(Task(task_type="lab.whoami"))
    redis_server.remove_keys(installed.settings["broker.key_prefix"])
    assert installed.runtime.depths.ready("lab") == 0
    assert installed.runtime.reconciler.sweep() == Sweep(due=0, lost=1)
    assert installed.runtime.depths.ready("lab") == 1
    assert installed.runtime.reconciler.sweep() == Sweep(due=0, lost=0)


def test_a_sweep_sends_no_more_than_its_window(installed: Installation) -> None:
    """After a broker has lost everything, it is not flooded."""
    old = TaskLedger(installed.runtime.database, now=long_ago)
    for _ in range(WINDOW + 10):
        old.insert(new_task(task_type="lab.whoami", queue="lab"))
    assert installed.runtime.reconciler.sweep() == Sweep(due=0, lost=WINDOW)
    assert installed.runtime.depths.ready("lab") == WINDOW


def test_what_is_due_is_sent(installed: Installation) -> None:
    """It is queued by the database's clock, and its message leaves with its priority."""
    ledger = TaskLedger(installed.runtime.database, now=long_ago)
    task_id = ledger.insert(new_task(task_type="lab.whoami", queue="lab")).task_id
    row = ledger.get(task_id)
    assert row is not None
    due = row.created_at + timedelta(seconds=GRACE)
    later = ledger.insert(new_task(task_type="lab.whoami", queue="single", scheduled_at=due))
    assert later.state is State.SCHEDULED
    sweep = installed.runtime.reconciler.sweep()
    assert sweep.due == 1
    assert installed.runtime.depths.ready("single") == 1
    assert installed.runtime.tasks.status(later.task_id).state is State.QUEUED


def test_rounds_remove_what_is_kept_too_long(installed: Installation) -> None:
    """By the setting: what ended that long ago goes, and nothing else."""
    kept = instants.after(instants.now(), -8 * 86_400)
    old = TaskLedger(installed.runtime.database, now=lambda: kept)
    gone, waiting = (old.insert(new_task(task_type="lab.whoami")).task_id for _ in range(2))
    with installed.runtime.database.transaction() as connection:
        old.cancel(connection, is_task(gone))
    young = installed.runtime.tasks.enqueue(Task(task_type="lab.whoami"))
    assert installed.runtime.tasks.cancel(young)
    installed.runtime.rounds.go()
    left = {row.task_id for row in installed.runtime.ledger.list()}
    assert left == {waiting, young}


def test_a_queue_that_nobody_used_is_empty(installed: Installation) -> None:
    """To ask for its depth is no error."""
    assert installed.runtime.depths.ready("bench") == 0
