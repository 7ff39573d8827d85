"""How the end of a task reaches those who wait for it: one Redis channel per id.

A notice may be lost; it only saves the waiter from looking too often.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

import redis

from datamcp.infra.redis import make_client
from datamcp.telemetry import Telemetry

_MOST_UNREAD = 100  # answers
_NO_ID = ""  # its channel is never announced on

_kept: list[Any] = []
"""What a forked child has of its parent's. To let it go would wait for a lock of the parent's."""


class RedisNotifier:
    """Publishes that something is finished. Safe to share between threads, and to carry through a fork.

    Nobody waits for Redis to answer: what it has answered is read before the next notices leave.
    """

    def __init__(self, url: str, prefix: str, telemetry: Telemetry) -> None:
        """Take the server, and the prefix of our channels."""
        self._client = make_client(url)
        self._prefix = prefix
        self._telemetry = telemetry
        self._lock = Lock()
        self._line: Any = None  # the connection that notices leave on
        self._unread = 0  # answers that are still to come
        self._pid = os.getpid()

    def announce(self, keys: Collection[str]) -> None:
        """Wake up those who wait for these ids."""
        if self._pid != os.getpid():  # the parent's line is not ours, nor is its lock
            self._lock, self._line, self._unread, self._pid = Lock(), None, 0, os.getpid()
        with self._lock:
            try:
                self._send_once_more(keys)
            except (redis.RedisError, OSError) as error:
                self._hang_up()
                self._telemetry.emit("notice.lost", count=len(keys), reason=str(error))

    def _send_once_more(self, keys: Collection[str]) -> None:
        """Send; and again where the line turns out to have been cut since it was used last."""
        was_used = self._line is not None
        try:
            self._send(keys)
        except redis.ConnectionError:
            if not was_used:
                raise
            self._hang_up()
            self._send(keys)

    def _send(self, keys: Collection[str]) -> None:
        line = self._line or self._call()
        while self._unread and (self._unread >= _MOST_UNREAD or line.can_read(0)):
            line.read_response()
            self._unread -= 1
        commands = [("PUBLISH", channel(self._prefix, key), b"") for key in keys]
        line.send_packed_command(line.pack_commands(commands), check_health=False)
        self._unread += len(commands)

    def _call(self) -> Any:
        self._line, self._unread = self._client.connection_pool.get_connection(), 0
        return self._line

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.disconnect()
            self._client.connection_pool.release(line)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._hang_up()
        self._client.close()


class RedisListener:
    """Hears notices of ids, as they are asked for."""

    def __init__(self, url: str, prefix: str) -> None:
        """Take the server, and the prefix of our channels."""
        self._url = url
        self._prefix = prefix
        self._begin()

    def _begin(self) -> None:
        self._client = make_client(self._url)
        self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._lock = Lock()  # redis-py opens and subscribes from one thread at a time only
        self._is_open = False

    def listen(self, key: str) -> None:
        """Begin to hear of an id; `hear` calls back once that is in force."""
        with self._lock, _as_connection_error():
            if not self._is_open:
                # One channel is kept: redis-py 8 takes the end of the last subscription for the
                # end of all, even if a new one has begun meanwhile (`PubSub.handle_message`).
                self._pubsub.subscribe(channel(self._prefix, _NO_ID))
                self._is_open = True
            self._pubsub.subscribe(channel(self._prefix, key))

    def ignore(self, key: str) -> None:
        """Hear of an id no more."""
        with self._lock, _as_connection_error():
            self._pubsub.unsubscribe(channel(self._prefix, key))

    def hear(self, timeout: float, heard: Callable[[str], None]) -> None:
        """Wait up to some seconds for a first notice, then take all that are there."""
        with _as_connection_error():
            message = self._pubsub.get_message(timeout=timeout)
            while message is not None:
                if message["type"] in {"message", "subscribe"}:
                    self._tell(message["channel"].decode(), heard)
                message = self._pubsub.get_message(timeout=0)

    def _tell(self, name: str, heard: Callable[[str], None]) -> None:
        key = name.removeprefix(channel(self._prefix, _NO_ID))
        if key != _NO_ID:
            heard(key)

    def forget(self) -> None:
        """Have a connection of one's own; that of the parent is left as it is."""
        _kept.append(self._pubsub)
        self._begin()

    def close(self) -> None:
        """Close the connection."""
        self._pubsub.close()
        self._client.close()


class PollingListener:
    """Stands in where no Redis is: asks for a look at every id, some times a second."""

    def __init__(self, interval: float = 0.1) -> None:
        """Take the seconds between looks."""
        self._interval = interval
        self.forget()

    def listen(self, key: str) -> None:
        """Begin to look at an id."""
        self._keys.add(key)
        self._asked.set()

    def ignore(self, key: str) -> None:
        """Look at an id no more."""
        self._keys.discard(key)

    def hear(self, timeout: float, heard: Callable[[str], None]) -> None:
        """Wait a little, then ask for a look at all."""
        self._asked.wait(timeout)
        self._asked.clear()
        Event().wait(self._interval)
        for key in tuple(self._keys):
            heard(key)
        if self._keys:
            self._asked.set()

    def forget(self) -> None:
        """Begin with nothing to look at."""
        self._keys: set[str] = set()
        self._asked = Event()

    def close(self) -> None:
        """Stop waiting."""
        self._asked.set()


class NullNotifier:
    """Tells nobody; waiters look for themselves."""

    def announce(self, keys: Collection[str]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def channel(prefix: str, key: str) -> str:
    """Return the channel on which the end of an id is told."""
    return f"{prefix}done:{key}"


@contextmanager
def _as_connection_error() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError, RuntimeError) as error:
        raise ConnectionError(str(error)) from error
