from datamcp.infra.database import Database
from datamcp.tasks.ledger import NewTask, TaskLedger
from datamcp.tasks.states import State, may_move


def test_a_claim_of_what_is_due_is_a_move_of_the_table(database_url: str) -> None:
    """A message of a canvas may come before the sweep that queues its task: it starts all the same."""
    database = Database(database_url)
    ledger = TaskLedger(database)
    task = NewTask(
        task_id="one", task_type="bench.add", queue="bench", priority=5, parameters="{}", delay=0.01
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
