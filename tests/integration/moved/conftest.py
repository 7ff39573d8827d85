"""The Celery project, moved over, with real workers; shared by the tests of a module."""

from collections.abc import Iterator

import pytest
from support.moved import Moved, moved

PROCESSES, THREADS = ("postgresql", "prefork"), ("sqlite", "threads")


@pytest.fixture(scope="module", params=[PROCESSES, THREADS], ids=["processes", "threads"])
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moved]:
    """Have the project in pools of processes on PostgreSQL, and of threads on SQLite."""
    kind, pool = request.param
    with moved(kind, request, tmp_path_factory.mktemp("moved"), pool=pool) as found:
        yield found


@pytest.fixture(scope="module")
def in_processes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moved]:
    """Have the project in pools of processes, which can be killed."""
    with moved("sqlite", request, tmp_path_factory.mktemp("moved")) as found:
        yield found
