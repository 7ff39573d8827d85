"""Celery's pool of threads, whose worker learns at once that a thread is free again.

A worker takes no message while all its slots are busy (protocol R5), and looks for the next one
when something wakes its event loop. A child process does that with its result; a thread of Celery
5.7's own pool ends in silence, so that the next message waits for some timer of the loop. So does a
job that raises, whose slot its worker would take for busy for ever.
"""

import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency import ALIASES
from celery.concurrency.thread import TaskPool

_ANYTHING = b"\0"
_MUCH = 4096  # bytes


def install() -> None:
    """Make this the pool that Celery calls `threads`, in this process."""
    ALIASES["threads"] = f"{__name__}:WakingTaskPool"


class WakingTaskPool(TaskPool):  # type: ignore[misc]
    """Wakes the event loop whenever a job has ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool, and the pair of sockets through which it wakes the loop."""
        super().__init__(*args, **kwargs)
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._ended: deque[object] = deque()
        self.freed: Callable[[], object] | None = None
        """Called by the event loop for each job that has ended."""

    def register_with_event_loop(self, loop: Any) -> None:
        """Let the loop hear of ends; Celery calls it again for each new connection."""
        loop.add_reader(self._ear, self._hear)

    def on_apply(
        self,
        *args: Any,
        error_callback: Callable[[ExceptionInfo], object] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a task in a thread; what it raises is told, as by a child process."""
        applied = super().on_apply(*args, **kwargs)
        if error_callback is not None:
            applied.f.add_done_callback(partial(_tell_error, error_callback))
        applied.f.add_done_callback(self._wake)
        return applied

    def _wake(self, future: object) -> None:
        self._ended.append(future)
        with suppress(
            BlockingIOError
        ):  # so many are waiting to be heard that one more adds nothing
            self._mouth.send(_ANYTHING)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._ear.recv(_MUCH)
        while self._ended:
            self._ended.popleft()
            if self.freed is not None:
                self.freed()


def _tell_error(tell: Callable[[ExceptionInfo], object], job: "Future[Any]") -> None:
    error = None if job.cancelled() else job.exception()
    if error is not None:
        tell(ExceptionInfo((type(error), error, error.__traceback__)))
