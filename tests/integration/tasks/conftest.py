"""Installations with real workers, shared by the tests of a module."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile

import pytest
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.workers import Installation, installation


@contextmanager
def on_database(
    kind: str, request: pytest.FixtureRequest, folder: Path, **settings: str
) -> Iterator[Installation]:
    """Have an installation on a database of this kind."""
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    if kind == "sqlite":
        path = folder / "ledger.db"
        copyfile(request.getfixturevalue("sqlite_template"), path)
        with installation(folder, redis_server, f"sqlite:///{path}", **settings) as found:
            yield found
        return
    databases: TestDatabases = request.getfixturevalue("databases")
    with (
        databases.database(template=request.getfixturevalue("postgresql_template")) as url,
        installation(folder, redis_server, url, **settings) as found,
    ):
        yield found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with workers of both agents and beat, on SQLite and on PostgreSQL."""
    folder = tmp_path_factory.mktemp("installed")
    with on_database(request.param, request, folder) as found:
        found.start_worker("bench")
        found.start_worker("lab")
        found.start_beat()
        yield found


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """Have an installation on SQLite without any process, for this test only."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    with on_database("sqlite", request, folder) as found:
        yield found
