"""The servers of a run: a broker, a Redis for results, and databases; embedded unless named.

A named server must have room of its own for us: an empty Redis database, the right to make
databases. What we made there goes at the end.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import redis
from sqlalchemy import make_url

from datamcp.errors import ConfigError
from datamcp.infra.embedded.postgres import EmbeddedPostgres, create_database, drop_database
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.migrate import upgrade
from datamcp.infra.redis import client_url, make_client


@dataclass(frozen=True, slots=True)
class Servers:
    """Where everything is. Process ids are known of embedded servers only."""

    broker_url: str
    results_url: str
    """Celery's URL of the Redis that keeps results; the broker's own, if that is one."""
    postgresql_url: str
    sqlite_url: str
    broker_pid: int | None
    database_pid: int | None

    @property
    def has_redis_broker(self) -> bool:
        """Whether the broker keeps the results, too."""
        return self.broker_url == self.results_url

    def redis(self) -> "redis.Redis":
        """Return a client of the Redis that keeps results."""
        return make_client(str(client_url(self.results_url)))


@contextmanager
def running(
    folder: Path, *, broker_url: str | None = None, database_url: str | None = None
) -> Iterator[Servers]:
    """Have servers; those without a URL are embedded. `folder` takes SQLite's file.

    Raises ConfigError if a named Redis database is not empty.
    """
    with ExitStack() as stack:
        redis_url, broker_pid = _redis(stack, broker_url)
        admin_url, database_pid = _postgresql(stack, database_url)
        sqlite_url = f"sqlite:///{folder / 'ledger.db'}"
        upgrade(sqlite_url)
        yield Servers(
            broker_url=broker_url or redis_url,
            results_url=redis_url,
            postgresql_url=_database(stack, admin_url),
            sqlite_url=sqlite_url,
            broker_pid=broker_pid,
            database_pid=database_pid,
        )


def _redis(stack: ExitStack, broker_url: str | None) -> tuple[str, int | None]:
    named = client_url(broker_url)
    if broker_url is None or named is None:  # embedded; for another broker it keeps the results
        valkey = stack.enter_context(EmbeddedValkey())
        return valkey.broker_url, valkey.pid
    client = stack.enter_context(make_client(named))
    if client.dbsize():
        raise ConfigError(
            "the Redis database that --broker-url names is not empty; name one that is"
        )
    stack.callback(client.flushdb)
    return broker_url, None


def _postgresql(stack: ExitStack, database_url: str | None) -> tuple[str, int | None]:
    if database_url is not None:
        return make_url(database_url).set(drivername="postgresql+psycopg2").render_as_string(
            hide_password=False
        ), None
    postgres = stack.enter_context(EmbeddedPostgres())
    return postgres.url, postgres.pid


def _database(stack: ExitStack, admin_url: str) -> str:
    name = f"datamcp_bench_{uuid4().hex[:12]}"
    url = create_database(admin_url, name)
    stack.callback(drop_database, admin_url, name)
    upgrade(url)
    return url
