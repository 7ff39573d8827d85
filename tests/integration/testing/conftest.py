"""Runtimes that need no worker."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.inline import calculating

from datamcp.testing import FakeClock, InlineRuntime


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands in winter."""
    return FakeClock(datetime(2026, 1, 31, 12, tzinfo=UTC))


@pytest.fixture
def runtime(tmp_path: Path, database_url: str, clock: FakeClock) -> Iterator[InlineRuntime]:
    """Have a runtime with the agent `calc`: on SQLite and on PostgreSQL."""
    with calculating(tmp_path / "installation", database_url, clock) as runtime:
        yield runtime


@pytest.fixture
def lite(tmp_path: Path, sqlite_url: str, clock: FakeClock) -> Iterator[InlineRuntime]:
    """Have a runtime with the agent `calc`, on SQLite."""
    with calculating(tmp_path / "installation", sqlite_url, clock) as runtime:
        yield runtime
