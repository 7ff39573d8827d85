"""When the time of a task is up, in a process of a pool: its code is interrupted, once.

The ledger says how much time there is, whatever limits a message carries. A thread waits for the
end of it; it costs a task no more than a look at the clock. Where Celery sends its own signal, for
the limits of a plain call, or the worker's main process does (see `lease`), that counts as well;
however many come for one task, its code is interrupted once, and may tidy up after that.

What runs inside of another task has no more time than that one has left (protocol R19). Where that
was the reason, the other one is interrupted as well, once what ran inside of it has ended.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread, get_ident, main_thread
from time import monotonic
from types import FrameType
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from datamcp.infra.composure import wait_for_blocks

SIGNAL = signal.SIGUSR1
"""Celery's signal for a soft time limit."""

_AGAIN = 0.1  # seconds until what has not been heard is sent again

_NEVER = float("inf")


class Alarm:
    """Interrupts what the main thread of this process runs."""

    def __init__(self) -> None:
        """Begin with nothing to interrupt."""
        self._pid = 0
        self._is_ready = False
        self._handler: Any = None
        self._reset()

    def _reset(self) -> None:
        self._changed = Condition()
        self._due = (0, _NEVER)  # its number, and when
        self._deadline = self._outer = _NEVER
        self._wakes = _NEVER  # when the thread looks next, of itself
        self._is_set = False
        self._is_own = False  # whether the signal that comes next is ours
        self._has_rung = False

    def begin(self) -> None:
        """Begin a message; take signals over from Celery's pool, which sets them late."""
        self._has_rung = False
        if not self._is_ready or signal.getsignal(SIGNAL) is not self._handler:
            wait_for_blocks(signal.SIGTERM)
            wait_for_blocks(SIGNAL, self.ring)
            self._is_ready, self._handler = True, signal.getsignal(SIGNAL)

    @contextmanager
    def set(self, seconds: float | None) -> Iterator[None]:
        """Interrupt the block once it has taken so many seconds, if this process is one of a pool."""
        due = self._outer if seconds is None else min(self._outer, monotonic() + seconds)
        if due == _NEVER or not self._is_heard():
            yield
            return
        self._is_set, self._has_rung = True, False
        try:
            self._wait(due)
            yield
        finally:
            self._is_set = False  # first: a signal may be on its way
            self._set_due(_NEVER)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the alarm that is set be heard in the block only where another one is set in it."""
        if not self._is_heard():
            yield
            return
        is_set, has_rung = self._is_set, self._has_rung
        outer, due = self._outer, self._deadline
        self._is_set = False
        self._set_due(_NEVER)
        self._outer = min(outer, due)
        try:
            yield
        finally:
            self._outer, self._has_rung = outer, has_rung
            if is_set:
                self._is_set = True
                self._wait(due)

    def _is_heard(self) -> bool:
        return self._is_ready and get_ident() == main_thread().ident

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt; raises SoftTimeLimitExceeded the first time."""
        is_own, self._is_own = self._is_own, False
        is_over = not self._is_set or monotonic() < self._deadline  # it was sent for another one
        if (is_own and is_over) or self._has_rung:
            return
        self._has_rung = True
        raise SoftTimeLimitExceeded

    def _wait(self, due: float) -> None:
        if self._pid != os.getpid():
            self._reset()
            self._is_set, self._pid = True, os.getpid()
            Thread(target=self._watch, name="datamcp-alarm", daemon=True).start()
        self._set_due(due)
        if due < self._wakes:
            with self._changed:
                self._changed.notify()

    def _set_due(self, due: float) -> None:
        """Set when it rings; each time has a number of its own."""
        self._deadline = due
        self._due = (self._due[0] + 1, due)

    def _watch(self) -> None:
        sent, again = 0, _NEVER  # for which of all times, and when it is sent once more
        while True:
            with self._changed:
                number, due = self._due
                self._wakes = again if number == sent else due
                if self._due[0] != number:  # whoever has set it may not have seen when we wake
                    continue
                left = self._wakes - monotonic()
                if left > 0:
                    self._changed.wait(None if self._wakes == _NEVER else left)
                    continue
                # What begins to wait just when it comes may not hear it, and go on waiting.
                sent, again = number, monotonic() + _AGAIN
                if self._has_rung:
                    continue
                self._is_own = True
            signal.pthread_kill(main_thread().ident or 0, SIGNAL)


alarm = Alarm()
"""The one of this process: there is one handler of a signal."""
