import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.ledgers import LedgerOnHand, new_id, new_task

from datamcp.tasks.ledger import PORTION, Inserted, NewTask, TaskLedger
from datamcp.tasks.states import State

GIVEN: dict[str, Any] = {
    "priority": 9,
    "parameters": '{"text": "¼ \U0001f600 \\u0000 %s :x"}',
    "max_attempts": 4,
    "timeout": 2.5,
    "tags": '["a"]',
    "metadata": '{"b": 1}',
    "root_id": "root",
    "parent_id": "parent",
    "celery_result": True,
    "canvas": '{"shadow": "x"}',
    "attempt": 2,
    "expires_at": datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
}


@pytest.fixture
def ledger(at_hand: LedgerOnHand) -> TaskLedger:
    """Return the ledger itself."""
    return at_hand.ledger


def insert(ledger: TaskLedger, *new: NewTask) -> list[Inserted]:
    """Insert tasks, in a transaction of their own."""
    with ledger.database.transaction() as connection:
        return ledger.insert_many_on(connection, new)


def test_a_row_is_the_same_as_that_of_a_single_insert(
    at_hand: LedgerOnHand, ledger: TaskLedger
) -> None:
    """In every column, whatever is given or left out."""
    for fields in (GIVEN, {}, {"idempotency_key": new_id()}):
        many = new_task(**fields)
        insert(ledger, many, new_task())
        single = at_hand.row(at_hand.add(**fields | {"idempotency_key": None}))
        row = at_hand.row(many.task_id)
        left_out = {"task_id", "idempotency_key"}
        for name in set(row._fields) - left_out:
            assert getattr(row, name) == getattr(single, name), name
        assert row.idempotency_key == many.idempotency_key


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.001, State.SCHEDULED), (0, State.QUEUED), (-60, State.QUEUED)]
)
def test_a_time_to_come_makes_it_scheduled(
    at_hand: LedgerOnHand, ledger: TaskLedger, seconds: float, state: State
) -> None:
    """Each by its own instant."""
    due = at_hand.clock.instant + timedelta(seconds=seconds)
    later, now = insert(ledger, new_task(scheduled_at=due), new_task())
    row = at_hand.row(later.task_id)
    assert (later.state, row.state, row.scheduled_at, now.state) == (
        state,
        state,
        due,
        State.QUEUED,
    )


def test_says_what_was_there_already(at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
    """By its id or by its key, in the order of the tasks."""
    key = new_id()
    by_key = at_hand.add(idempotency_key=key, parameters="[1]")
    by_id = at_hand.add(parameters="[2]")
    first, other = new_task(), new_task(idempotency_key=new_id())
    found = insert(ledger, first, new_task(idempotency_key=key), new_task(task_id=by_id), other)
    assert [(row.task_id, row.is_new) for row in found] == [
        (first.task_id, True),
        (by_key, False),
        (by_id, False),
        (other.task_id, True),
    ]
    assert [row.parameters for row in found[1:3]] == ["[1]", "[2]"]


def test_more_than_one_statement_takes(at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
    """In order, also where half of them is there already."""
    keys = [new_id() for _ in range(PORTION + 1)]
    before = insert(ledger, *(new_task(idempotency_key=key) for key in keys[::2]))
    after = insert(ledger, *(new_task(idempotency_key=key) for key in keys))
    assert [row.task_id for row in after[::2]] == [row.task_id for row in before]
    assert not any(row.is_new for row in after[::2])
    assert all(row.is_new for row in after[1::2])
    hints = ledger.queued([row.task_id for row in after])
    assert [hint.task_id for hint in hints] == [row.task_id for row in after]


def test_all_belong_to_one_transaction(ledger: TaskLedger) -> None:
    """Rolled back, none is there."""
    new = [new_task() for _ in range(3)]
    with ledger.database.transaction() as connection:
        ledger.insert_many_on(connection, new)
        connection.rollback()
    assert ledger.get_many([task.task_id for task in new]) == []
    assert ledger.queued([task.task_id for task in new]) == []


def test_callers_with_the_same_keys_do_not_block_each_other(ledger: TaskLedger) -> None:
    """In whatever order each has them: both get the same tasks."""
    keys = [new_id() for _ in range(300)]
    found: list[set[str]] = []
    together = threading.Barrier(4)

    def act(order: int) -> None:
        mine = [new_task(idempotency_key=key) for key in keys[::order]]
        together.wait()
        found.append({row.task_id for row in insert(ledger, *mine)})

    threads = [threading.Thread(target=act, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(found[0]) == 300
    assert all(ids == found[0] for ids in found)


def test_a_row_that_was_left_becomes_what_replaces_it(
    at_hand: LedgerOnHand, ledger: TaskLedger
) -> None:
    """As with a single insert."""
    task_id = at_hand.add()
    assert ledger.claim(task_id, "f" * 32, "worker")
    with ledger.database.transaction() as connection:
        assert ledger.leave(connection, task_id, "f" * 32)
    replacement = new_task(task_id=task_id, parameters="[9]")
    (found, _) = insert(ledger, replacement, new_task())
    assert (found.is_new, at_hand.row(task_id).parameters) == (True, "[9]")
