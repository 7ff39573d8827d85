"""The heartbeats of one attempt: the ledger gets a few of them a second, and the last one.

A loop may beat as often as it likes. The first beat is written at once; what comes within the next
moment is kept and written at its end, by another thread, or when the attempt ends: so a process
that is killed has lost no more than a moment.
"""

from collections.abc import Callable
from threading import Lock
from typing import Protocol

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable
from datamcp.tasks.patience import patiently
from datamcp.telemetry import Telemetry

PAUSE = 0.5  # seconds between two writes of one attempt

_PATIENCE = (0.2, 0.5, 1.0, 2.0)  # seconds between the tries of the last write


class Later(Protocol):
    """Does something in a moment."""

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Act in so many seconds, in another thread."""
        ...


class Pulse:
    """Takes the heartbeats of one attempt. Safe to share between threads."""

    def __init__(
        self,
        write: Callable[[float | None, str | None], bool],
        *,
        clock: Clock,
        later: Later,
        telemetry: Telemetry,
    ) -> None:
        """Take what writes progress and details to the ledger, and tells whether to stop.

        `clock` counts the seconds between two writes.
        """
        self._write = write
        self._clock = clock
        self._later = later
        self._telemetry = telemetry
        self._lock = Lock()
        self._writing = Lock()
        self._progress: float | None = None
        self._details: str | None = None
        self._number = 0  # of the last heartbeat
        self._written = 0  # the last one that the ledger has
        self._next = float("-inf")
        self._is_due = False
        self._has_ended = False
        self._is_to_stop = False

    def beat(self, progress: float | None, details: str | None) -> bool:
        """Take a heartbeat; tell whether the work is to stop, as far as is known."""
        with self._lock:
            self._number += 1
            self._progress = self._progress if progress is None else progress
            self._details = self._details if details is None else details
            pause = self._next - self._clock.monotonic()
            is_first = pause > 0 and not self._is_due
            self._is_due = pause > 0
        if pause <= 0:
            self._flush()
        elif is_first:
            self._later.after(pause, self._when_due)
        return self._is_to_stop

    def end(self) -> None:
        """Write what is left to write, and nothing more afterwards."""
        self._has_ended = True
        try:
            patiently(self._write_rest, _PATIENCE, self._tell)
        except BackendUnavailable as error:
            self._tell(error)

    def _when_due(self) -> None:
        has_just_written = self._next > self._clock.monotonic()
        if not (self._has_ended or has_just_written):
            self._flush()

    def _flush(self) -> None:
        """Write what is left; what a database that is away does not take is written later."""
        try:
            self._write_rest()
        except BackendUnavailable as error:
            self._tell(error)
            self._later.after(PAUSE, self._when_due)

    def _write_rest(self) -> None:
        with self._writing:  # what comes meanwhile is written later
            with self._lock:
                number, progress, details = self._number, self._progress, self._details
                self._is_due = False
                self._next = self._clock.monotonic() + PAUSE
            if number > self._written:
                self._is_to_stop = self._write(progress, details) or self._is_to_stop
                self._written = number

    def _tell(self, error: BackendUnavailable) -> None:
        self._telemetry.emit("task.heartbeat_delayed", reason=error.reason)
