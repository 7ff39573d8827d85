"""What the ledger does to a state is a move of the table."""

from datetime import timedelta

from datamcp.clock import SystemClock
from datamcp.infra.database import Database
from datamcp.tasks.ledger import NewTask, TaskLedger
from datamcp.tasks.states import State, may_move


def test_a_claim_of_what_is_due_is_a_move_of_the_table(database_url: str) -> None:
    """A hint may come before the sweep that queues its task: a task that is due starts."""
    database = Database(database_url)
    ledger = TaskLedger(database)
    soon = SystemClock().now() + timedelta(seconds=0.5)
    task = NewTask(
        task_id="one",
        task_type="bench.add",
        queue="bench",
        priority=5,
        parameters="{}",
        scheduled_at=soon,
    )
    inserted = ledger.insert(task)
    claimed = None
    while claimed is None:
        claimed = ledger.claim("one", "fence", "agent")
    row = ledger.get("one")
    database.close()
    assert row is not None
    assert inserted.state is State.SCHEDULED
    assert may_move(inserted.state, State(row.state))
