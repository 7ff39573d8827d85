"""The statements that every end of a step makes: they count it down for those that wait for it.

They stand in the transaction of that end (protocol R12), and are sent without SQLAlchemy in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    and_,
    bindparam,
    case,
    not_,
    null,
    or_,
    select,
    update,
)

from datamcp.infra.among import among
from datamcp.infra.database import Database
from datamcp.infra.direct import Direct
from datamcp.pipelines.gate import Gate
from datamcp.pipelines.locks import SHARE
from datamcp.pipelines.tables import runs
from datamcp.tasks.ledger import HINT_COLUMNS, Hint
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks
from datamcp.types import step_task_id

Counts = tuple[int, int]
"""How many upstreams of a step have settled, and how many of those were no success."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A step that was waiting: its state now, whether somebody has to look at it, its message."""

    state: State
    is_undecided: bool
    hint: Hint

    @classmethod
    def of(cls, row: Any) -> "Counted":
        """Return a row of `COUNTED`."""
        state, undecided, *hint = row
        return cls(State(state), bool(undecided), Hint(*hint))


COUNTED = (tasks.c.state, tasks.c.undecided, *HINT_COLUMNS)


class Countdown:
    """Counts ends down where other steps wait for them. Safe to share between threads."""

    def __init__(self, database: Database, now: ColumnElement[Any]) -> None:
        """Take the database and its clock."""
        self._of_steps = _Releases(database, now, tasks.c.awaits.is_(None))
        self._of_many = _Releases(database, now, tasks.c.awaits.is_not(None))

    def release(
        self,
        connection: Connection,
        run_id: str,
        counts: Mapping[str, Counts],
        *,
        is_of_instances: bool = False,
    ) -> list[Counted]:
        """Count so many settled upstreams for each of these steps; return those that were waiting.

        Those whose last upstreams they were are queued now, or `undecided`: somebody is to look.
        `is_of_instances` tells that what has settled are steps that these were made to.
        """
        releases = self._of_many if is_of_instances else self._of_steps
        alike: dict[Counts, list[str]] = {}
        for step_id, count in counts.items():
            alike.setdefault(count, []).append(step_task_id(run_id, step_id))
        every = [task_id for task_ids in alike.values() for task_id in task_ids]
        send = releases.alone if len(every) == 1 else releases.first
        found = []
        for (settled, bad), task_ids in alike.items():
            values = {"ids": task_ids, "settled": settled, "bad": bad}
            found += send.run_on(connection, {**values, "name": run_id, "every": every})
            send = releases.next
        return [Counted.of(row) for row in found]


class _Releases:
    """One statement: for a single step; and for several, of which the first locks all of them."""

    def __init__(
        self, database: Database, now: ColumnElement[Any], where: ColumnElement[bool]
    ) -> None:
        statement = _release_steps(database.dialect, now, where)
        self.alone = Direct(database, statement, locks=[SHARE])
        self.first = Direct(database, statement, locks=[SHARE, _lock_steps(database.dialect)])
        self.next = Direct(database, statement)


def _lock_steps(dialect: str) -> Executable:
    """Lock those of some rows that wait, in the order of their ids, so that no two ends deadlock.

    Takes them as `every`. One that has started early is left alone: whoever ends it holds it, and
    wants others of these.
    """
    waiting = and_(among(dialect, tasks.c.task_id, "every"), tasks.c.state == State.SCHEDULED)
    return select(tasks.c.task_id).where(waiting).order_by(tasks.c.task_id).with_for_update()


def _release_steps(dialect: str, now: ColumnElement[Any], where: ColumnElement[bool]) -> Executable:
    """Count settled upstreams of rows of a condition that wait; return their states and hints.

    Takes `ids`, how many have been `settled` for each of them, and how many of those were `bad`.
    """
    settled = bindparam("settled", type_=tasks.c.upstreams_left.type)
    bad = bindparam("bad", type_=tasks.c.unsuccessful.type)
    is_last = tasks.c.upstreams_left <= settled
    is_paused = (
        select(runs.c.paused_at.is_not(None)).where(runs.c.run_id == tasks.c.run_id)
    ).scalar_subquery()
    is_open = and_(tasks.c.gate == Gate.OPEN, tasks.c.unsuccessful + bad == 0, not_(is_paused))
    starts = and_(is_last, is_open)
    is_each = and_(tasks.c.gate == Gate.EACH, tasks.c.awaits.is_(None))
    is_looked_at = or_(is_last, is_each)
    return (
        update(tasks)
        .where(
            among(dialect, tasks.c.task_id, "ids"),
            tasks.c.state == State.SCHEDULED,
            where,
            tasks.c.fence.is_(None),  # else it has begun, and was put off
        )
        .values(
            upstreams_left=tasks.c.upstreams_left - settled,
            unsuccessful=tasks.c.unsuccessful + bad,
            state=case((starts, State.QUEUED), else_=tasks.c.state),
            queued_at=case((starts, now), else_=null()),
            undecided=and_(is_looked_at, not_(starts)),
        )
        .returning(*COUNTED)
    )
