"""Real servers, each test with a corner of its own in them.

The run starts its own Valkey and PostgreSQL, when a test first asks for one, unless
`DATAMCP_TEST_REDIS_URL` or `DATAMCP_TEST_DATABASE_URL` names another; the latter's user must be
allowed to make databases. RabbitMQ is used where `DATAMCP_TEST_AMQP_URL` names one.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from kombu import Connection
from support.brokers import RedisServer, named_server
from support.databases import TestDatabases
from support.environment import TestServers, remove_settings

from datamcp.infra.embedded.postgres import EmbeddedPostgres
from datamcp.infra.embedded.valkey import EmbeddedValkey

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")  # a busy machine is no failure

_SERVERS = pytest.StashKey[TestServers]()


def pytest_configure(config: pytest.Config) -> None:
    """Note the servers that the environment names, then clean it: no setting leaks into a test."""
    config.stash[_SERVERS] = TestServers.named_in(os.environ)  # noqa: TID251  the run's own options
    remove_settings(os.environ)  # noqa: TID251  see above


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own: nothing is written into the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> TestServers:
    """Return the servers that the environment names."""
    return request.config.stash[_SERVERS]


@pytest.fixture(scope="session")
def redis_server(servers: TestServers) -> Iterator[RedisServer]:
    """Have the run's Redis: the one named, or an embedded Valkey."""
    if servers.redis_url is not None:
        yield named_server(servers.redis_url)
        return
    with EmbeddedValkey() as valkey:
        yield RedisServer(valkey.redis_url, valkey.broker_url)


@pytest.fixture
def key_prefix(redis_server: RedisServer) -> Iterator[str]:
    """Have a prefix for this test's keys, which are removed after it."""
    prefix = f"test-{uuid4().hex}:"
    yield prefix
    redis_server.remove_keys(prefix)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Return redis-py's URL of the run's Redis; keys in it start with `key_prefix`."""
    return redis_server.redis_url


@pytest.fixture
def broker_url(redis_server: RedisServer) -> str:
    """Return Celery's URL of the run's Redis; with `global_keyprefix` set to `key_prefix`."""
    return redis_server.broker_url


@pytest.fixture(scope="session")
def amqp_url(servers: TestServers) -> str:
    """Return the URL of the RabbitMQ that the environment names; skip where none answers."""
    if servers.amqp_url is None:
        pytest.skip("DATAMCP_TEST_AMQP_URL is not set")
    try:
        with Connection(servers.amqp_url, connect_timeout=3) as connection:
            connection.connect()
    except OSError as error:
        pytest.skip(f"RabbitMQ at DATAMCP_TEST_AMQP_URL does not answer: {error}")
    return servers.amqp_url


@pytest.fixture(scope="session")
def databases(servers: TestServers) -> Iterator[TestDatabases]:
    """Have the run's PostgreSQL: the one named, or an embedded one."""
    prefix = f"datamcp_test_{uuid4().hex[:12]}"
    if servers.database_url is not None:
        yield TestDatabases(servers.database_url, prefix)
        return
    with EmbeddedPostgres() as postgres:
        yield TestDatabases(postgres.url, prefix)


@pytest.fixture(scope="session")
def postgresql_template(databases: TestDatabases) -> Iterator[str]:
    """Have the name of a database with the ledger's tables, to be cloned."""
    from datamcp.infra.migrate import upgrade

    with databases.prepared(upgrade):
        yield databases.template


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with the ledger's tables, to be copied."""
    from datamcp.infra.migrate import upgrade

    path = tmp_path_factory.mktemp("template") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgresql_url(databases: TestDatabases, postgresql_template: str) -> Iterator[str]:
    """Have a PostgreSQL database with an empty ledger, for this test only."""
    with databases.database(template=postgresql_template) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return a SQLite database with an empty ledger, for this test only."""
    path = tmp_path / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return a database with an empty ledger, for this test only: on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def blank_postgresql_url(databases: TestDatabases) -> Iterator[str]:
    """Have a PostgreSQL database without any table, for this test only."""
    with databases.database() as url:
        yield url


@pytest.fixture
def blank_sqlite_url(tmp_path: Path) -> str:
    """Return a SQLite database without any table, for this test only."""
    return f"sqlite:///{tmp_path / 'blank.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def blank_database_url(request: pytest.FixtureRequest) -> str:
    """Return a database without any table, for this test only: on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"blank_{request.param}_url"))
