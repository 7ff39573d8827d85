"""Messages that a worker has taken from Redis, when its connection is lost."""

from collections.abc import Iterator
from threading import Thread
from uuid import uuid4

import pytest
from kombu import Connection, Message, Queue
from kombu.transport import redis
from redis import Redis
from support.brokers import RedisServer
from support.eventually import eventually

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
    options = {"global_keyprefix": prefix, "queue_order_strategy": "priority"}
    return Connection(redis_server.broker_url, transport_options=options)


def take_two(connection: Connection, queue: Queue) -> None:
    """Send a message of each kind, and take both without acknowledging them."""
    producer = connection.Producer()
    for headers in ({}, {HINT: 1}):
        producer.publish("body", routing_key=queue.name, declare=[queue], headers=headers)
    connection.Consumer([queue], callbacks=[lambda _body, _message: None]).consume()
    for _ in range(2):
        connection.drain_events(timeout=30)


def test_what_is_not_acknowledged_is_put_back(redis_server: RedisServer, prefix: str) -> None:
    """When the channel is closed in order."""
    with connect(redis_server, prefix) as connection:
        take_two(connection, Queue("q", routing_key="q"))
    with Redis.from_url(redis_server.redis_url) as client:
        assert client.llen(f"{prefix}q") == 2
        assert client.hlen(f"{prefix}unacked") == 0


QUEUE = Queue("q", routing_key="q")


def send(connection: Connection, *bodies: str, headers: dict[str, int], priority: int = 3) -> None:
    """Send some messages, one after the other; of Redis' priorities, 0 is the first."""
    producer = connection.Producer()
    for body in bodies:
        producer.publish(
            body, routing_key=QUEUE.name, declare=[QUEUE], headers=headers, priority=priority
        )


def take(connection: Connection, count: int) -> list[Message]:
    """Take so many messages, without acknowledging them."""
    taken: list[Message] = []
    consumer = connection.Consumer([QUEUE], on_message=taken.append)
    with consumer:
        while len(taken) < count:
            connection.drain_events(timeout=30)
    return taken


KINDS = pytest.mark.parametrize("headers", [{}, {HINT: 1}], ids=["plain", "hint"])


@KINDS
def test_what_is_given_back_is_the_next_to_be_taken(
    redis_server: RedisServer, prefix: str, headers: dict[str, int]
) -> None:
    """Before what was sent later; of some, the first."""
    with connect(redis_server, prefix) as connection:
        send(connection, "first", "second", headers=headers)
        taken = take(connection, 2)
        send(connection, "third", headers=headers)
        taken[0].channel.qos.give_back([message.delivery_tag for message in taken])
        assert [message.payload for message in take(connection, 3)] == ["first", "second", "third"]


@KINDS
def test_who_waits_gets_the_first_that_is_given_back(
    redis_server: RedisServer, prefix: str, headers: dict[str, int]
) -> None:
    """Whoever asks for a message as some come back: none is there before all are."""
    with connect(redis_server, prefix) as connection, connect(redis_server, prefix) as other:
        send(connection, "second", "third", headers=headers)
        send(connection, "first", headers=headers, priority=0)
        taken = take(connection, 3)
        waiting = Thread(target=lambda: others.extend(take(other, 1)))
        others: list[Message] = []
        waiting.start()
        with Redis.from_url(redis_server.redis_url) as client:
            eventually(lambda: client.info("clients")["blocked_clients"])
        taken[0].channel.qos.give_back([message.delivery_tag for message in taken])
        waiting.join()
        assert [message.payload for message in others] == ["first"]


@KINDS
def test_one_that_is_requeued_is_the_next(
    redis_server: RedisServer, prefix: str, headers: dict[str, int]
) -> None:
    """As a worker does with a plain message whose process died before it had begun."""
    with connect(redis_server, prefix) as connection:
        send(connection, "first", headers=headers)
        (taken,) = take(connection, 1)
        send(connection, "second", headers=headers)
        taken.requeue()
        assert [message.payload for message in take(connection, 2)] == ["first", "second"]
    with Redis.from_url(redis_server.redis_url) as client:
        assert client.hlen(f"{prefix}unacked") == 0


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


def test_what_came_over_a_lost_connection_is_left_alone(
    redis_server: RedisServer, prefix: str
) -> None:
    """Celery's worker may acknowledge it a moment later, and must not end by that."""
    with connect(redis_server, prefix) as connection:
        send(connection, "plain", headers={}, priority=0)
        send(connection, *"abc", headers={HINT: 1}, priority=0)
        taken = take(connection, 4)
        qos = taken[0].channel.qos
    for message, end in zip(taken, ("ack", "ack", "reject", "requeue"), strict=True):
        getattr(message, end)()
    qos.give_back([message.delivery_tag for message in taken])
    with Redis.from_url(redis_server.redis_url) as client:
        assert client.llen(f"{prefix}q") == 4
