"""One suite for both brokers: a real one, and the mailbox of runtimes without workers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from celery.signals import before_task_publish
from kombu.message import Message
from redis import Redis
from support.brokers import RedisServer
from support.eventually import eventually
from support.inline import Calc, calculating
from support.proxy import Proxy, proxy

from datamcp.bootstrap.runtime import Runtime
from datamcp.config.loader import load
from datamcp.errors import BackendUnavailable
from datamcp.infra.celery import PATIENCE
from datamcp.public import connect
from datamcp.tasks.ledger import Hint
from datamcp.tasks.ports import Publisher
from datamcp.tasks.publish import HINT, BrokerPublisher
from datamcp.tasks.reconcile import Depths
from datamcp.testing import FakeClock, InlineRuntime
from datamcp.testing.settings import Broker, settings_of

QUEUES = ("calc", "pipelines")


class Sent(NamedTuple):
    """What a worker sees of a message."""

    task_id: str
    task_type: str
    headers: dict[str, Any]
    body: Any


def hint(task_id: str, queue: str = "calc", priority: int = 5, **fields: Any) -> Hint:
    """Return a hint of a task."""
    return Hint(task_id, "calc.add", queue, priority, **fields)


class PublisherContract:
    """What a publisher does with hints, and what is then in the queues."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime whose publisher is meant."""
        raise NotImplementedError

    @pytest.fixture
    def publisher(self, runtime: Runtime) -> Publisher:
        """Return the publisher."""
        return BrokerPublisher(runtime.app)

    @pytest.fixture
    def depths(self, runtime: Runtime) -> Depths:
        """Return who counts."""
        return runtime.depths

    def take(self, runtime: Any, queue: str) -> Sent | None:
        """Return the next message of a queue, as a worker would take it."""
        raise NotImplementedError

    def taken(self, runtime: Runtime, queue: str = "calc") -> list[str]:
        """Return the tasks of all messages of a queue, in the order in which workers take them."""
        return [sent.task_id for sent in iter(lambda: self.take(runtime, queue), None)]

    def test_a_hint_names_its_task(self, runtime: Runtime, publisher: Publisher) -> None:
        """By id and type, marked as ours, without any parameters."""
        publisher.publish([hint("one", timeout=30.0, root_id="root", parent_id="parent")])
        sent = self.take(runtime, "calc")
        assert sent is not None
        assert (sent.task_id, sent.task_type) == ("one", "calc.add")
        assert sent.headers[HINT] == 1
        assert (sent.headers["root_id"], sent.headers["parent_id"]) == ("root", "parent")
        assert sent.headers["timelimit"] == [None, None]  # the ledger has it
        assert sent.headers["ignore_result"] is True
        args, kwargs, _ = sent.body
        assert (args, kwargs) == ([], {})

    def test_a_canvas_travels_with_its_hint(self, runtime: Runtime, publisher: Publisher) -> None:
        """What is to follow is in the message, where Celery's workers look for it."""
        following = [{"task": "calc.add", "args": [1], "kwargs": {}, "options": {}}]
        publisher.publish(
            [hint("one", celery_result=True, canvas=json.dumps({"callbacks": following}))]
        )
        sent = self.take(runtime, "calc")
        assert sent is not None
        assert sent.headers["ignore_result"] is False
        assert sent.body[2]["callbacks"] == following

    def test_each_hint_goes_to_its_queue(self, runtime: Runtime, publisher: Publisher) -> None:
        """And to no other."""
        publisher.publish([hint("one"), hint("two", "pipelines"), hint("three")])
        assert self.taken(runtime, "pipelines") == ["two"]
        assert self.taken(runtime, "calc") == ["one", "three"]

    def test_the_highest_priority_is_taken_first(
        self, runtime: Runtime, publisher: Publisher
    ) -> None:
        """Of each the longest waiting, in whatever calls they were sent."""
        priorities = [0, 9, 5, 4, 9, 5, 6, 0]
        for number, priority in enumerate(priorities):
            publisher.publish([hint(str(number), priority=priority)])
        assert self.taken(runtime) == ["1", "4", "6", "2", "5", "3", "0", "7"]

    def test_a_hint_may_be_sent_twice(self, runtime: Runtime, publisher: Publisher) -> None:
        """Each is a message."""
        publisher.publish([hint("one"), hint("one")])
        assert self.taken(runtime) == ["one", "one"]

    def test_many_hints_arrive_once_each_and_in_order(
        self, runtime: Runtime, publisher: Publisher
    ) -> None:
        """However few round trips they take, also after a first batch."""
        names = [str(number) for number in range(250)]
        publisher.publish([hint(name) for name in names])
        publisher.publish([hint("last"), hint("of all")])
        assert self.taken(runtime) == [*names, "last", "of all"]

    def test_one_of_many_is_the_same_message(self, runtime: Runtime, publisher: Publisher) -> None:
        """As if it had been sent alone, whatever its id looks like."""
        names = ['a"b\\', "ü\u2028\U0001f600", "%s", "datamcp-stencil-task"]
        kinds: list[dict[str, Any]] = [
            {"timeout": 30.0, "priority": 9},
            {"celery_result": True, "attempt": 2, "root_id": "root", "parent_id": "parent"},
            {"step_id": "step", "root_id": "run"},
            {"canvas": '{"shadow": "x"}'},
        ]
        for fields in kinds:
            hints = [hint(name, **fields) for name in names]
            publisher.publish(hints)
            together = [self.take(runtime, "calc") for _ in names]
            for one in hints:
                publisher.publish([one])
            assert together == [self.take(runtime, "calc") for _ in names]

    def test_many_hints_of_several_kinds_keep_their_order(
        self, runtime: Runtime, publisher: Publisher
    ) -> None:
        """Each goes to its queue, before those that were named after it."""
        names = [str(number) for number in range(60)]
        fields = [{}, {"timeout": 1.0}, {"step_id": "s"}, {"canvas": '{"shadow": "x"}'}]
        publisher.publish(
            [hint(name, **fields[int(name) // 3 % 4]) for name in names]  # type: ignore[arg-type]
        )
        assert self.taken(runtime) == names

    def test_nothing_is_sent_for_nothing(self, runtime: Runtime, publisher: Publisher) -> None:
        """An empty list is no message."""
        publisher.publish([])
        assert self.taken(runtime) == []

    def test_what_waits_is_counted(
        self, runtime: Runtime, publisher: Publisher, depths: Depths
    ) -> None:
        """For each queue, of all priorities; what was taken is not."""
        assert [depths.ready(queue) for queue in QUEUES] == [0, 0]
        publisher.publish([hint(str(number), priority=number) for number in range(10)])
        publisher.publish([hint("other", "pipelines")])
        assert [depths.ready(queue) for queue in QUEUES] == [10, 1]
        self.take(runtime, "calc")
        assert [depths.ready(queue) for queue in QUEUES] == [9, 1]

    def test_a_plain_call_arrives(self, runtime: Runtime) -> None:
        """It takes the same road, and is a hint of a row that is there."""
        result = runtime.app.task_of("calc.add").apply_async((1, 2), priority=9)
        sent = self.take(runtime, "calc")
        assert sent is not None
        assert (sent.task_id, sent.headers[HINT]) == (result.id, 1)
        assert sent.headers["ignore_result"] is False


class TestMailbox(PublisherContract):
    """The twin in memory."""

    @pytest.fixture
    def runtime(self, tmp_path: Path, sqlite_url: str) -> Iterator[Runtime]:
        """Have a runtime without a broker."""
        with calculating(tmp_path / "installation", sqlite_url) as runtime:
            yield runtime

    def take(self, runtime: InlineRuntime, queue: str) -> Sent | None:
        """Return the next message of the mailbox."""
        letter = runtime.app.mailbox.take(queue)
        return None if letter is None else seen(letter.message)


class TestBroker(PublisherContract):
    """The real thing: kombu, and a server."""

    @pytest.fixture
    def runtime(
        self, tmp_path: Path, sqlite_url: str, redis_server: RedisServer, key_prefix: str
    ) -> Iterator[Runtime]:
        """Have a runtime with a broker."""
        broker = Broker(redis_server.broker_url, key_prefix)
        chosen = settings_of(tmp_path, database_url=sqlite_url, broker=broker, agents=[Calc])
        with connect(load(overrides=chosen).config) as runtime:
            yield runtime

    def take(self, runtime: Runtime, queue: str) -> Sent | None:
        """Return the next message of a queue, and acknowledge it."""
        with runtime.app.connection_for_read() as connection, connection.channel() as channel:
            message = runtime.app.amqp.queues[queue].bind(channel).get(no_ack=True)
            return None if message is None else seen(message)

    def test_many_messages_have_tags_of_their_own(
        self, runtime: Runtime, publisher: Publisher
    ) -> None:
        """By which Redis knows those that a worker has taken."""
        publisher.publish([hint(str(number)) for number in range(1200)])
        with runtime.app.connection_for_read() as connection, connection.channel() as channel:
            queue = runtime.app.amqp.queues["calc"].bind(channel)
            tags = {queue.get(no_ack=True).delivery_tag for _ in range(1200)}
        assert len(tags) == 1200

    def test_who_listens_hears_of_each_message(
        self, runtime: Runtime, publisher: Publisher
    ) -> None:
        """A handler of Celery's signals sees every one, and may add headers."""
        heard = []

        def add(headers: dict[str, Any], **_fields: Any) -> None:
            heard.append(headers["id"])
            headers["trace"] = headers["id"]

        before_task_publish.connect(add)
        try:
            publisher.publish([hint("one"), hint("two")])
        finally:
            before_task_publish.disconnect(add)
        sent = [self.take(runtime, "calc") for _ in heard]
        assert [one.headers["trace"] for one in sent if one] == heard == ["one", "two"]

    def test_a_batch_outlives_its_connection(
        self, runtime: Runtime, publisher: Publisher, redis_url: str
    ) -> None:
        """What broke is sent again, one by one: a hint too many does no harm."""
        publisher.publish([hint("one"), hint("two")])
        with Redis.from_url(redis_url) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        publisher.publish([hint("three"), hint("four")])
        assert self.taken(runtime) == ["one", "two", "three", "four"]


class TestRabbitMQ(PublisherContract):
    """The other one, behind a proxy that can lose what is on its way."""

    @pytest.fixture
    def network(self, amqp_url: str) -> Iterator[Proxy]:
        """Have a way to the broker."""
        parts = urlsplit(amqp_url)
        with proxy((str(parts.hostname), parts.port or 5672)) as between:
            yield between

    @pytest.fixture
    def runtime(
        self, tmp_path: Path, sqlite_url: str, amqp_url: str, network: Proxy
    ) -> Iterator[Runtime]:
        """Have a runtime whose queues are empty at the start and the end."""
        parts = urlsplit(amqp_url)
        login = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
        url = f"amqp://{login}@127.0.0.1:{network.port}{parts.path or '//'}"
        chosen = settings_of(
            tmp_path, database_url=sqlite_url, broker=Broker(url, ""), agents=[Calc]
        )
        with connect(load(overrides=chosen).config) as runtime:
            self.purge(runtime)
            yield runtime
            self.purge(runtime)

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Return the clock by which the publisher waits."""
        return FakeClock()

    @pytest.fixture
    def publisher(self, runtime: Runtime, clock: FakeClock) -> Publisher:
        """Return the publisher."""
        return BrokerPublisher(runtime.app, clock)

    @pytest.fixture
    def depths(self, runtime: Runtime) -> Depths:
        """Return who counts, once what was sent has arrived."""
        return Settled(runtime.depths)

    def purge(self, runtime: Runtime) -> None:
        """Empty the queues."""
        with runtime.app.connection_for_write() as connection:
            for queue in QUEUES:
                bound = runtime.app.amqp.queues[queue].bind(connection.default_channel)
                bound.declare()
                bound.purge()

    def take(self, runtime: Runtime, queue: str) -> Sent | None:
        """Return the next message of a queue, and acknowledge it."""
        if not Settled(runtime.depths).ready(queue):
            return None
        with runtime.app.connection_for_read() as connection, connection.channel() as channel:
            message = runtime.app.amqp.queues[queue].bind(channel).get(no_ack=True)
            return None if message is None else seen(message)

    def lose(self, runtime: Runtime, publisher: Publisher, network: Proxy) -> None:
        """Send a hint that the network takes and loses."""
        publisher.publish([hint("one")])
        assert self.taken(runtime) == ["one"]
        with network.hanging():
            publisher.publish([hint("two")])
            network.cut()

    def test_what_a_lost_connection_has_left_is_sent_again(
        self, runtime: Runtime, publisher: Publisher, network: Proxy
    ) -> None:
        """Nobody has waited for it to be confirmed."""
        self.lose(runtime, publisher, network)
        publisher.publish([hint("three")])
        assert self.taken(runtime) == ["two", "three"]

    def test_a_broker_that_confirms_nothing_is_as_good_as_away(
        self, runtime: Runtime, publisher: Publisher, network: Proxy, clock: FakeClock
    ) -> None:
        """Also where the network takes all that is sent; what it took is sent again later."""
        publisher.publish([hint("one")])
        assert self.taken(runtime) == ["one"]
        with network.hanging():
            publisher.publish([hint("two")])
            clock.advance(seconds=2 * PATIENCE)
            with pytest.raises(BackendUnavailable):
                publisher.publish([hint("three")])
            network.cut()
        clock.advance(seconds=2 * PATIENCE)
        publisher.publish([hint("four")])
        assert self.taken(runtime)[-2:] == ["two", "four"]

    def test_what_was_missed_for_long_is_left_to_others(
        self, publisher: Publisher, runtime: Runtime, network: Proxy, clock: FakeClock
    ) -> None:
        """Whoever sweeps the ledger has sent it by then."""
        self.lose(runtime, publisher, network)
        clock.advance(minutes=5)
        publisher.publish([hint("three")])
        assert self.taken(runtime) == ["three"]


class Settled:
    """Counts messages until it counts the same twice: another connection may be a moment behind."""

    def __init__(self, depths: Depths) -> None:
        """Take who counts."""
        self._depths = depths

    def ready(self, queue: str) -> int:
        """Return how many messages are ready."""
        counts = [self._depths.ready(queue)]

        def is_settled() -> bool:
            counts.append(self._depths.ready(queue))
            return counts[-1] == counts[-2]

        eventually(is_settled, interval=0.05)
        return counts[-1]


def seen(message: Message) -> Sent:
    """Return a message as a worker sees it."""
    headers = message.headers
    return Sent(headers["id"], headers["task"], headers, message.decode())
