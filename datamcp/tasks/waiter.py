"""Wait for the end of tasks and runs, without polling and without a thread per caller.

One thread per process hears the notices and looks into the ledger, for all callers at once: when
a subscription begins (the end may have come before it), when a notice comes, and every few
seconds in case one was lost. Callers hold futures. A forked child begins with none of them, and has
a thread and a connection of its own.
"""

import os
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from datamcp.clock import Clock
from datamcp.telemetry import Telemetry

T = TypeVar("T")

_TICK = 1.0  # seconds to listen at a stretch
_WAKE_UP = ""  # no id; to begin to hear of it wakes the thread up


class Listener(Protocol):
    """Hears notices."""

    def listen(self, key: str) -> None:
        """Begin to hear of an id; an error but ConnectionError means that its end can't come."""
        ...

    def ignore(self, key: str) -> None:
        """Hear of an id no more."""
        ...

    def hear(self, timeout: float, heard: Callable[[str], None]) -> None:
        """Wait up to some seconds for notices; raise ConnectionError if there is no way to."""
        ...

    def forget(self) -> None:
        """Begin anew in a forked child: what there is belongs to its parent."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class Waiter(Generic[T]):
    """Resolves futures with what the ledger says once something is finished."""

    def __init__(
        self,
        *,
        listener: Listener,
        look: Callable[[Collection[str]], Mapping[str, T]],
        clock: Clock,
        telemetry: Telemetry,
        look_again: float = 2.0,
    ) -> None:
        """Take how to hear, and how to look: `look` returns what is finished among some ids.

        `look_again` is in seconds.
        """
        self._listener = listener
        self._look = look
        self._clock = clock
        self._telemetry = telemetry
        self._look_again = look_again
        self._closed = False
        self._begin()
        _waiters.add(self)

    def _begin(self) -> None:
        self._lock = Lock()
        self._futures: dict[str, list[Future[T]]] = defaultdict(list)
        self._thread: Thread | None = None

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self._begin()
        self._listener.forget()

    def future(self, key: str) -> "Future[T]":
        """Return a future of the end of this id; cancel it to give up.

        After `close` it is cancelled from the start.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
                return future
            is_first = not self._futures[key]
            self._futures[key].append(future)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="datamcp-waiter", daemon=True)
                self._thread.start()
        if is_first:
            self._listen(key)
        return future

    def _listen(self, key: str) -> None:
        try:
            with suppress(ConnectionError):  # the thread looks for itself until it is back
                self._listener.listen(key)
        except BaseException:
            with self._lock:
                self._forget(key)
            raise

    def _run(self) -> None:
        next_look = self._clock.monotonic() + self._look_again
        while not self._closed:
            heard = self._hear()
            if self._clock.monotonic() >= next_look:
                heard = self._waited_for()
                next_look = self._clock.monotonic() + self._look_again
            if heard and not self._closed:
                self._resolve(heard)

    def _hear(self) -> set[str]:
        heard: set[str] = set()
        try:
            self._listener.hear(min(_TICK, self._look_again), heard.add)
        except ConnectionError:
            Event().wait(_TICK / 10)
        return heard

    def _waited_for(self) -> set[str]:
        with self._lock:
            for key in [key for key, futures in self._futures.items() if _given_up(futures)]:
                self._forget(key)
            return set(self._futures)

    def _resolve(self, keys: set[str]) -> None:
        try:
            finished = self._look(keys)
        except Exception as error:  # noqa: BLE001  this thread answers everybody: it must not end
            self._telemetry.emit("waiter.look_failed", reason=str(error))
            return
        for key, value in finished.items():
            with self._lock:
                futures = self._forget(key)
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_result(value)

    def _forget(self, key: str) -> "list[Future[T]]":
        futures = self._futures.pop(key, [])
        with suppress(ConnectionError):
            self._listener.ignore(key)
        return futures

    def close(self) -> None:
        """Stop listening; futures that are still open are cancelled."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            with suppress(ConnectionError):
                self._listener.listen(_WAKE_UP)
            self._thread.join(timeout=2 * _TICK)
        self._listener.close()
        with self._lock:
            futures = [future for waiting in self._futures.values() for future in waiting]
            self._futures.clear()
        for future in futures:
            future.cancel()


_waiters: "weakref.WeakSet[Waiter[Any]]" = weakref.WeakSet()


def _forget_all() -> None:
    for waiter in list(_waiters):
        waiter.forget()


os.register_at_fork(after_in_child=_forget_all)


def _given_up(futures: "list[Future[T]]") -> bool:
    return all(future.cancelled() for future in futures)
