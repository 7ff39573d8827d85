"""Whether more steps could run at once than may (`pipelines.max_concurrent_tasks`).

Only then somebody has to count them: where all workers together have fewer slots than that, the
limit holds by itself, and steps start without being looked at.
"""

from collections.abc import Callable
from threading import Lock

from datamcp.clock import Clock

ALL_STEPS = "steps of all runs"
"""The key of the limit that all steps are under."""

_LASTS = 5.0  # seconds for which an answer holds


class Crowd:
    """Knows how many steps may run at once, and whether that has to be watched."""

    def __init__(self, most: int, slots: Callable[[], int], clock: Clock) -> None:
        """Take the limit, and what tells how many slots all workers have."""
        self.most = most
        self._slots = slots
        self._clock = clock
        self._lock = Lock()
        self._looked_at = float("-inf")
        self._is_large = False

    @property
    def is_large(self) -> bool:
        """Whether there are more slots than steps that may run; raises BackendUnavailable."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._looked_at >= _LASTS:
                self._is_large = self._slots() > self.most
                self._looked_at = now
            return self._is_large
