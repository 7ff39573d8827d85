"""Brokers that do not answer: a call returns soon, its task is kept, and is sent later."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kombu.exceptions import OperationalError
from support.brokers import RedisServer
from support.eventually import eventually
from support.inline import Calc
from support.proxy import proxy

from datamcp import Task
from datamcp.bootstrap.runtime import Runtime
from datamcp.clock import SystemClock
from datamcp.config.loader import load
from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.public import connect
from datamcp.tasks.enqueue import Enqueued
from datamcp.tasks.states import State
from datamcp.testing.settings import Broker, settings_of

BOUND = 30.0  # seconds: some for the broker, the rest for a busy machine
MANY = 20
BACK = 60.0  # seconds in which a broker that answers again has been found
Calls = Callable[[Runtime], list[Enqueued]]


def task(a: int = 1) -> Task:
    """Return a task."""
    return Task(task_type="calc.add", parameters={"a": a})


def alone(runtime: Runtime) -> list[Enqueued]:
    """Enqueue one task."""
    return [runtime.tasks.submit(task())]


def together(runtime: Runtime) -> list[Enqueued]:
    """Enqueue some tasks at once."""
    return list(runtime.tasks.submit_many([task(a) for a in range(MANY)]))


def one_by_one(runtime: Runtime) -> list[Enqueued]:
    """Enqueue some tasks, one after the other."""
    return [runtime.tasks.submit(task(a)) for a in range(MANY)]


def plainly(runtime: Runtime) -> list[Enqueued]:
    """Make a plain Celery call."""
    called = runtime.app.task_of("calc.add").apply_async((1,), ignore_result=True)
    return [Enqueued(called.id, unpublished="as told in the log")]


EACH_IS_THOROUGH = pytest.mark.parametrize(
    "calls",
    [
        together,
        *[
            pytest.param(calls, marks=pytest.mark.thorough)
            for calls in (alone, one_by_one, plainly)
        ],
    ],
)
"""For brokers that do as the one that is asked by each kind of call."""


@contextmanager
def connected(folder: Path, database_url: str, broker_url: str, prefix: str) -> Iterator[Runtime]:
    """Have a runtime with a broker that it has talked to."""
    broker = Broker(broker_url, prefix)
    chosen = settings_of(folder, database_url=database_url, broker=broker, agents=[Calc])
    with connect(load(overrides=chosen).config) as runtime:
        assert runtime.tasks.submit(task()).unpublished is None
        assert all(one.unpublished is None for one in together(runtime))
        yield runtime


def check(runtime: Runtime, calls: Calls) -> list[Enqueued]:
    """Call, and look how long that takes, what it says and what is there."""
    enqueued = check_soon(runtime, calls)
    assert all(one.unpublished for one in enqueued)
    return enqueued


def check_soon(runtime: Runtime, calls: Calls) -> list[Enqueued]:
    """Call, and look how long that takes and what is there."""
    clock = SystemClock()
    began = clock.monotonic()
    enqueued = calls(runtime)
    assert clock.monotonic() - began < BOUND
    states = {runtime.tasks.status(one.task_id).state for one in enqueued}
    assert states == {State.QUEUED}
    return enqueued


def is_back(runtime: Runtime) -> bool:
    """Tell whether the broker takes messages again."""
    try:
        runtime.reconciler.sweep()
    except BackendUnavailable:
        return False
    return runtime.tasks.submit(task()).unpublished is None


@EACH_IS_THOROUGH
def test_a_redis_that_stands_still(tmp_path: Path, sqlite_url: str, calls: Calls) -> None:
    """Its process is stopped: it accepts connections and says nothing."""
    with (
        EmbeddedValkey() as valkey,
        connected(tmp_path / "installation", sqlite_url, valkey.broker_url, "x:") as runtime,
    ):
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            check(runtime, calls)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        eventually(lambda: is_back(runtime), timeout=BACK)


@pytest.mark.parametrize("calls", [alone, together, one_by_one, plainly])
def test_a_network_to_redis_that_forwards_nothing(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer, key_prefix: str, calls: Calls
) -> None:
    """To both sides the connection seems open; new ones are made, and stay silent."""
    parts = urlsplit(redis_server.redis_url)
    server = parts.path if parts.scheme == "unix" else (str(parts.hostname), parts.port or 6379)
    with proxy(server) as between:
        url = f"redis://127.0.0.1:{between.port}/0"
        with connected(tmp_path / "installation", sqlite_url, url, key_prefix) as runtime:
            with between.hanging():
                check(runtime, calls)
            eventually(lambda: is_back(runtime), timeout=BACK)


@EACH_IS_THOROUGH
def test_a_network_to_rabbitmq_that_forwards_nothing(
    tmp_path: Path, sqlite_url: str, amqp_url: str, calls: Calls
) -> None:
    """Neither a confirmation nor a new connection comes; one hint may be on its way by then."""
    parts = urlsplit(amqp_url)
    login = f"{parts.username or 'guest'}:{parts.password or 'guest'}"
    with proxy((str(parts.hostname), parts.port or 5672)) as between:
        url = f"amqp://{login}@127.0.0.1:{between.port}{parts.path or '//'}"
        with connected(tmp_path / "installation", sqlite_url, url, "") as runtime:
            with between.hanging():
                check_soon(runtime, calls)
                eventually(lambda: alone(runtime)[0].unpublished, timeout=BOUND)
                check(runtime, calls)
            eventually(lambda: is_back(runtime), timeout=BACK)
            with runtime.app.connection_for_write() as connection:
                runtime.app.amqp.queues["calc"].bind(connection.default_channel).purge()


def test_a_broker_that_is_away_costs_little(tmp_path: Path, sqlite_url: str) -> None:
    """It refuses connections: many calls return soon, too."""
    with (
        EmbeddedValkey() as valkey,
        connected(tmp_path / "installation", sqlite_url, valkey.broker_url, "x:") as runtime,
    ):
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGKILL)
        for calls in (alone, together, plainly):
            check(runtime, calls)


@pytest.mark.parametrize(
    "stop", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.thorough)]
)
def test_a_revoke_holds_without_a_broker(
    tmp_path: Path, sqlite_url: str, stop: signal.Signals
) -> None:
    """The ledger has it, and the call returns; other commands say that nobody can hear them."""
    with (
        EmbeddedValkey() as valkey,
        connected(tmp_path / "installation", sqlite_url, valkey.broker_url, "x:") as runtime,
    ):
        assert valkey.pid is not None
        task_id = runtime.tasks.enqueue(task())
        runtime.app.control.ping(timeout=0.1)
        os.kill(valkey.pid, stop)
        clock = SystemClock()
        began = clock.monotonic()
        try:
            runtime.app.control.revoke(task_id)
            assert runtime.tasks.status(task_id).state is State.CANCELLED
            with pytest.raises(OperationalError):
                runtime.app.control.ping(timeout=0.1)
            assert clock.monotonic() - began < 5 * BOUND
        finally:
            os.kill(valkey.pid or 0, signal.SIGCONT) if valkey.pid else None
