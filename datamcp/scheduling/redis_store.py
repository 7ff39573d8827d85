"""Schedules in Redis or Valkey.

What is due is found by a sorted set, in microseconds since 1970 by the server's clock. A beat that
takes schedules has them come due again a little later: if it dies, another one takes them then. It
moves them only if they are still at the version that it took.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from datamcp.config.redaction import redact_url
from datamcp.errors import BackendUnavailable, ScheduleExistsError
from datamcp.infra.database import Connection, Database
from datamcp.infra.redis import make_client
from datamcp.scheduling.schedule import Firing, Schedule, Source
from datamcp.scheduling.store import Move, Outlook, Turn

HELD = timedelta(seconds=5)
"""For how long a beat has what it took for itself."""
KEPT = 1000
"""Firings that are kept of each schedule."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_NEVER = ""

_ADD = """
local documents, names, due, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, name, document, at, is_paused = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('HEXISTS', documents, id) == 1 then return 0 end
if name ~= '' and redis.call('HSETNX', names, name, id) == 0 then return 0 end
redis.call('HSET', documents, id, document)
if at ~= '' then redis.call('ZADD', due, at, id) end
if is_paused == '1' then redis.call('SADD', paused, id) end
return 1
"""

_MOVE = """
local documents, due, paused, firings = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, version, document, at, is_paused = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local before = redis.call('HGET', documents, id)
if not before then return 0 end
local is_same = cjson.decode(before).version == tonumber(version)
if is_same or ARGV[7] == '1' then
    for number = 8, #ARGV do redis.call('LPUSH', firings, ARGV[number]) end
    if #ARGV > 7 then redis.call('LTRIM', firings, 0, ARGV[6] - 1) end
end
if not is_same then return 0 end
redis.call('HSET', documents, id, document)
if at == '' then redis.call('ZREM', due, id) else redis.call('ZADD', due, at, id) end
if is_paused == '1' then redis.call('SADD', paused, id) else redis.call('SREM', paused, id) end
return 1
"""

_REMOVE = """
local documents, names, due, paused, firings = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local document = redis.call('HGET', documents, ARGV[1])
if not document then return 0 end
local name = cjson.decode(document).name
if type(name) == 'string' then redis.call('HDEL', names, name) end
redis.call('HDEL', documents, ARGV[1])
redis.call('ZREM', due, ARGV[1])
redis.call('SREM', paused, ARGV[1])
redis.call('DEL', firings)
return 1
"""

_TAKE = """
local documents, due = KEYS[1], KEYS[2]
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
    local document = redis.call('HGET', documents, id)
    if document then
        redis.call('ZADD', due, ARGV[2], id)
        found[#found + 1] = document
    else
        redis.call('ZREM', due, id)
    end
end
return found
"""

_RELEASE = """
for number = 3, #ARGV do
    local at = redis.call('ZSCORE', KEYS[1], ARGV[number])
    if at and tonumber(at) == tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], ARGV[2], ARGV[number]) end
end
"""


