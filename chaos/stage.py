"""The stage of a run: servers, the proxies before them, and the settings of all processes."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis
from sqlalchemy import make_url

from chaos import traces
from chaos.proxy import Proxy
from chaos.rabbitmq import OwnRabbitMQ
from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Database
from datamcp.infra.embedded.postgres import EmbeddedPostgres, create_database, drop_database
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.migrate import upgrade
from datamcp.infra.redis import client_url, make_client

Ledger = Literal["postgresql", "sqlite"]
Broker = Literal["valkey", "rabbitmq"]

PROCESSES, THREADS = "processes", "threads"
"""The agent types of a run, each named after its pool."""

_START = 30.0  # seconds that a server may take to start on a busy machine
PREFIX = "chaos:"
_ANY_QUEUE = "1000000"  # tasks: the producer is not to be refused


@dataclass(frozen=True)
class Stage:
    """Where a run takes place. Servers that are not ours are None."""

    folder: Path
    lease: int
    settings: Mapping[str, str]
    database: Database
    """The ledger's database, without a proxy before it."""
    broker_url: str
    database_url: str
    """The servers, without a proxy before them."""
    broker_proxy: Proxy | None
    database_proxy: Proxy | None
    broker: EmbeddedValkey | OwnRabbitMQ | None
    postgres: EmbeddedPostgres | None
    _kept: Path = field(repr=False)
    """What our own broker has written."""

    @property
    def ledger(self) -> str:
        """Return `postgresql` or `sqlite`."""
        return self.database.dialect

    def redis(self) -> "redis.Redis | None":
        """Return a client of the broker, without a proxy; None if it is no Redis."""
        url = client_url(self.broker_url)
        return None if url is None else make_client(url)

    def kill_broker(self) -> None:
        """End the broker at once."""
        if self.broker is not None and self.broker.pid is not None:
            os.kill(self.broker.pid, signal.SIGKILL)

    def revive_broker(self, *, remembers: bool) -> None:
        """Start the broker again, with what it had written or with nothing."""
        if self.broker is None:
            return
        if remembers:
            try:
                self.broker.restart()
            except BackendUnavailable:  # it can't read what it had written when it was killed
                remembers = False
        if not remembers:
            self.kill_broker()
            shutil.rmtree(self._kept, ignore_errors=True)
            self.broker.restart()

    def crash_database(self) -> None:
        """End PostgreSQL at once: it has to recover at its next start."""
        if self.postgres is not None and self.postgres.pid is not None:
            os.kill(self.postgres.pid, signal.SIGQUIT)


@contextmanager
def set_stage(
    folder: Path,
    *,
    ledger: Ledger = "postgresql",
    lease: int = 15,
    slots: int = 2,
    broker: Broker = "valkey",
    broker_url: str | None = None,
    database_url: str | None = None,
    proxies: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """Have servers; what is not named is embedded. `folder` is empty, and takes all files."""
    with ExitStack() as stack:
        own_broker, kept = None, folder
        if broker_url is None:
            own_broker, kept = _broker(stack, folder, broker)
            broker_url = own_broker.broker_url
        else:
            _empty(stack, broker_url)
        postgres, direct_url = _database(stack, folder, ledger, database_url)
        upgrade(direct_url)
        traces.set_up(direct_url)
        database = Database(direct_url)
        stack.callback(database.close)
        broker_proxy = database_proxy = None
        shown_broker, shown_database = broker_url, direct_url
        if proxies:
            broker_proxy, shown_broker = _through_proxy(stack, broker_url)
            if ledger == "postgresql":
                database_proxy, shown_database = _database_through_proxy(stack, direct_url)
        yield Stage(
            folder=folder,
            lease=lease,
            settings={
                "system.environment": "testing",
                "system.state_dir": str(folder / "state"),
                "broker.url": shown_broker,
                "broker.key_prefix": PREFIX,
                "storage.database_url": shown_database,
                "scheduler.lease": str(lease),
                "scheduler.max_queue_size": _ANY_QUEUE,
                **_agents(slots),
                **(settings or {}),
            },
            database=database,
            broker_url=broker_url,
            database_url=direct_url,
            broker_proxy=broker_proxy,
            database_proxy=database_proxy,
            broker=own_broker,
            postgres=postgres,
            _kept=kept,
        )


def _agents(slots: int) -> dict[str, str]:
    pools = {PROCESSES: "prefork", THREADS: "threads"}
    return {
        f"agents.{name}.{key}": value
        for name, pool in pools.items()
        for key, value in {
            "module": "chaos.agent:Load",
            "pool": pool,
            "concurrency": str(slots),
        }.items()
    }


def _broker(
    stack: ExitStack, folder: Path, wanted: Broker
) -> tuple[EmbeddedValkey | OwnRabbitMQ, Path]:
    """Start a broker; return it with the folder of what it will have written."""
    if wanted == "rabbitmq":
        rabbitmq = stack.enter_context(OwnRabbitMQ())
        return rabbitmq, rabbitmq.memory
    data = folder / "broker"
    data.mkdir()
    valkey = stack.enter_context(EmbeddedValkey(data_dir=data, start_timeout=_START))
    return valkey, data / "appendonlydir"


def _empty(stack: ExitStack, broker_url: str) -> None:
    url = client_url(broker_url)
    if url is not None:
        client = stack.enter_context(make_client(url))
        _remove_keys(client)
        stack.callback(_remove_keys, client)


def _remove_keys(client: "redis.Redis") -> None:
    for key in client.scan_iter(f"{PREFIX}*", count=1000):
        client.delete(key)


def _database(
    stack: ExitStack, folder: Path, ledger: Ledger, named: str | None
) -> tuple[EmbeddedPostgres | None, str]:
    if ledger == "sqlite":
        return None, f"sqlite:///{folder / 'ledger.db'}"
    postgres = None
    if named is None:
        postgres = stack.enter_context(EmbeddedPostgres())
        admin_url = postgres.url
    else:
        admin_url = (
            make_url(named)
            .set(drivername="postgresql+psycopg2")
            .render_as_string(hide_password=False)
        )
    name = f"datamcp_chaos_{uuid4().hex[:12]}"
    url = create_database(admin_url, name)
    if named is not None:  # an embedded server takes it along
        drop: Callable[..., None] = drop_database
        stack.callback(drop, admin_url, name)
    return postgres, url


def _through_proxy(stack: ExitStack, broker_url: str) -> tuple[Proxy, str]:
    parts = urlsplit(broker_url)
    if parts.scheme == "redis+socket":
        proxy = stack.enter_context(Proxy(Path(parts.path)))
        return proxy, f"redis://127.0.0.1:{proxy.port}/0"
    port = parts.port or (5672 if parts.scheme.startswith("amqp") else 6379)
    proxy = stack.enter_context(Proxy((parts.hostname or "127.0.0.1", port)))
    login, at, _ = parts.netloc.rpartition("@")
    place = f"{login}{at}127.0.0.1:{proxy.port}"
    return proxy, urlunsplit(parts._replace(netloc=place))


def _database_through_proxy(stack: ExitStack, url: str) -> tuple[Proxy, str]:
    parts = make_url(url)
    folder = parts.query.get("host")
    if isinstance(folder, str):
        proxy = stack.enter_context(Proxy(Path(folder) / ".s.PGSQL.5432"))
    else:
        proxy = stack.enter_context(Proxy((parts.host or "127.0.0.1", parts.port or 5432)))
    through = parts.set(host="127.0.0.1", port=proxy.port, query={})
    return proxy, through.render_as_string(hide_password=False)
