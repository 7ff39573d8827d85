"""The pytest plug-in: `pytest_plugins = ["datamcp.testing.fixtures"]` in the top `conftest.py`.

It is no entry point, so that it is loaded only where it is asked for. By default a test needs no
server. A test that asks for `datamcp_worker` or `datamcp_broker` gets a broker, too.
"""

import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from datamcp.agents.agent import BaseAgent
from datamcp.bootstrap.runtime import Runtime
from datamcp.config.loader import load
from datamcp.config.text import to_environ
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Supervisor
from datamcp.infra.redis import client_url, make_client
from datamcp.public import connect
from datamcp.testing.clock import FakeClock
from datamcp.testing.ledgers import SQLITE, Ledgers
from datamcp.testing.runtime import inline_runtime
from datamcp.testing.settings import Broker, settings_of
from datamcp.testing.using import using
from datamcp.testing.workers import Workers

_WORKERS = pytest.StashKey[Workers]()
_WITH_BROKER = {"datamcp_broker", "datamcp_worker"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run, or the project's settings, choose the servers."""
    group = parser.getgroup("datamcp")
    for name, default, text in (
        ("datamcp_database", SQLITE, "sqlite, postgresql (an embedded server), or a server's URL"),
        ("datamcp_broker", "", "a Redis URL; without one, workers get an embedded Valkey"),
    ):
        group.addoption(f"--{name.replace('_', '-')}", dest=name, metavar="URL", help=text)
        parser.addini(name, text, default=default)


# What a project may override.


@pytest.fixture
def datamcp_agents() -> Sequence[type[BaseAgent]]:
    """Return agent classes to switch on, besides those that are configured. Override it."""
    return ()


@pytest.fixture
def datamcp_settings() -> Mapping[str, str]:
    """Return settings that win over all others: `{"agents.bench.timeout": "5"}`. Override it."""
    return {}


@pytest.fixture
def datamcp_clock() -> FakeClock:
    """Return the clock of a runtime without workers; it stands where the test began."""
    return FakeClock()


@pytest.fixture
def datamcp_database(pytestconfig: pytest.Config) -> str:
    """Return the kind of ledger: `sqlite`, `postgresql`, or a PostgreSQL server's URL."""
    return _chosen(pytestconfig, "datamcp_database")


# What a test asks for.


@pytest.fixture
def datamcp_database_url(
    _datamcp_ledgers: Ledgers, datamcp_database: str, _datamcp_folder: Path
) -> Iterator[str]:
    """Have the URL of an empty ledger, for this test alone."""
    with _datamcp_ledgers.ledger(datamcp_database, _datamcp_folder) as url:
        yield url


@pytest.fixture
def datamcp_broker(_datamcp_valkey: str) -> Iterator[Broker]:
    """Have a corner of a real broker, for this test alone: a `url` and a `key_prefix`."""
    broker = Broker(_datamcp_valkey, f"test-{secrets.token_hex(8)}:")
    yield broker
    _remove_keys(broker)


@pytest.fixture
def datamcp_runtime(
    request: pytest.FixtureRequest,
    _datamcp_installation: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runtime]:
    """Have a runtime on a ledger of its own; plain Celery calls of capabilities reach it, too.

    Without workers it is an InlineRuntime: `drain` runs what is due, at the time of
    `datamcp_clock`. In a test that asks for `datamcp_worker` it is as in production.
    """
    for name, value in to_environ(_datamcp_installation).items():
        monkeypatch.setenv(name, value)  # so that what the test starts finds the same ledger
    config = load(overrides=_datamcp_installation).config
    if _needs_broker(request):
        runtime: Runtime = connect(config)
    else:
        runtime = inline_runtime(config, request.getfixturevalue("datamcp_clock"))
    with runtime, using(runtime):
        yield runtime


@pytest.fixture
def datamcp_worker(
    request: pytest.FixtureRequest,
    _datamcp_installation: Mapping[str, str],
    datamcp_runtime: Runtime,  # noqa: ARG001  makes the ledger and the environment
    _datamcp_folder: Path,
) -> Iterator[Workers]:
    """Start real workers of the test's runtime: `datamcp_worker("bench", concurrency=2)`.

    Each is ready when the call returns, and ends with the test. The end of its log is part of the
    report of a test that fails.
    """
    with Supervisor() as supervisor:
        workers = Workers(_datamcp_folder, _datamcp_installation, supervisor)
        request.node.stash[_WORKERS] = workers
        yield workers


# What they are made of.


@pytest.fixture(scope="session")
def _datamcp_ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledgers]:
    with Ledgers(tmp_path_factory.mktemp("datamcp")) as ledgers:
        yield ledgers


@pytest.fixture(scope="session")
def _datamcp_valkey(pytestconfig: pytest.Config) -> Iterator[str]:
    named = _chosen(pytestconfig, "datamcp_broker")
    if named:
        yield named
        return
    with EmbeddedValkey() as valkey:
        yield valkey.broker_url


@pytest.fixture
def _datamcp_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "datamcp"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def _datamcp_installation(
    request: pytest.FixtureRequest,
    datamcp_agents: Sequence[type[BaseAgent]],
    datamcp_settings: Mapping[str, str],
    datamcp_database_url: str,
    _datamcp_folder: Path,
) -> Mapping[str, str]:
    broker: Broker | None = None
    if _needs_broker(request):
        if "datamcp_clock" in request.fixturenames:
            pytest.fail(
                "workers live in real time: a test can't have datamcp_clock, too", pytrace=False
            )
        broker = request.getfixturevalue("datamcp_broker")
    return settings_of(
        _datamcp_folder,
        database_url=datamcp_database_url,
        broker=broker,
        agents=datamcp_agents,
        settings=datamcp_settings,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the workers of a test that fails."""
    report = yield
    workers = item.stash.get(_WORKERS, None)
    if report.failed and workers is not None:
        for worker in workers.started:
            report.sections.append((f"Log of {worker.name}", worker.log_tail()))
    return report


def _needs_broker(request: pytest.FixtureRequest) -> bool:
    return not _WITH_BROKER.isdisjoint(request.fixturenames)


def _chosen(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name, default=None) or config.getini(name))


def _remove_keys(broker: Broker) -> None:
    url = client_url(broker.url)
    if url is None:
        return
    with make_client(url) as client:
        keys = list(client.scan_iter(match=f"{broker.key_prefix}*", count=1000))
        if keys:
            client.delete(*keys)
