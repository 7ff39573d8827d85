import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.queues import (
    HIGHEST,
    LOWEST,
    broker_priority,
    is_redis,
    our_priority,
    split_task_type,
)

REDIS = ["redis", "rediss", "redis+socket", "sentinel", "valkey", "unix"]
priorities = st.integers(LOWEST, HIGHEST)
transports = st.sampled_from([*REDIS, "amqp", "amqps", "memory"])


@given(priorities, transports)
def test_a_priority_is_turned_round_and_back(priority: int, transport: str) -> None:
    """What a transport calls a priority is in range, and leads back to the same priority."""
    number = broker_priority(priority, transport)
    assert LOWEST <= number <= HIGHEST
    assert our_priority(number, transport) == priority


@given(priorities, priorities)
def test_each_broker_serves_the_more_urgent_first(one: int, other: int) -> None:
    """Redis takes the lowest number first and RabbitMQ the highest; both mean our highest."""
    on_redis = sorted([one, other], key=lambda priority: broker_priority(priority, "redis"))
    on_rabbit = sorted([one, other], key=lambda priority: -broker_priority(priority, "amqp"))
    assert on_redis == on_rabbit == sorted([one, other], reverse=True)


@pytest.mark.parametrize("transport", REDIS)
def test_knows_redis_under_all_its_names(transport: str) -> None:
    """Every scheme that kombu or redis-py has for Redis counts as Redis."""
    assert is_redis(transport)


@pytest.mark.parametrize("transport", ["amqp", "amqps", "memory", "sqla", ""])
def test_takes_no_other_transport_for_redis(transport: str) -> None:
    """Any other transport keeps RabbitMQ's order."""
    assert not is_redis(transport)


@pytest.mark.parametrize(
    ("task_type", "parts"),
    [("bench.add", ("bench", "add")), ("a.b.c", ("a", "b.c")), ("plain", ("plain", ""))],
)
def test_splits_a_task_type_at_its_first_dot(task_type: str, parts: tuple[str, str]) -> None:
    """The owner is what stands before the first dot."""
    assert split_task_type(task_type) == parts
