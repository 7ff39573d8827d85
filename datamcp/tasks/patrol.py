"""A thread that looks at work under way, some times a second, for as long as there is any.

What a slot is busy with can't look at itself: its thread runs the user's code.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread

LOOK = 0.025  # seconds between two looks
_LINGER = 40  # looks without work until it sleeps: most work is followed by more


class Patrol:
    """Looks at all that it is told of. Safe to share between threads, and to carry through a fork."""

    def __init__(self, pause: float = LOOK) -> None:
        """Take the seconds between looks; the thread starts with the first work."""
        self._pause = pause
        self._begin()

    @contextmanager
    def over(self, look: Callable[[], None]) -> Iterator[None]:
        """Call `look` again and again during the block, and perhaps once after; it must not raise."""
        if self._owner != os.getpid():
            self._begin()  # the thread stayed with the parent process
        with self._changed:
            self._looks[id(look)] = look
            if not self.is_awake:
                self._wake()
        try:
            yield
        finally:
            self._looks.pop(id(look), None)

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._changed = Condition()
        self._looks: dict[int, Callable[[], None]] = {}
        self._thread: Thread | None = None
        self.is_awake = False
        self._idle = 0  # looks without work

    def _wake(self) -> None:
        self.is_awake = True
        if self._thread is None:
            self._thread = Thread(target=self._run, name="datamcp-patrol", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        try:
            while True:
                for look in self._next():
                    look()
        finally:
            self._thread, self.is_awake = None, False  # the next work gets a new one

    def _next(self) -> list[Callable[[], None]]:
        """Return what is to be looked at, once it is time."""
        with self._changed:
            self._idle = 0 if self._looks else self._idle + 1
            if self._idle < _LINGER:
                self._changed.wait(self._pause)
            else:
                self.is_awake, self._idle = False, 0
                while not self.is_awake:
                    self._changed.wait()
            return list(self._looks.values())
