import pytest
from support.brokers import named_server
from support.environment import TestServers, remove_settings


@pytest.mark.parametrize(
    ("url", "broker_url"),
    [
        ("redis://:secret@127.0.0.1:6379/3", "redis://:secret@127.0.0.1:6379/3"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_names_one_server_for_redis_py_and_for_celery(url: str, broker_url: str) -> None:
    """A Unix socket has another scheme in Celery than in redis-py; other URLs are the same."""
    assert named_server(url).broker_url == broker_url


def test_keeps_the_servers_and_removes_every_setting() -> None:
    """The run's own variables are read; then nothing that configures datamcp or Celery is left."""
    environment = {
        "DATAMCP_TEST_REDIS_URL": "redis://127.0.0.1/0",
        "DATAMCP_TEST_AMQP_URL": "",
        "DATAMCP_SYSTEM__DEBUG": "true",
        "CELERY_BROKER_URL": "memory://",
        "PATH": "/bin",
    }
    assert TestServers.named_in(environment) == TestServers("redis://127.0.0.1/0", None, None, None)
    remove_settings(environment)
    assert environment == {"PATH": "/bin"}
