"""Small delays: what is to be done in a moment, by one thread of this process.

Beat looks every two seconds for what has come due. That is late for an attempt that is made again
after a tenth of one, so whoever put it off sends its message too. If this process ends before,
beat does.
"""

import os
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread
from typing import NamedTuple

from datamcp.clock import Clock, SystemClock

SOON = 3.0
"""Seconds; what is due later is left to beat, which has seen it by then."""

MOST = 1000  # that wait here; beat sees to the others

_LATER = 0.005  # seconds: SQLite's clock goes in milliseconds


class _Due(NamedTuple):
    at: float  # of the monotonic clock
    number: int
    act: Callable[[], None]


class Soon:
    """Acts in a moment. Safe to share between threads, and to carry through a fork."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Take a clock, in tests; the thread starts when there is something to wait for."""
        self._clock = SystemClock() if clock is None else clock
        self._numbers = count()
        self._thread: Thread | None = None
        self._begin()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Act at once where nothing is to be waited for, else in so many seconds."""
        if seconds <= 0:
            act()
            return
        if self._owner != os.getpid():
            self._begin()  # the thread stayed with the parent process
        due = _Due(self._clock.monotonic() + seconds + _LATER, next(self._numbers), act)
        with self._changed:
            if len(self._waiting) >= MOST:
                return
            heappush(self._waiting, due)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="datamcp-soon", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._changed = Condition()
        self._waiting: list[_Due] = []
        self._thread = None

    def _run(self) -> None:
        try:
            while True:
                self._next().act()
        finally:
            self._thread = None  # whatever went wrong, the next delay gets a new one

    def _next(self) -> _Due:
        with self._changed:
            while True:
                wait = self._waiting[0].at - self._clock.monotonic() if self._waiting else None
                if wait is not None and wait <= 0:
                    return heappop(self._waiting)
                self._changed.wait(wait)
