"""Faults that come as messages: once more, too late, broken, too large, unknown, dangerous."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis
from kombu.exceptions import OperationalError
from kombu.messaging import Producer

from chaos.stage import PREFIX, PROCESSES
from chaos.world import Course, Fault, World
from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import Hint
from datamcp.tasks.publish import BrokerPublisher

_AT_ONCE = 20  # messages of one fault
_LARGE = 6_000_000  # bytes
_LOOKS, _LOOK = 50, 0.05  # how often messages are looked for, and the seconds between
_LATER = (1.0, 3.0)  # seconds until they come again
_LEVELS = 10

_JSON = "application/json"


def send_again(world: World) -> Course:
    """Send hints of tasks that are queued, running or over, each twice."""
    with suppress(BackendUnavailable):
        rows = list(world.runtime.ledger.list(limit=500))
        world.rng.shuffle(rows)
        hints = [
            Hint(row.task_id, row.task_type, row.queue, row.priority) for row in rows[:_AT_ONCE]
        ]
        world.tell(f"{len(hints)} tasks")
        BrokerPublisher(world.runtime.app).publish([*hints, *hints])
    yield 0.0


def replay(world: World) -> Course:
    """Copy messages that lie in the queues, and put them back later, as they were."""
    client = world.stage.redis()
    if client is None:
        yield from _replay_on_rabbitmq(world)
        return
    copies: list[tuple[bytes, bytes]] = []
    with client:
        for _ in range(_LOOKS):
            with suppress(redis.RedisError):
                for key in _queue_keys():
                    found = client.lrange(key, 0, _AT_ONCE)
                    copies += [(key, bytes(each)) for each in found]  # type: ignore[arg-type]
            if len(copies) >= _AT_ONCE:
                break
            yield _LOOK
        yield world.rng.uniform(*_LATER)
        with suppress(redis.RedisError):
            for key, message in copies[:_AT_ONCE]:
                client.lpush(key, message)
    world.tell(f"{len(copies[:_AT_ONCE])} messages")
    yield 0.0


def _replay_on_rabbitmq(world: World) -> Course:
    copies: list[Any] = []
    for _ in range(_LOOKS):
        copies += _copies_on_rabbitmq(world, _AT_ONCE - len(copies))
        if len(copies) >= _AT_ONCE:
            break
        yield _LOOK
    yield world.rng.uniform(*_LATER)
    with world.runtime.app.connection_for_write() as connection:
        for message in copies:
            connection.default_channel.basic_publish(message, routing_key=PROCESSES)
    world.tell(f"{len(copies)} messages")
    yield 0.0


def _copies_on_rabbitmq(world: World, wanted: int) -> list[Any]:
    """Return messages that are ready, as they are; the queue has them again when we hang up."""
    with world.runtime.app.connection_for_write() as connection:
        channel = connection.channel()
        found = (channel.basic_get(PROCESSES, no_ack=False) for _ in range(wanted))
        return [message for message in found if message is not None]


def malformed(world: World) -> Course:
    """Messages that are none of Celery's: wrong in headers or in body."""
    wrong = world.rng.choice(_MALFORMED)
    world.tell(json.dumps(wrong)[:80])
    _send(world, wrong.get("body", "[[], {}, {}]"), wrong.get("headers", {}))
    yield 0.0


def broken(world: World) -> Course:
    """Messages that are none of the transport's: not even an envelope."""
    client = world.stage.redis()
    raw = world.rng.choice(_BROKEN)
    world.tell(repr(raw)[:80])
    if client is not None:
        with client, suppress(redis.RedisError):
            client.lpush(f"{PREFIX}{PROCESSES}", raw)
    else:
        with world.runtime.app.connection_for_write() as connection:
            channel = connection.default_channel
            channel.basic_publish(channel.prepare_message(raw), routing_key=PROCESSES)
    yield 0.0


