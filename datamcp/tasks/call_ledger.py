"""Statements on tasks that other tasks have called, and wait for (protocol R19).

Such a task has a `call_depth`, which no other has. Its caller is its parent.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select

from datamcp.infra import instants
from datamcp.tasks.ledger import HINT_COLUMNS, Hint, Inserted, NewTask, Now, TaskLedger, are_tasks
from datamcp.tasks.past import SNOOZED
from datamcp.tasks.statements import has_expired, insert_call, insert_values, is_due
from datamcp.tasks.states import State
from datamcp.tasks.tables import attempts, tasks


@dataclass(frozen=True, slots=True)
class Origin:
    """What is to be known of a task that calls others.

    `depth` is how many calls it stands inside of. `epoch` is the fence of the attempt that it put
    off last by its own choice, None if it never did: what it calls from then on are new calls.
    """

    depth: int
    epoch: str | None


class CallLedger:
    """The rows of calls. Safe to share between threads."""

    def __init__(self, ledger: TaskLedger, *, now: Now = instants.now) -> None:
        """Take the ledger and, in tests, its clock."""
        self._ledger = ledger
        self._now = now
        self._insert = insert_call(ledger.database.dialect, now())

    def origin(self, task_id: str) -> Origin:
        """Return what is to be known of a caller."""
        epoch = (
            select(attempts.c.fence)
            .where(
                attempts.c.task_id == task_id,
                attempts.c.outcome == SNOOZED,
                attempts.c.error_code.is_(None),  # else it was put off by others
            )
            .order_by(attempts.c.ended_at.desc())
            .limit(1)
            .scalar_subquery()
        )
        statement = select(tasks.c.call_depth, epoch).where(tasks.c.task_id == task_id)
        with self._ledger.database.autocommit() as connection:
            row = connection.execute(statement).one_or_none()
        depth, found = (None, None) if row is None else row
        return Origin(depth or 0, found)

    def insert(self, task: NewTask, depth: int) -> Inserted:
        """Insert a call and commit; or find the one that has its id."""
        values = {**insert_values(task), "depth": depth}
        with self._ledger.database.autocommit() as connection:
            state = connection.execute(self._insert, values).scalar_one_or_none()
            if state is not None:
                return Inserted(task.task_id, task.task_type, State(state), True, task.parameters)
            found = select(tasks).where(tasks.c.task_id == task.task_id)
            row = connection.execute(found).one()
        return Inserted(row.task_id, row.task_type, State(row.state), False, row.parameters)

    def states(self, task_ids: Collection[str]) -> dict[str, State]:
        """Return the states of those of these tasks that exist."""
        statement = select(tasks.c.task_id, tasks.c.state).where(are_tasks(task_ids))
        with self._ledger.database.autocommit() as connection:
            return {task_id: State(state) for task_id, state in connection.execute(statement)}

    def next_of(self, caller_id: str, queues: Collection[str]) -> Hint | None:
        """Return what may start in these queues and was called by a task, or by what it called.

        The deepest comes first: something that is running already waits for it.
        """
        return self._first(
            _below(caller_id)
            .where(self._may_start(queues))
            .order_by(tasks.c.call_depth.desc(), tasks.c.priority.desc(), tasks.c.created_at)
        )

    def is_stuck(self, caller_id: str, seconds: float) -> bool:
        """Tell whether a call of a task, or one below it, has waited for a slot for so long."""
        has_waited = tasks.c.queued_at <= instants.after(self._now(), -seconds)
        found = _below(caller_id).where(tasks.c.state == State.QUEUED, has_waited)
        return self._first(found) is not None

    def next_of_others(self, queues: Collection[str], seconds: float) -> Hint | None:
        """Return what may start in these queues, has waited for so long, and is waited for."""
        caller = tasks.alias("caller")
        statement = (
            select(*HINT_COLUMNS)
            .join(caller, caller.c.task_id == tasks.c.parent_id)
            .where(
                tasks.c.call_depth.is_not(None),
                tasks.c.finished_at.is_(None),
                self._may_start(queues),
                tasks.c.queued_at <= instants.after(self._now(), -seconds),
                caller.c.state == State.RUNNING,
            )
            .order_by(tasks.c.queued_at)
        )
        return self._first(statement)

    def _may_start(self, queues: Collection[str]) -> Any:
        return and_(
            is_due(self._now()),
            tasks.c.queue.in_(sorted(queues)),
            tasks.c.blocked_on.is_(None),
            tasks.c.cancel_requested.is_(False),
            ~has_expired(self._now()),
        )

    def _first(self, statement: Select[Any]) -> Hint | None:
        with self._ledger.database.autocommit() as connection:
            row = connection.execute(statement.limit(1)).one_or_none()
        return None if row is None else Hint(*row)


def _below(caller_id: str) -> Select[Any]:
    """Select the hints of what a task has called, and that has called, as far as it goes on."""
    goes_on = and_(tasks.c.call_depth.is_not(None), tasks.c.finished_at.is_(None))
    called = select(tasks.c.task_id).where(tasks.c.parent_id == caller_id, goes_on)
    below = called.cte("below", recursive=True)
    further = select(tasks.c.task_id).where(tasks.c.parent_id == below.c.task_id, goes_on)
    below = below.union_all(further)
    return select(*HINT_COLUMNS).where(tasks.c.task_id.in_(select(below.c.task_id)))
