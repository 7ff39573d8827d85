"""Real servers, each test with a corner of its own in them.

The run starts its own Valkey and PostgreSQL, when a test first asks for one, unless
`DATAMCP_TEST_REDIS_URL` or `DATAMCP_TEST_DATABASE_URL` names another; the latter's user must be
allowed to make databases. For RabbitMQ it starts the server that the machine has, unless
`DATAMCP_TEST_AMQP_URL` names another; what takes RabbitMQ is skipped where there is none.
`DATAMCP_TEST_MYSQL_URL` (`mysql+pymysql://…/`) names a MySQL or MariaDB for the processors that
read and write databases; without it they are tested on SQLite and PostgreSQL.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from kombu import Connection
from sqlalchemy import NullPool, create_engine, make_url, text
from support.brokers import RedisServer, named_server
from support.databases import TestDatabases
from support.environment import TestServers, remove_settings

from chaos.rabbitmq import OwnRabbitMQ, find_server
from datamcp.infra.embedded.postgres import EmbeddedPostgres
from datamcp.infra.embedded.valkey import EmbeddedValkey

# A busy machine is no failure.
hypothesis.settings.register_profile("usual", deadline=None, max_examples=50)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=200)

_PROCESS_TESTS = ("integration", "acceptance", "faults")
_ON_BOTH = (
    "integration/infra/",
    "integration/testing/",
    "transaction",
    "test_each_ends_as_if_it_had_come_alone",
)
"""What is in the names of tests with processes that always run on SQLite, too."""

_LONGEST_FIRST = ("faults", "docs", "acceptance", "integration", "architecture")
"""Folders whose files take long, beside others: run last, they would leave processes without work."""

_SERVERS = pytest.StashKey[TestServers]()
_SERVERS_TOLD = "datamcp_servers"


def pytest_configure(config: pytest.Config) -> None:
    """Note the servers that the environment names, then clean it: no setting leaks into a test.

    Signals work as usual also where this run was started in the background, ignoring some. The
    many processes that are started keep what they compile, whatever the environment says.
    """
    config.addinivalue_line("markers", "thorough: left out unless --thorough or -k is given")
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    hypothesis.settings.load_profile("thorough" if config.option.thorough else "usual")
    config.stash[_SERVERS] = _named_servers(config)
    remove_settings(os.environ)  # noqa: TID251  see above
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # noqa: TID251  see above


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the whole suite."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run also what is marked so, more examples, and all with processes on both ledgers",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `thorough`, and on SQLite what has processes and a twin.

    What is marked is a variant: another one that runs shows the same. The twin runs on PostgreSQL;
    `contract` tests every statement on both, and what SQLite does otherwise is tested with
    processes, too. Where processes share the tests, they begin with those that take long.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_place)
    if config.option.thorough or config.option.keyword:
        return
    names = {item.nodeid for item in items if not item.get_closest_marker("thorough")}
    run = {name for name in names if not _has_twin_that_runs(name, names)}
    if len(run) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in run])
        items[:] = [item for item in items if item.nodeid in run]


def _place(item: pytest.Item) -> int:
    """Return how late a test comes; those of one folder keep their order."""
    _, folder, *_ = item.nodeid.split("/")
    found = folder in _LONGEST_FIRST
    return _LONGEST_FIRST.index(folder) if found else len(_LONGEST_FIRST)


def _has_twin_that_runs(nodeid: str, names: set[str]) -> bool:
    path, _, parameters = nodeid.partition("[")
    twin = f"{path}[{parameters.replace('sqlite', 'postgresql')}"
    has_processes = path.removeprefix("tests/").startswith(_PROCESS_TESTS)
    is_kept = any(part in path for part in _ON_BOTH)
    return has_processes and not is_kept and twin != nodeid and twin in names


def _named_servers(config: pytest.Config) -> TestServers:
    """Return what the environment names; where a run has several processes, the first was told."""
    told = getattr(config, "workerinput", {}).get(_SERVERS_TOLD)
    return TestServers(**told) if told else TestServers.named_in(os.environ)  # noqa: TID251  the run's own options


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell the other processes of a run, whose environment is clean already."""
    node.workerinput[_SERVERS_TOLD] = asdict(node.config.stash[_SERVERS])


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
def own_rabbitmq() -> Iterator[OwnRabbitMQ]:
    """Have a RabbitMQ of the run's own; skip where the machine has none."""
    if find_server() is None:
        pytest.skip("there is no rabbitmq-server")
    with OwnRabbitMQ() as rabbitmq:
        yield rabbitmq


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest, servers: TestServers) -> str:
    """Return the URL of the run's RabbitMQ: the one named, or one of its own."""
    if servers.amqp_url is None:
        own: OwnRabbitMQ = request.getfixturevalue("own_rabbitmq")
        return own.broker_url
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


@pytest.fixture
def blank_mysql_url(servers: TestServers) -> Iterator[str]:
    """Have a MySQL database without any table, for this test only; skip where none is named."""
    if servers.mysql_url is None:
        pytest.skip("DATAMCP_TEST_MYSQL_URL names no server")
    name = f"datamcp_test_{uuid4().hex[:12]}"
    server = make_url(servers.mysql_url)
    engine = create_engine(server, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"create database {name} character set utf8mb4"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"drop database {name}"))


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def blank_source_url(request: pytest.FixtureRequest) -> str:
    """Return a database without any table, for this test only: on all that steps read and write."""
    return str(request.getfixturevalue(f"blank_{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def blank_database_url(request: pytest.FixtureRequest) -> str:
    """Return a database without any table, for this test only: on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"blank_{request.param}_url"))
