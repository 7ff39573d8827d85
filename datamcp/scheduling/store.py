"""Where schedules are kept: what every backend can do.

A beat that wants to fire takes a turn: it gets schedules that are due and that no other beat has,
makes their tasks, and moves them on. Where the store is the ledger's own database, all of that is one
transaction. Elsewhere the tasks are committed first, and a schedule is moved only if it is still as
it was taken: whoever does that again makes the same tasks (protocol R21).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from datamcp.infra.database import Connection
from datamcp.scheduling.schedule import Firing, Schedule, Source


@dataclass(frozen=True, slots=True)
class Move:
    """A schedule as it was taken and as it goes on, and when it is due again; what became of times."""

    before: Schedule
    after: Schedule
    due_at: datetime | None
    firings: Sequence[Firing] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """How the schedules are: how many there are, and are paused; seconds until the next is due.

    `due_in` is negative if one is late, None if none is due ever. `lateness` is by how many seconds
    the last firing was late; None if there was none.
    """

    count: int
    paused: int
    due_in: float | None
    lateness: float | None = None


class Turn(Protocol):
    """Schedules that are due, for one beat."""

    @property
    def now(self) -> datetime:
        """Return the instant of the turn, by the store's clock."""
        ...

    @property
    def due(self) -> Sequence[Schedule]:
        """Return the schedules, those that are due longest first."""
        ...

    def ledger(self) -> AbstractContextManager[Connection]:
        """Return a transaction of the ledger's, in which the tasks are made; once in a turn."""
        ...

    def move(self, moves: Sequence[Move]) -> None:
        """Let schedules go on; those that somebody has changed meanwhile stay as they are.

        Those of the turn that are not among them are due as before.
        """
        ...


class ScheduleStore(Protocol):
    """Keeps schedules. Safe to share between threads. All methods raise BackendUnavailable."""

    def now(self) -> datetime:
        """Return the store's instant."""
        ...

    def add(self, schedule: Schedule, due_at: datetime | None) -> None:
        """Keep a new schedule; raises ScheduleExistsError if its id or its name is taken."""
        ...

    def get(self, key: str) -> Schedule | None:
        """Return the schedule with this id or, failing that, this name."""
        ...

    def list(self, source: Source | None = None) -> Sequence[Schedule]:
        """Return all schedules, or those of one source; by name, then by id."""
        ...

    def replace(self, move: Move) -> bool:
        """Change a schedule, and note its firings, unless somebody has changed it meanwhile."""
        ...

    def remove(self, schedule_id: str) -> bool:
        """Forget a schedule and its firings; False if there is none."""
        ...

    def firings(self, schedule_id: str, limit: int) -> Sequence[Firing]:
        """Return what became of a schedule's times, the newest first."""
        ...

    def due_in(self) -> float | None:
        """Return the seconds until one is due; negative if one is late, None if none ever is."""
        ...

    def outlook(self) -> Outlook:
        """Return how the schedules are."""
        ...

    def turn(self, limit: int) -> AbstractContextManager[Turn]:
        """Take some schedules that are due, and that no other beat has."""
        ...

    def prune(self, age: float, limit: int) -> int:
        """Forget some firings, and schedules that are over, older than so many seconds."""
        ...

    def close(self) -> None:
        """Close its own connections."""
        ...
