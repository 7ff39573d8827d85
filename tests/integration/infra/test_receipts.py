"""Messages that a worker has taken from Redis, when its connection is lost."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kombu import Connection, Message, Queue
from kombu.transport import redis
from redis import Redis
from support.brokers import RedisServer

from datamcp.infra import receipts

HINT = "hint"


@pytest.fixture
def prefix(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have messages with a header taken without receipts; return a prefix of keys."""
    monkeypatch.setattr(redis.Channel, "QoS", redis.Channel.QoS)
    receipts.install(HINT)
    prefix = f"test-{uuid4().hex}:"
    yield prefix
    redis_server.remove_keys(prefix)


def connect(redis_server: RedisServer, prefix: str) -> Connection:
    """Connect to the broker."""
    return Connection(redis_server.broker_url, transport_options={"global_keyprefix": prefix})


def take_two(connection: Connection, queue: Queue) -> None:
    """Send a message of each kind, and take both without acknowledging them."""
    producer = connection.Producer()
    for headers in ({}, {HINT: 1}):
        producer.publish("body", routing_key=queue.name, declare=[queue], headers=headers)
    connection.Consumer([queue], callbacks=[lambda _body, _message: None]).consume()
    for _ in range(2):
        connection.drain_events(timeout=5)


def test_what_is_not_acknowledged_is_put_back(redis_server: RedisServer, prefix: str) -> None:
    """When the channel is closed in order."""
    with connect(redis_server, prefix) as connection:
        take_two(connection, Queue("q", routing_key="q"))
    with Redis.from_url(redis_server.redis_url) as client:
        assert client.llen(f"{prefix}q") == 2
        assert client.hlen(f"{prefix}unacked") == 0


QUEUE = Queue("q", routing_key="q")


def send(connection: Connection, *bodies: str, headers: dict[str, int]) -> None:
    """Send some messages, one after the other."""
    producer = connection.Producer()
    for body in bodies:
        producer.publish(body, routing_key=QUEUE.name, declare=[QUEUE], headers=headers)


def take(connection: Connection, count: int) -> list[Message]:
    """Take so many messages, without acknowledging them."""
    taken: list[Message] = []
    consumer = connection.Consumer([QUEUE], on_message=taken.append)
    with consumer:
        while len(taken) < count:
            connection.drain_events(timeout=5)
    return taken


KINDS = pytest.mark.parametrize("headers", [{}, {HINT: 1}], ids=["plain", "hint"])


@KINDS
def test_what_is_given_back_is_the_next_to_be_taken(
    redis_server: RedisServer, prefix: str, headers: dict[str, int]
) -> None:
    """Before what was sent later: the last one given back comes first."""
    with connect(redis_server, prefix) as connection:
        send(connection, "first", "second", headers=headers)
        taken = take(connection, 2)
        send(connection, "third", headers=headers)
        for message in reversed(taken):
            message.requeue()
        assert [message.payload for message in take(connection, 3)] == ["first", "second", "third"]


@KINDS
def test_what_is_put_back_at_the_end_keeps_its_order(
    redis_server: RedisServer, prefix: str, headers: dict[str, int]
) -> None:
    """Whoever takes it next gets the oldest first."""
    with connect(redis_server, prefix) as connection:
        send(connection, "first", "second", "third", headers=headers)
        take(connection, 3)
    with connect(redis_server, prefix) as connection:
        assert [message.payload for message in take(connection, 3)] == ["first", "second", "third"]


def test_a_connection_that_was_given_up_is_closed(redis_server: RedisServer, prefix: str) -> None:
    """A worker outlives that its broker did not answer; what has a receipt stays where it is."""
    connection = connect(redis_server, prefix)
    take_two(connection, Queue("q", routing_key="q"))
    connection.transport.client = None  # as Celery's worker has left it, when it closes
    connection.close()
    with Redis.from_url(redis_server.redis_url) as client:
        assert client.hlen(f"{prefix}unacked") == 1
