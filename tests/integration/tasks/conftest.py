"""Installations with real workers, shared by the tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.workers import Installation, on_database


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
