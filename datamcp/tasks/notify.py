"""How the end of a task reaches those who wait for it: one Redis channel per id.

A notice may be lost; it only saves the waiter from looking too often.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event, Lock

import redis

from datamcp.infra.redis import make_client
from datamcp.telemetry import Telemetry

_NO_ID = ""  # its channel is never announced on


class RedisNotifier:
    """Publishes that something is finished."""

    def __init__(self, url: str, prefix: str, telemetry: Telemetry) -> None:
        """Take the server, and the prefix of our channels."""
        self._client = make_client(url)
        self._prefix = prefix
        self._telemetry = telemetry

    def announce(self, keys: Collection[str]) -> None:
        """Wake up those who wait for these ids."""
        try:
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.publish(channel(self._prefix, key), b"")
            pipeline.execute()
        except redis.RedisError as error:
            self._telemetry.emit("notice.lost", count=len(keys), reason=str(error))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class RedisListener:
    """Hears notices of ids, as they are asked for."""

    def __init__(self, url: str, prefix: str) -> None:
        """Take the server, and the prefix of our channels."""
        self._client = make_client(url)
        self._prefix = prefix
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

    def close(self) -> None:
        """Close the connection."""
        self._pubsub.close()
        self._client.close()


class PollingListener:
    """Stands in where no Redis is: asks for a look at every id, some times a second."""

    def __init__(self, interval: float = 0.1) -> None:
        """Take the seconds between looks."""
        self._interval = interval
        self._keys: set[str] = set()
        self._asked = Event()

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
