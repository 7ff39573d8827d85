"""Whether a worker has stopped taking messages, though it lives and some wait. Pure.

Celery's consumers have been seen to stall after a broker came back: connected, alive, idle. A free
slot takes the next message at once, so a worker that is idle while messages lie in its queue for
long is stalled. It is then connected anew; if that does not help, it is ended, for whatever
supervises it to start it again.
"""

from dataclasses import dataclass
from enum import Enum

LOOK = 5.0  # seconds between two looks
STALLED = 30.0  # seconds after which an idle worker beside waiting messages is stalled


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one look: messages that wait, tasks that run, and how many ever came."""

    waiting: int
    running: int
    received: int


class Remedy(Enum):
    """What is to be done about a worker."""

    NONE = "none"
    RECONNECT = "reconnect"
    END = "end"


class Watchdog:
    """Looks at one worker, again and again."""

    def __init__(self) -> None:
        """Begin without suspicion."""
        self._since: float | None = None
        self._received = -1
        self._tried = False

    def look(self, sight: Sight, now: float) -> Remedy:
        """Take what is seen at an instant; return what is to be done."""
        if sight.running or not sight.waiting or sight.received != self._received:
            self._received = sight.received
            self._since, self._tried = None, False
            return Remedy.NONE
        if self._since is None:
            self._since = now
        if now - self._since < STALLED:
            return Remedy.NONE
        self._since = now
        if self._tried:
            return Remedy.END
        self._tried = True
        return Remedy.RECONNECT

    def forget(self) -> None:
        """Take nothing for stalled that could not be looked at."""
        self._since = None
