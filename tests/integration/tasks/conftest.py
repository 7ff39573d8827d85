"""Installations with real workers, shared by the tests of a module."""

from collections.abc import Iterator

import pytest
from support.workers import BEAT, Installation, on_database, worker


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "rabbitmq"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with workers of both agents and beat, on each database and on RabbitMQ.

    On RabbitMQ, the database is SQLite.
    """
    folder = tmp_path_factory.mktemp("installed")
    with on_database(request.param, request, folder) as found:
        found.start(("bench", worker("bench")), ("lab", worker("lab")), ("beat", BEAT))
        yield found
