"""What RabbitMQ has not confirmed, over connections that come and go."""

from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from kombu import Connection, Queue
from support.eventually import eventually
from support.proxy import proxy

from datamcp.clock import SystemClock
from datamcp.tasks.confirm import Confirms
from datamcp.tasks.ledger import Hint


class Courier:
    """Sends hints into a queue of its own; fails as often as it is told to."""

    def __init__(self) -> None:
        """Begin without failures."""
        self.queue = f"confirms-{uuid4().hex}"
        self.failures = 0

    def __call__(self, producer: Any, hint: Hint) -> None:
        """Send one."""
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError(hint.task_id)
        producer.publish(hint.task_id, routing_key=self.queue)

    def hint(self, name: str) -> Hint:
        """Return a hint."""
        return Hint(name, "calc.add", self.queue, 5)


def test_what_is_left_is_kept_until_it_was_sent(amqp_url: str) -> None:
    """Also where the next connection fails, and the one after; what is sent anyway is sent once."""
    parts, courier, confirms = urlsplit(amqp_url), Courier(), Confirms(SystemClock().monotonic)
    login = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
    found: list[str] = []
    with (
        proxy((str(parts.hostname), parts.port or 5672)) as network,
        Connection(f"amqp://{login}@127.0.0.1:{network.port}{parts.path or '//'}") as connection,
        Connection(amqp_url) as direct,
    ):
        queue = Queue(courier.queue, durable=False).bind(direct.default_channel)
        queue.declare()

        def take() -> str:
            message = eventually(lambda: queue.get(no_ack=True))
            return str(message.payload)

        one, two, three = map(courier.hint, ("one", "two", "three"))
        confirms.push(connection, [one], courier)
        found.append(take())
        with network.hanging():
            confirms.push(connection, [two], courier)
            network.cut()
        for _ in range(2):
            connection.collect()
            courier.failures = 1
            with pytest.raises(ConnectionResetError, match="two"):
                confirms.push(connection, [three], courier)
        connection.collect()
        confirms.push(connection, [three, two], courier)
        found += [take(), take()]
        assert queue.get(no_ack=True) is None
        queue.delete()
    assert found == ["one", "three", "two"]
