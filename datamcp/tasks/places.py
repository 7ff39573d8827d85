"""Places under limits: who may start now, who has to wait, and whose turn is next (protocol R13).

A claim under a limit locks the limit's row of `turns`, counts who runs under it, and then starts
the task or leaves it queued, `blocked_on` the limit. Whoever gives a place up locks the same row,
and lets the next one in. So no place is lost, and none is given twice. Locks are taken in one
order, against deadlocks: rows of tasks first, those of `turns` by key, and last the rows of those
who wait, of which the ones that are locked already are passed over.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    func,
    literal,
    select,
    update,
)

from datamcp.infra import instants
from datamcp.tasks.ledger import HINT_COLUMNS, Claimed, Hint, Now, TaskLedger, is_claim
from datamcp.tasks.limit import NAP, Limit
from datamcp.tasks.statements import claim_task, has_expired, insert_if_new, is_due
from datamcp.tasks.states import WAITING, State
from datamcp.tasks.tables import tasks, turns

MAX_DEPTH = 16  # of tasks that call tasks

_CLAIMED = tuple(tasks.c[field.name] for field in fields(Claimed) if field.name in tasks.c)

_PREFIX = "limit "
_UNUSED = 3600.0  # seconds after which a limit's row of `turns` is removed


@dataclass(frozen=True, slots=True)
class Refused:
    """A task that has to wait for its limit; if for time alone, it may try again in `seconds`."""

    key: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Freed:
    """What follows where places were given up: who is let in; and keys whose turn comes, in s."""

    hints: Sequence[Hint] = ()
    later: Sequence[tuple[str, float]] = ()


NOBODY = Freed()
"""What follows where nobody waits."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """The row of a limit, locked: how many seconds the next start has to wait."""

    wait: float


class Places:
    """The places under limits. Safe to share between threads."""

    def __init__(self, ledger: TaskLedger, *, now: Now = instants.now) -> None:
        """Take the ledger and, in tests, its clock."""
        self._ledger = ledger
        self._now = now
        self._claim = claim_task(now(), _CLAIMED)

    # Claims.

    def peek(self, task_id: str) -> Claimed | None:
        """Return a task as a claim would, whatever its state; None if there is none."""
        statement = select(*_CLAIMED).where(tasks.c.task_id == task_id)
        with self._ledger.database.autocommit() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Claimed(*row)

    def claim(
        self, task_id: str, fence: str, agent_id: str, key: str, limit: Limit
    ) -> Claimed | Refused | None:
        """Claim a task that has a limit, as `TaskLedger.claim` does where it may start."""
        with self._ledger.database.transaction() as connection:
            row = connection.execute(
                select(tasks.c.state, tasks.c.fence, tasks.c.root_id, tasks.c.parent_id)
                .where(tasks.c.task_id == task_id)
                .with_for_update()
            ).one_or_none()
            if row is None:
                return None
            if row.state == State.RUNNING and row.fence == fence:  # the answer was lost (R2)
                return self._start(connection, task_id, fence, agent_id, key, limit)
            if row.state not in WAITING:
                return None
            turn = self._lock(connection, key)
            if not self._has_place(connection, key, limit, row):
                return self._refuse(connection, task_id, Refused(key))
            if limit.spacing is not None and turn.wait > NAP:
                return self._refuse(connection, task_id, Refused(key, turn.wait - NAP))
            claimed = self._start(connection, task_id, fence, agent_id, key, limit)
            if claimed is None or limit.spacing is None:
                return claimed
            self._pass(connection, key, max(0.0, turn.wait) + limit.spacing)
            return replace(claimed, pause=max(0.0, turn.wait))

    def _has_place(self, connection: Connection, key: str, limit: Limit, row: Any) -> bool:
        if limit.max_running is None:
            return True
        running = self._count(connection, key, State.RUNNING, limit.max_running)
        return running < limit.max_running or self._is_called_from(connection, key, row)

    def _is_called_from(self, connection: Connection, key: str, row: Any) -> bool:
        """Tell whether a task that called this one runs under the limit: it may wait for it (R19)."""
        asked: set[str] = set()
        ids = {one for one in (row.root_id, row.parent_id) if one is not None}
        while ids - asked and len(asked) < 2 * MAX_DEPTH:
            found = connection.execute(
                select(tasks.c.parent_id, tasks.c.concurrency_key, tasks.c.state).where(
                    tasks.c.task_id.in_(ids - asked)
                )
            ).all()
            if any(one.state == State.RUNNING and one.concurrency_key == key for one in found):
                return True
            asked |= ids
            ids = {one.parent_id for one in found if one.parent_id is not None}
        return False

    def _start(
        self,
        connection: Connection,
        task_id: str,
        fence: str,
        agent_id: str,
        key: str,
        limit: Limit,
    ) -> Claimed | None:
        values = {"id": task_id, "mine": fence, "agent": agent_id, "lease": self._ledger.lease}
        row = connection.execute(self._claim, values).one_or_none()
        if row is None:
            return None
        # Where nobody counts who runs, nobody has to be told of the end.
        held = None if limit.max_running is None else key
        connection.execute(
            update(tasks)
            .where(is_claim(task_id, fence))
            .values(concurrency_key=held, blocked_on=None)
        )
        return replace(Claimed(*row), has_place=held is not None)

    def _refuse(self, connection: Connection, task_id: str, refused: Refused) -> Refused | None:
        """Leave a row queued that may not start, waiting for its limit; None if it is not due."""
        was_queued = tasks.c.state == State.QUEUED
        blocked = connection.execute(
            update(tasks)
            .where(
                tasks.c.task_id == task_id,
                is_due(self._now()),
                tasks.c.cancel_requested.is_(False),
                ~has_expired(self._now()),
            )
            .values(
                state=State.QUEUED,
                queued_at=case((was_queued, tasks.c.queued_at), else_=self._now()),
                blocked_on=refused.key,
                concurrency_key=None,
            )
        )
        return refused if blocked.rowcount else None

    # Ends.

    def free(self, connection: Connection, keys: Iterable[str]) -> Freed:
        """Let the next ones in where places were given up; the last step of a transaction."""
        hints: list[Hint] = []
        later: list[tuple[str, float]] = []
        for key, count in sorted(Counter(keys).items()):
            turn = self._lock(connection, key)
            if turn.wait > NAP:
                later.append((key, turn.wait - NAP))
            else:
                hints += self._let_in(connection, key, count)
        return Freed(hints, later)

    # Turns that have come, and what a crash left waiting.

    def wake(self, key: str, limit: Limit | None, most: int) -> Freed:
        """Let those in for whom there is room now; without a limit, as many as may be sent."""
        with self._ledger.database.transaction() as connection:
            turn = self._lock(connection, key)
            running = 0
            if limit is not None and limit.max_running is not None:
                running = self._count(connection, key, State.RUNNING, limit.max_running)
            room = None if limit is None else limit.room(running, turn.wait)
            if room is None or room > most:
                room = most
            on_the_way = self._count(connection, key, State.QUEUED, room)
            hints = self._let_in(connection, key, room - on_the_way)
            is_too_soon = limit is not None and limit.spacing is not None and turn.wait > NAP
            return Freed(hints, [(key, turn.wait - NAP)] if is_too_soon else ())

    def waiting(self, after: str, limit: int) -> list[tuple[str, str]]:
        """Return keys for which tasks wait, in order, and the type of one of these tasks."""
        is_waiting = and_(tasks.c.state == State.QUEUED, tasks.c.blocked_on.is_not(None))
        first = func.min(tasks.c.blocked_on)
        # One step of the index for each key, however many wait for it.
        keys = (
            select(first.label("key"))
            .where(is_waiting, tasks.c.blocked_on > after)
            .cte("keys", recursive=True)
        )
        beyond = select(first).where(is_waiting, tasks.c.blocked_on > keys.c.key).scalar_subquery()
        keys = keys.union_all(select(beyond).where(keys.c.key.is_not(None)))
        kind = (
            select(tasks.c.task_type)
            .where(is_waiting, tasks.c.blocked_on == keys.c.key)
            .limit(1)
            .scalar_subquery()
        )
        statement = select(keys.c.key, kind).where(keys.c.key.is_not(None)).limit(limit)
        with self._ledger.database.autocommit() as connection:
            return [(key, kind) for key, kind in connection.execute(statement) if kind]

    def kind_waiting(self, key: str) -> str | None:
        """Return the type of a task that waits for a limit; None if none does."""
        statement = select(tasks.c.task_type).where(
            tasks.c.state == State.QUEUED, tasks.c.blocked_on == key
        )
        with self._ledger.database.autocommit() as connection:
            kind: str | None = connection.execute(statement.limit(1)).scalar_one_or_none()
        return kind

    def tidy(self, limit: int) -> int:
        """Remove rows of `turns` that no limit has used for an hour; return how many."""
        unused = and_(
            turns.c.key.startswith(_PREFIX), turns.c.free_at < self._after(literal(-_UNUSED))
        )
        found = select(turns.c.key).where(unused).limit(limit).with_for_update(skip_locked=True)
        with self._ledger.database.transaction() as connection:
            keys = connection.execute(found).scalars().all()
            connection.execute(delete(turns).where(turns.c.key.in_(keys), unused))
        return len(keys)

    # Steps of these.

    def _lock(self, connection: Connection, key: str) -> _Turn:
        """Lock the row of a limit until the transaction ends; make it, if it is new."""
        row = select(turns.c.free_at, self._now()).where(turns.c.key == _PREFIX + key)
        found = connection.execute(row.with_for_update()).one_or_none()
        if found is None:
            new = insert_if_new(self._ledger.database.dialect, turns)
            connection.execute(new.values(key=_PREFIX + key, free_at=self._now()))
            found = connection.execute(row.with_for_update()).one()
        free_at, now = found
        return _Turn((free_at - now).total_seconds())

    def _pass(self, connection: Connection, key: str, seconds: float) -> None:
        """Let the next turn come in so many seconds."""
        free_at = self._after(literal(seconds))
        connection.execute(
            update(turns).where(turns.c.key == _PREFIX + key).values(free_at=free_at)
        )

    def _after(self, seconds: ColumnElement[float]) -> ColumnElement[Any]:
        return instants.After(self._now(), seconds)

    def _count(self, connection: Connection, key: str, state: State, most: int) -> int:
        """Count the tasks that run under a limit, or are on their way; no more than asked for."""
        found = (
            select(tasks.c.task_id)
            .where(tasks.c.concurrency_key == key, tasks.c.state == state)
            .limit(max(0, most))
        )
        return int(
            connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()
        )

    def _let_in(self, connection: Connection, key: str, count: int) -> list[Hint]:
        """Queue the next ones that wait for a limit anew: by priority, then by age."""
        if count <= 0:
            return []
        is_next = and_(tasks.c.state == State.QUEUED, tasks.c.blocked_on == key)
        found = (
            select(tasks.c.task_id)
            .where(is_next)
            .order_by(tasks.c.priority.desc(), tasks.c.created_at)
            .limit(count)
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.execute(found).scalars())
        if not ids:
            return []
        rows = connection.execute(
            update(tasks)
            .where(tasks.c.task_id.in_(ids), is_next)
            .values(blocked_on=None, concurrency_key=key, queued_at=self._now())
            .returning(*HINT_COLUMNS)
        )
        return sorted((Hint(*row) for row in rows), key=lambda hint: ids.index(hint.task_id))
