"""Ageing: what waits behind higher priorities for too long moves up (protocol R17).

A level of a queue starves where higher ones are served and none of it runs. Then its oldest rows
get one more hint, at the next level that is served. Their rows stay as they are, and nothing is
noted of it: as the oldest ones are sent, there are never more of them ahead of their time than
that, and whatever still waits at the next look is what was sent before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from datamcp.infra import instants
from datamcp.tasks.ledger import HINT_COLUMNS, Hint, Now, TaskLedger
from datamcp.tasks.ports import Publisher
from datamcp.tasks.queues import LOWEST
from datamcp.tasks.states import State
from datamcp.tasks.tables import tasks

AGE = 5.0  # seconds that a row waits behind others before it moves up, and between two moves
OLDEST = 1000  # rows of a queue among which those that starve are looked for
SHARE = 4  # of the running tasks of higher levels, one in so many gives way


@dataclass(frozen=True, slots=True)
class Served:
    """What runs of one level: how many tasks, and whether one of them began a moment ago."""

    running: int
    is_recent: bool


class Ageing:
    """Moves up what starves."""

    def __init__(
        self, ledger: TaskLedger, publisher: Publisher, *, now: Now = instants.now
    ) -> None:
        """Take the ledger, who sends hints and, in tests, the clock."""
        self._ledger = ledger
        self._publisher = publisher
        self._now = now

    def sweep(self) -> int:
        """Send what starves once more, a level up; return how many. Raises BackendUnavailable."""
        sent = 0
        for queue, levels in self._served().items():
            hints = self._moving_up(queue, levels)
            if hints and self._ledger.take_turn(f"ageing {queue}", AGE):
                self._publisher.publish(hints)
                sent += len(hints)
        return sent

    def _moving_up(self, queue: str, levels: Mapping[int, Served]) -> Sequence[Hint]:
        recent = [level for level, served in levels.items() if served.is_recent]
        if max(recent, default=LOWEST) == LOWEST:
            return ()
        most = max(1, sum(served.running for served in levels.values()) // SHARE)
        starving = self._starving(queue, below=max(recent), but=list(levels), most=most)
        return [replace(hint, priority=next_level(hint.priority, recent)) for hint in starving]

    def _served(self) -> dict[str, dict[int, Served]]:
        """Return what runs, by queue and level."""
        is_recent = func.max(tasks.c.started_at) > instants.after(self._now(), -AGE)
        statement = (
            select(tasks.c.queue, tasks.c.priority, func.count(), is_recent)
            .where(tasks.c.state == State.RUNNING)
            .group_by(tasks.c.queue, tasks.c.priority)
        )
        found: dict[str, dict[int, Served]] = {}
        with self._ledger.database.autocommit() as connection:
            for queue, priority, count, recent in connection.execute(statement):
                found.setdefault(queue, {})[priority] = Served(count, bool(recent))
        return found

    def _starving(self, queue: str, *, below: int, but: Sequence[int], most: int) -> list[Hint]:
        """Return rows of lower levels that are among the oldest of a queue, the oldest first."""
        oldest = (
            select(tasks.c.task_id)
            .where(
                tasks.c.state == State.QUEUED,
                tasks.c.queue == queue,
                tasks.c.queued_at <= instants.after(self._now(), -AGE),
                tasks.c.blocked_on.is_(None),
            )
            .order_by(tasks.c.queued_at)
            .limit(OLDEST)
            .subquery()
        )
        statement = (
            select(*HINT_COLUMNS)
            .join(oldest, tasks.c.task_id == oldest.c.task_id)
            .where(tasks.c.priority < below, tasks.c.priority.not_in(but))
            .order_by(tasks.c.queued_at)
            .limit(most)
        )
        with self._ledger.database.autocommit() as connection:
            return [Hint(*row) for row in connection.execute(statement)]


def next_level(priority: int, served: Sequence[int]) -> int:
    """Return the level to which one moves up: the next higher one that is served."""
    return min(level for level in served if level > priority)