class RedisStore:
    """Schedules in a Redis. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        ledger: Database,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Take the server, the prefix of our keys, and where tasks are made; in tests, a clock."""
        self._shown = redact_url(url)
        self._client: Any = make_client(url)
        self._keys = _Keys(f"{prefix}{{schedules}}:")
        self._ledger = ledger
        self._clock = clock
        scripts = (_ADD, _MOVE, _REMOVE, _TAKE, _RELEASE)
        self._add, self._move, self._remove, self._take, self._release = map(
            self._client.register_script, scripts
        )

    def now(self) -> datetime:
        """Return the server's instant."""
        if self._clock is not None:
            return self._clock()
        with self._translated():
            seconds, microseconds = self._client.time()
        return _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)

    def add(self, schedule: Schedule, due_at: datetime | None) -> None:
        """Keep a new schedule; raises ScheduleExistsError if its id or its name is taken."""
        keys, values = self._keys, _values(schedule, due_at)
        with self._translated():
            is_new = self._add(
                keys=[keys.documents, keys.names, keys.due, keys.paused],
                args=[schedule.schedule_id, schedule.name or "", *values],
            )
        if not is_new:
            raise ScheduleExistsError(schedule.title)

    def get(self, key: str) -> Schedule | None:
        """Return the schedule with this id or, failing that, this name."""
        with self._translated():
            document = self._client.hget(self._keys.documents, key)
            if document is None:
                named = self._client.hget(self._keys.names, key)
                document = named and self._client.hget(self._keys.documents, named)
        return None if document is None else Schedule.read(document)

    def list(self, source: Source | None = None) -> Sequence[Schedule]:
        """Return all schedules, or those of one source; by name, then by id."""
        with self._translated():
            documents = self._client.hvals(self._keys.documents)
        found = [Schedule.read(document) for document in documents]
        wanted = [one for one in found if source in {None, one.source}]
        return sorted(wanted, key=lambda one: (one.name is None, one.title))

    def replace(self, move: Move) -> bool:
        """Change a schedule, and note its firings, unless somebody has changed it meanwhile."""
        with self._translated():
            return bool(self._send(move, self._client, is_made=False))

    def remove(self, schedule_id: str) -> bool:
        """Forget a schedule and its firings; False if there is none."""
        keys = self._keys
        with self._translated():
            gone = self._remove(
                keys=[keys.documents, keys.names, keys.due, keys.paused, keys.firings(schedule_id)],
                args=[schedule_id],
            )
        return bool(gone)

    def firings(self, schedule_id: str, limit: int) -> Sequence[Firing]:
        """Return what became of a schedule's times, the newest first."""
        with self._translated():
            found = self._client.lrange(self._keys.firings(schedule_id), 0, KEPT - 1)
        noted = [Firing.model_validate_json(text) for text in reversed(found)]
        # What was made is noted also by a beat that came too late to move the schedule.
        known = {(one.fire_at, one.kind): one for one in reversed(noted)}
        newest = sorted(known.values(), key=lambda one: (one.fire_at, one.recorded_at))
        return newest[::-1][:limit]

    def due_in(self) -> float | None:
        """Return the seconds until one is due; negative if one is late, None if none ever is."""
        with self._translated():
            first = self._client.zrange(self._keys.due, 0, 0, withscores=True)
        if not first:
            return None
        return float((_EPOCH + first[0][1] * _TICK - self.now()).total_seconds())

    def outlook(self) -> Outlook:
        """Return how the schedules are."""
        with self._translated():
            count = self._client.hlen(self._keys.documents)
            paused = self._client.scard(self._keys.paused)
            late = self._client.get(self._keys.lateness)
        return Outlook(count, paused, self.due_in(), None if late is None else float(late))

    @contextmanager
    def turn(self, limit: int) -> Iterator[Turn]:
        """Take some schedules that are due, and that no other beat has."""
        now, keys = self.now(), self._keys
        until = now + HELD
        with self._translated():
            documents = self._take(
                keys=[keys.documents, keys.due], args=[_number(now), _number(until), limit]
            )
        due = [Schedule.read(document) for document in documents]
        try:
            yield _Turn(now, due, self, until)
        except Exception:
            self.release(due, until, now)
            raise

    def prune(self, age: float, limit: int) -> int:
        """Forget schedules that are over, older than so many seconds; firings go by their number."""
        before, keys = self.now() - timedelta(seconds=age), self._keys
        with self._translated():
            due = set(self._client.zrange(keys.due, 0, -1)) | self._client.smembers(keys.paused)
            idle = [one for one in self._client.hkeys(keys.documents) if one not in due][:limit]
            documents = self._client.hmget(keys.documents, idle) if idle else []
        over = [
            one.schedule_id
            for one in map(Schedule.read, filter(None, documents))
            if one.source is Source.API and one.updated_at < before
        ]
        return sum(self.remove(schedule_id) for schedule_id in over)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Return a transaction of the ledger's."""
        return self._ledger.transaction()

    def release(self, due: Sequence[Schedule], until: datetime, now: datetime) -> None:
        """Have schedules that were taken until an instant be due at once."""
        if due:
            ids = [one.schedule_id for one in due]
            with self._translated():
                self._release(keys=[self._keys.due], args=[_number(until), _number(now), *ids])

    def move(self, moves: Sequence[Move]) -> None:
        """Let schedules go on, in one round trip; those that were changed meanwhile stay."""
        with self._translated():
            pipeline = self._client.pipeline(transaction=False)
            for move in moves:
                self._send(move, pipeline, is_made=True)
            late = [
                one.lateness for move in moves for one in move.firings if one.lateness is not None
            ]
            if late:
                pipeline.set(self._keys.lateness, max(late))
            pipeline.execute()

    def _send(self, move: Move, client: Any, *, is_made: bool) -> Any:
        """Move a schedule; with `is_made`, note in any case what was made."""
        keys, before = self._keys, move.before
        after = move.after.model_copy(update={"version": before.version + 1})
        document, due_at, is_paused = _values(after, move.due_at)
        return self._move(
            keys=[keys.documents, keys.due, keys.paused, keys.firings(before.schedule_id)],
            args=[
                before.schedule_id,
                before.version,
                document,
                due_at,
                is_paused,
                KEPT,
                "1" if is_made else "0",
                *(firing.model_dump_json() for firing in move.firings),
            ],
            client=client,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise BackendUnavailable(f"schedules at {self._shown}", str(error)) from error


@dataclass(frozen=True, slots=True)
class _Turn:
    """Schedules that are one beat's for some seconds."""

    now: datetime
    due: Sequence[Schedule]
    _store: RedisStore
    _until: datetime

    def ledger(self) -> AbstractContextManager[Connection]:
        """Return a transaction of the ledger's."""
        return self._store.transaction()

    def move(self, moves: Sequence[Move]) -> None:
        """Let schedules go on."""
        if moves:
            self._store.move(moves)
        moved = {move.before.schedule_id for move in moves}
        left = [one for one in self.due if one.schedule_id not in moved]
        self._store.release(left, self._until, self.now)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The names of our keys; one hash tag has all of them in one slot of a cluster."""

    prefix: str

    @property
    def documents(self) -> str:
        return f"{self.prefix}documents"

    @property
    def names(self) -> str:
        return f"{self.prefix}names"

    @property
    def due(self) -> str:
        return f"{self.prefix}due"

    @property
    def paused(self) -> str:
        return f"{self.prefix}paused"

    @property
    def lateness(self) -> str:
        return f"{self.prefix}lateness"

    def firings(self, schedule_id: str) -> str:
        return f"{self.prefix}firings:{schedule_id}"


def _values(schedule: Schedule, due_at: datetime | None) -> tuple[str, str | int, str]:
    """Return the document, when it is due, and whether it is paused, as the scripts take them."""
    at = _NEVER if due_at is None else _number(due_at)
    return schedule.model_dump_json(), at, "1" if schedule.paused else "0"


def _number(instant: datetime) -> int:
    return (instant - _EPOCH) // _TICK
