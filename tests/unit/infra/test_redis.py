import pytest

from datamcp.infra.redis import client_url, result_url


@pytest.mark.parametrize(
    ("url", "for_celery", "for_redis_py"),
    [
        ("redis://h:6379/3", "redis://h:6379/3", "redis://h:6379/3"),
        ("unix:///run/x.sock", "redis+socket:///run/x.sock?virtual_host=0", "unix:///run/x.sock"),
        (
            "unix://me:p%40w@/run/x.sock?db=2",
            "redis+socket://me:p%40w@/run/x.sock?virtual_host=2",
            "unix://me:p%40w@/run/x.sock?db=2",
        ),
        (
            "unix:///run/x.sock?password=p@w&db=1",
            "redis+socket://:p%40w@/run/x.sock?virtual_host=1",
            "unix:///run/x.sock?password=p@w&db=1",
        ),
        (
            "redis+socket:///run/x.sock?virtual_host=1",
            "redis+socket:///run/x.sock?virtual_host=1",
            "unix:///run/x.sock?db=1",
        ),
        ("sentinel://h:26379", "sentinel://h:26379", None),
    ],
)
def test_each_client_gets_the_url_that_it_knows(
    url: str, for_celery: str, for_redis_py: str | None
) -> None:
    """Celery's result backend and redis-py have other names for a socket."""
    assert result_url(url) == for_celery
    assert client_url(url) == for_redis_py


@pytest.mark.parametrize("url", [None, "amqp://h//"])
def test_a_broker_that_is_no_redis_has_no_client(url: str | None) -> None:
    """Nor has one that is not there."""
    assert client_url(url) is None
