"""The Redis of a test run, and the keys of one test in it."""

from dataclasses import dataclass

from redis import Redis

from datamcp.infra.redis import result_url

_SCAN_COUNT = 1000


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One server under the two names that its clients want."""

    redis_url: str
    broker_url: str

    def remove_keys(self, prefix: str) -> None:
        """Remove the keys that start with a prefix."""
        with Redis.from_url(self.redis_url) as client:
            for key in client.scan_iter(f"{prefix}*", count=_SCAN_COUNT):
                client.delete(key)


def named_server(url: str) -> RedisServer:
    """Return the server at a URL as redis-py takes it (`redis://…` or `unix://…`)."""
    return RedisServer(redis_url=url, broker_url=result_url(url))
