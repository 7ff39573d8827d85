"""Tasks that one slot runs one after the other, claimed together and ended together.

Each has its own row, attempt, time and result, as if it had come alone (protocol R18). A success
that has nothing else to write is written a moment later, with those around it. Both that moment and
what has not begun yet are looked after beside the task that runs: if that one takes longer than was
thought, what has ended is written all the same, and the others go back to the queue.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import Claimed, Death, are_tasks, is_batch_of
from datamcp.tasks.outcome import Done
from datamcp.tasks.settle import Settler
from datamcp.tasks.statements import BatchEnd

FLUSH = 0.05  # seconds after which what has ended is written
_MOST_TEXT = 1_000_000  # characters of results that wait


class Bunch:
    """Claims of one fence. One thread runs them; another one looks after the rest."""

    def __init__(
        self,
        claimed: Sequence[Claimed],
        *,
        fence: str,
        agent_id: str,
        settler: Settler,
        budget: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Take the claims, and after how many seconds those that have not begun go back."""
        self.fence = fence
        self._agent_id = agent_id
        self._settler = settler
        self._clock = clock
        self._until = clock() + budget
        self._lock = Lock()  # of what has not begun
        self._left = {one.task_id: one for one in claimed}
        self._claimed = frozenset(self._left)
        self._ends = _Ends(settler, fence, clock)

    def take(self, task_id: str) -> Claimed | None:
        """Begin one of the tasks; None if it was not claimed with the others, or went back."""
        with self._lock:
            if self._left and self._clock() > self._until:
                self._give_back()  # nobody has looked for a while: their leases may be over
            return self._left.pop(task_id, None)

    def __contains__(self, task_id: object) -> bool:
        """Tell whether a task was claimed with the others, whatever has become of it.

        Its claim must not be made again: with this fence it would be the same one (protocol R2).
        """
        return task_id in self._claimed

    def end(self, claimed: Claimed, done: Done, since: float) -> None:
        """Take a success, to be written soon; it began at `since`, by the bunch's clock."""
        self._ends.add(claimed, done, since)

    def flush(self) -> None:
        """Write what has ended; raises BackendUnavailable."""
        self._ends.flush()

    @property
    def lost(self) -> frozenset[str]:
        """The tasks whose success was not written: their claims were no longer in force, say."""
        return frozenset(self._ends.lost | self._ends.waiting)

    def give_back(self) -> None:
        """Return what has not begun to the queue; raises BackendUnavailable."""
        with self._lock:
            self._give_back()

    def close(self) -> None:
        """Return what has not begun, and write what has ended; raises BackendUnavailable."""
        self.give_back()
        self.flush()

    def look(self) -> None:
        """Do what is due, beside the task that runs; what can't be done now is left for later."""
        try:
            self._ends.flush_old()
            if self._clock() > self._until:
                self.give_back()
        except BackendUnavailable:
            return

    def _give_back(self) -> None:
        ids, self._left = list(self._left), {}
        if ids:
            self._settler.give_back(
                are_tasks(ids) & is_batch_of(self._agent_id, self.fence), Death.EXPLAINED
            )


@dataclass(frozen=True, slots=True)
class _Ended:
    """A success that is still to be written: when it began, and ended."""

    claimed: Claimed
    done: Done
    since: float
    until: float


class _Ends:
    """Successes that are still to be written. Who flushes waits for who is flushing."""

    def __init__(self, settler: Settler, fence: str, clock: Callable[[], float]) -> None:
        self._settler = settler
        self._fence = fence
        self._clock = clock
        self._lock = Lock()
        self._waiting: list[_Ended] = []
        self._size = 0
        self.lost: set[str] = set()

    @property
    def waiting(self) -> set[str]:
        return {one.claimed.task_id for one in self._waiting}

    def add(self, claimed: Claimed, done: Done, since: float) -> None:
        with self._lock:
            self._waiting.append(_Ended(claimed, done, since, self._clock()))
            self._size += len(done.result or "") + len(done.output or "")
            if self._size > _MOST_TEXT or self._is_old():
                self._write()

    def flush(self) -> None:
        with self._lock:
            self._write()

    def flush_old(self) -> None:
        if self._waiting and self._is_old():
            self.flush()

    def _is_old(self) -> bool:
        return bool(self._waiting) and self._clock() - self._waiting[0].until >= FLUSH

    def _write(self) -> None:
        if not self._waiting:
            return
        now = self._clock()
        ends = [
            BatchEnd(
                one.claimed.task_id,
                one.done.result,
                one.done.output,
                now - one.since,
                now - one.until,
            )
            for one in self._waiting
        ]
        has_steps = any(one.claimed.run_id is not None for one in self._waiting)
        self.lost |= self._settler.finish_many(self._fence, ends, has_steps=has_steps)
        self._waiting, self._size = [], 0


current: ContextVar[Bunch | None] = ContextVar("datamcp_bunch", default=None)
"""The bunch that runs in this thread."""
