"""Redis and Valkey by URL: clients of our own, beside Celery's."""

from urllib.parse import parse_qs, quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_TIMEOUT = 5.0  # seconds


def client_url(broker_url: str | None) -> str | None:
    """Return the redis-py URL of a broker's or a cache's URL; None if that is not one Redis.

    kombu writes a socket as `redis+socket:///path?virtual_host=1`, redis-py as `unix:///path?db=1`.
    """
    if broker_url is None:
        return None
    parts = urlsplit(broker_url)
    if parts.scheme == "redis+socket":
        database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
        return f"unix://{parts.path}?db={database}"
    return broker_url if parts.scheme in {"redis", "rediss", "unix"} else None


def result_url(cache_url: str) -> str:
    """Return a cache's URL as Celery's result backend takes it; the inverse of `client_url`.

    Celery knows no backend named `unix`.
    """
    parts = urlsplit(cache_url)
    if parts.scheme != "unix":
        return cache_url
    query = parse_qs(parts.query)
    login, at, _ = parts.netloc.rpartition("@")
    if "password" in query:
        login, at = f":{quote(query['password'][0], safe='')}", "@"
    database = query.get("db", ["0"])[0]
    return f"redis+socket://{login}{at}{parts.path}?virtual_host={database}"


def make_client(url: str) -> "redis.Redis":
    """Return a client; it connects at its first command and does not repeat one."""
    return redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=15,
    )
