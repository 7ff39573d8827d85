"""What is removed of tasks and runs that have ended long ago, on both databases."""

import pytest
from sqlalchemy import func, select
from support.ledgers import LedgerOnHand, new_id, new_task

from datamcp.clock import SystemClock
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.new_run import NewRun, NewStep
from datamcp.tasks.dead import DeadRows
from datamcp.tasks.ledger import Death, are_tasks
from datamcp.tasks.log_ledger import LogLedger, NewLine
from datamcp.tasks.outcome import Done, Fail, Retry, Snooze
from datamcp.tasks.past import KEPT, LOST, attempts_of
from datamcp.tasks.retention import OldTasks
from datamcp.tasks.states import State
from datamcp.tasks.tables import attempts, task_logs
from datamcp.types import new_id as new_run_id
from datamcp.types import step_task_id

KEPT_FOR = 50.0


@pytest.fixture
def old_tasks(alone: LedgerOnHand) -> OldTasks:
    """Return what removes tasks, with the clock of the ledger."""
    return OldTasks(alone.ledger.database, now=alone.clock)


@pytest.fixture
def pipelines(alone: LedgerOnHand) -> PipelineLedger:
    """Return the ledger of runs, with the same clock."""
    return PipelineLedger(alone.ledger.database, now=alone.clock)


def rows_beside(alone: LedgerOnHand) -> tuple[int, int]:
    """Return how many attempts and lines are kept in all."""
    with alone.ledger.database.autocommit() as connection:
        found = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (attempts, task_logs)
        ]
    return found[0], found[1]


def live(alone: LedgerOnHand, task_id: str, *outcomes: Done | Fail | Retry | Snooze) -> None:
    """Let attempts of a task end so, one after the other, each with a line in its log."""
    logs = LogLedger(alone.ledger.database, now=alone.clock)
    for number, outcome in enumerate(outcomes):
        fence = new_id()
        assert alone.ledger.claim(task_id, fence, "agent")
        logs.write(task_id, fence, number + 1, [NewLine(0, 0, "INFO", "here")])
        if isinstance(outcome, Retry | Snooze):
            alone.defer(task_id, fence, outcome)
        else:
            alone.finish(task_id, fence, outcome)


def test_a_task_goes_with_its_attempts_and_its_lines(
    alone: LedgerOnHand, old_tasks: OldTasks
) -> None:
    """Once it has ended long enough ago, and not before."""
    old, young = alone.add(), alone.add()
    live(alone, old, Retry("busy", "later"), Done("1"))
    alone.clock.move(KEPT_FOR)
    live(alone, young, Retry("busy", "later"), Done("1"))
    assert old_tasks.prune(KEPT_FOR, 10) == 0
    alone.clock.move(1)
    assert old_tasks.prune(KEPT_FOR, 10) == 1
    assert alone.ledger.get(old) is None
    assert alone.row(young).state == State.SUCCEEDED
    assert rows_beside(alone) == (1, 2)