def oversized(world: World) -> Course:
    """Make a plain call with arguments of megabytes."""
    body = json.dumps([[], {"seconds": "x" * _LARGE}, {}])
    _send(world, body, _headers(world, f"{PROCESSES}.effect"))
    yield 0.0


def unknown(world: World) -> Course:
    """Make a plain call of a task that nobody knows."""
    _send(world, "[[], {}, {}]", _headers(world, f"{PROCESSES}.nothing", is_kept=False))
    yield 0.0


def pickled(world: World) -> Course:
    """Send a pickle that makes a file when it is read."""
    body = f"cbuiltins\nopen\n(S'{world.pickled}'\nS'w'\ntR.".encode()
    headers = _headers(world, f"{PROCESSES}.effect", is_kept=False)
    _send(world, body, headers, content_type="application/x-python-serialize", encoding="binary")
    yield 0.0


def foreign(world: World) -> Course:
    """Plain calls of programs that know nothing of the ledger, each sent twice."""
    for _ in range(3):
        headers = _headers(world, f"{PROCESSES}.effect")
        for _ in range(2):
            _send(world, "[[], {}, {}]", headers)
    yield 0.0


def _headers(world: World, name: str, *, is_kept: bool = True) -> dict[str, Any]:
    task_id = f"letter-{uuid4().hex}"
    if is_kept:
        world.letters.append(task_id)
    return {"lang": "py", "task": name, "id": task_id, "root_id": task_id, "retries": 0}


def _send(
    world: World,
    body: str | bytes,
    headers: Mapping[str, Any],
    *,
    content_type: str = _JSON,
    encoding: str = "utf-8",
) -> None:
    with (
        suppress(OperationalError, OSError, redis.RedisError),
        world.runtime.app.connection_for_write() as connection,
    ):
        producer: Any = Producer(connection)  # type: ignore[no-untyped-call]
        producer.publish(
            body,
            exchange="",
            routing_key=PROCESSES,
            content_type=content_type,
            content_encoding=encoding,
            headers=dict(headers),
        )


def _queue_keys() -> Sequence[bytes]:
    levels = ("", *(f"\x06\x16{level}" for level in range(1, _LEVELS)))
    return [f"{PREFIX}{PROCESSES}{level}".encode() for level in levels]


_CALL = {"lang": "py", "task": f"{PROCESSES}.effect", "id": "malformed", "retries": 0}

_MALFORMED: tuple[dict[str, Any], ...] = (
    {"headers": _CALL, "body": "neither JSON nor anything"},
    {"headers": _CALL, "body": "{}"},
    {"headers": _CALL, "body": "[1, 2]"},
    {"headers": _CALL, "body": "17"},
    {"headers": {**_CALL, "id": None}},
    {"headers": {**_CALL, "id": ["a", "list"]}},
    {"headers": {**_CALL, "id": 5}},
    {"headers": {**_CALL, "id": "x" * 3000}},
    {"headers": {**_CALL, "task": 42}},
    {"headers": {**_CALL, "retries": "many", "timelimit": "none"}},
    {"headers": {**_CALL, "eta": "never", "expires": "yesterday"}},
    {"headers": {**_CALL, "datamcp_hint": 1, "id": "no-such-row"}},
    {"headers": {**_CALL, "datamcp_hint": 1, "id": "nul\x00"}},
    {"headers": {}, "body": "{}"},
)
_BROKEN = (
    b"not json at all",
    b"[]",
    b"{}",
    b"null",
    b"\xff\xfe\x00",
    b'{"body": "%%%", "headers": {}, "properties": {}}',
    b'{"body": "e30=", "properties": {"delivery_info": 3, "body_encoding": "base64"}}',
)

LETTER_FAULTS = (
    Fault("duplicates", "messages", send_again),
    Fault("replay", "messages", replay),
    Fault("malformed", "messages", malformed),
    Fault("broken", "messages", broken),
    Fault("oversized", "messages", oversized),
    Fault("unknown", "messages", unknown),
    Fault("pickle", "messages", pickled),
    Fault("foreign", "messages", foreign),
)
