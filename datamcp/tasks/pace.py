"""How long tasks take, as far as a worker has seen, and what it makes of that. Pure.

Short tasks are worked on faster if a slot gets some of them at once, as claims and commits are then
made for all of them together. That is worth it only where the next one comes soon anyway.
"""

from dataclasses import dataclass
from math import inf

MOST_AT_ONCE = 16
"""Tasks that one slot gets at once."""

_FADES = 0.25  # of what a task took longer than the next one, with each


@dataclass(frozen=True, slots=True)
class Brevity:
    """What is short, and how long anything waits for the sake of it; all in seconds."""

    longest: float = 0.012
    """What a task may take that shares a slot; 0 for none that does."""

    @property
    def job(self) -> float:
        """What all tasks may take that a slot gets at once."""
        return 2 * self.longest

    @property
    def flow(self) -> float:
        """After the end of a short task: in this time more messages are taken than there are slots."""
        return 1.6 * self.longest

    @property
    def hold(self) -> float:
        """What a message may wait for a slot."""
        return 4 * self.longest

    @property
    def budget(self) -> float:
        """After a job began: what has not begun by then goes back."""
        return 8 * self.longest


class Pace:
    """The longest that tasks of each type took of late; what was long fades with what is not."""

    def __init__(self, brevity: Brevity) -> None:
        """Begin without knowledge: what has not been seen may take for ever."""
        self._brevity = brevity
        self._seconds: dict[str, float] = {}

    def note(self, task_type: str, seconds: float) -> None:
        """Take how long a task has just taken."""
        before = self._seconds.get(task_type, 0.0)
        self._seconds[task_type] = max(seconds, before + _FADES * (seconds - before))

    def of(self, task_type: str) -> float:
        """Return how long (s) a task will take, at most, unless it is unlike those before."""
        return self._seconds.get(task_type, inf)

    def at_once(self, task_type: str) -> int:
        """Return how many tasks of a type may go to one slot at once."""
        seconds = max(self.of(task_type), 1e-6)
        return max(1, min(MOST_AT_ONCE, int(self._brevity.job / seconds)))