def test_so_many_at_once(alone: LedgerOnHand, old_tasks: OldTasks) -> None:
    """The oldest first."""
    ids = [alone.add() for _ in range(5)]
    for task_id in ids:
        alone.clock.move(1)
        live(alone, task_id, Done("1"))
    alone.clock.move(100)
    assert [old_tasks.prune(KEPT_FOR, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_more_than_one_transaction_removes(alone: LedgerOnHand, old_tasks: OldTasks) -> None:
    """A large backlog goes in small transactions."""
    new = [new_task() for _ in range(1100)]
    with alone.ledger.database.transaction() as connection:
        alone.ledger.insert_many_on(connection, new)
        alone.ledger.cancel(connection, are_tasks([task.task_id for task in new]))
    alone.clock.move(100)
    assert old_tasks.prune(KEPT_FOR, 1050) == 1050
    assert old_tasks.prune(KEPT_FOR, 1050) == 50


def test_what_has_not_ended_stays(alone: LedgerOnHand, old_tasks: OldTasks) -> None:
    """However old it is: what waits, what runs, what is tried again."""
    waiting, running, retrying = (alone.add() for _ in range(3))
    alone.ledger.claim(running, "fence", "agent")
    live(alone, retrying, Retry("busy", "later", 10_000))
    alone.clock.move(1000)
    assert old_tasks.prune(KEPT_FOR, 10) == 0
    states = [alone.row(task_id).state for task_id in (waiting, running, retrying)]
    assert states == [State.QUEUED, State.RUNNING, State.RETRYING]


def test_a_dead_letter_stays_until_it_is_taken(alone: LedgerOnHand, old_tasks: OldTasks) -> None:
    """With its attempts: they tell why."""
    task_id = alone.add()
    live(alone, task_id, Retry("busy", "later"), Fail("broken", "for good"))
    alone.clock.move(1000)
    assert old_tasks.prune(KEPT_FOR, 10) == 0
    assert rows_beside(alone)[0] == 1
    with alone.ledger.database.transaction() as connection:
        assert DeadRows(alone.clock).take(connection, task_id=task_id)
    assert old_tasks.prune(KEPT_FOR, 10) == 1
    assert rows_beside(alone) == (0, 0)


def test_a_key_is_free_once_its_task_is_removed(alone: LedgerOnHand, old_tasks: OldTasks) -> None:
    """Until then it names that task (protocol R15)."""
    task_id = alone.add(idempotency_key="order-1")
    live(alone, task_id, Done("1"))
    alone.clock.move(100)
    old_tasks.prune(KEPT_FOR, 10)
    assert alone.add(idempotency_key="order-1") != task_id


def start_run(pipelines: PipelineLedger, steps: int = 2) -> str:
    """Insert a run of steps side by side; return its id."""
    run_id = new_run_id(SystemClock().now())
    run = NewRun(
        run_id=run_id,
        pipeline_id=new_id(),
        revision=1,
        version="1",
        parameters="{}",
        triggered_by="test",
    )
    new = [
        NewStep(
            step_id=f"s{number}",
            task_type="bench.add",
            queue="bench",
            priority=5,
            parameters="{}",
            max_attempts=1,
            retry_policy=None,
            timeout=None,
            upstreams=0,
            downstreams=[],
        )
        for number in range(steps)
    ]
    pipelines.start(run, new)
    return run_id


def end_run(alone: LedgerOnHand, pipelines: PipelineLedger, run_id: str, steps: int = 2) -> None:
    """End a run with all its steps."""
    for number in range(steps):
        live(alone, step_task_id(run_id, f"s{number}"), Retry("busy", "later"), Done("1"))
    with alone.ledger.database.transaction() as connection:
        assert pipelines.close(connection, run_id)


def test_steps_stay_as_long_as_their_run(
    alone: LedgerOnHand, old_tasks: OldTasks, pipelines: PipelineLedger
) -> None:
    """What they have left may still be read; then the run goes whole."""
    run_id, other = start_run(pipelines), start_run(pipelines)
    live(alone, step_task_id(other, "s0"), Retry("busy", "later"), Done("1"))
    end_run(alone, pipelines, run_id)
    alone.clock.move(100)
    assert old_tasks.prune(KEPT_FOR, 10) == 0
    assert pipelines.prune(KEPT_FOR, 10) == 3
    assert pipelines.run(run_id) is None
    assert pipelines.steps(run_id) == []
    assert len(pipelines.steps(other)) == 2
    assert rows_beside(alone) == (1, 2)
    assert pipelines.prune(KEPT_FOR, 10) == 0


def test_runs_are_removed_whole_however_large(
    alone: LedgerOnHand, pipelines: PipelineLedger
) -> None:
    """The limit ends no run in its middle."""
    for _ in range(3):
        end_run(alone, pipelines, start_run(pipelines, 4), 4)
    alone.clock.move(100)
    assert [pipelines.prune(KEPT_FOR, 6) for _ in range(3)] == [10, 5, 0]


def test_the_last_losses_of_a_task_are_kept(alone: LedgerOnHand) -> None:
    """A task that runs for months, on workers that come and go, does not fill the table."""
    lost = alone.add()
    for _ in range(KEPT[LOST] + 3):
        fence = new_id()
        alone.clock.move(1)
        alone.ledger.claim(lost, fence, "agent")
        alone.give_back(lost, fence, Death.EXPLAINED)
    made = attempts_of(alone.ledger.database, lost)
    assert [one.outcome for one in made] == [LOST] * KEPT[LOST]
