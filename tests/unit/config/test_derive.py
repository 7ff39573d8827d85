from pathlib import Path

import pytest

from datamcp.config.derive import anchor, derive, state_dir
from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank, strongest
from datamcp.config.system import Environment

STATE = Path("/state")


def layer(rank: Rank, **settings: object) -> Layer:
    """Return a layer; `storage__cache_url="…"` is the setting `storage.cache_url`."""
    origin = Origin(OriginKind.FILE, "x.yaml", 1)
    entries = (Entry(tuple(name.split("__")), value, origin) for name, value in settings.items())
    return Layer(rank, tuple(entries))


def value(layers: list[Layer], name: str) -> object:
    """Return the value that holds."""
    found = strongest(layers, tuple(name.split(".")))
    return found[1].value if found else None


def settle(*layers: Layer, environment: Environment = Environment.DEVELOPMENT) -> list[Layer]:
    """Derive what follows from the layers."""
    return derive(layers, environment, STATE)


def test_sqlite_without_a_url_is_a_file_in_the_state_folder() -> None:
    """Only the backend has to be named; the rest follows."""
    layers = settle(layer(Rank.ENVIRONMENT_FILE, storage__primary_backend="sqlite"))
    assert value(layers, "storage.database_url") == "sqlite:////state/ledger.db"
    assert value(layers, "pipelines.storage_backend") == "sqlite"
    assert value(layers, "scheduler.persistence_backend") == "database"
    assert value(layers, "storage.artifacts_url") == "/state/artifacts"


def test_without_a_database_nothing_is_made_up() -> None:
    """PostgreSQL has no address of its own accord."""
    layers = settle(layer(Rank.ENVIRONMENT_FILE, storage__primary_backend="postgresql"))
    assert value(layers, "storage.database_url") is None
    assert value(layers, "scheduler.persistence_backend") is None


def test_the_scheme_names_the_backend() -> None:
    """A backend that nobody named is that of the URL."""
    url = layer(
        Rank.ENVIRONMENT, storage__database_url="postgres://h/d", storage__cache_url="rediss://h"
    )
    layers = settle(url)
    assert value(layers, "storage.primary_backend") == "postgresql"
    assert value(layers, "pipelines.storage_backend") == "postgresql"
    assert value(layers, "storage.cache_backend") == "redis"
    found = strongest(layers, ("storage", "cache_backend"))
    assert str(found[1].origin if found else None) == "from storage.cache_url"


@pytest.mark.parametrize(
    ("environment", "rank", "backend"),
    [
        (Environment.DEVELOPMENT, Rank.ENVIRONMENT_FILE, "postgresql"),
        (Environment.TESTING, Rank.BASE_FILE, "postgresql"),
        (Environment.DEVELOPMENT, Rank.EXTRA_FILE, "sqlite"),
        (Environment.DEVELOPMENT, Rank.ENVIRONMENT, "sqlite"),
        (Environment.PRODUCTION, Rank.ENVIRONMENT_FILE, "sqlite"),
    ],
)
def test_a_shipped_backend_gives_way_to_a_url_on_a_laptop(
    environment: Environment, rank: Rank, backend: str
) -> None:
    """A name that a user gave, or that guards production, stays: it will be an error."""
    url = layer(Rank.COMMAND_LINE, storage__database_url="postgresql://h/d")
    layers = settle(layer(rank, storage__primary_backend="sqlite"), url, environment=environment)
    assert value(layers, "storage.primary_backend") == backend


def test_nothing_is_taken_of_a_stack_that_contradicts_a_user() -> None:
    """A running stack is no reason for an error."""
    stack = layer(Rank.RUNNING_STACK, storage__cache_url="redis://h")
    layers = settle(stack, layer(Rank.ENVIRONMENT, storage__cache_backend="none"))
    assert value(layers, "storage.cache_url") is None
    assert value(layers, "storage.cache_backend") == "none"


def test_a_stacks_cache_replaces_the_one_of_the_environments_file() -> None:
    """`cache_backend: memory` of development yields to the cache that is running."""
    stack = layer(Rank.RUNNING_STACK, storage__cache_url="redis://h")
    layers = settle(stack, layer(Rank.ENVIRONMENT_FILE, storage__cache_backend="memory"))
    assert value(layers, "storage.cache_backend") == "redis"


def test_paths_start_from_the_current_folder() -> None:
    """Relative paths become absolute, as processes are started in other folders; URLs stay."""
    given = layer(
        Rank.ENVIRONMENT,
        system__state_dir="state",
        security__key_file="/etc/key",
        storage__allowed_roots=["data", "/srv", "s3://bucket/in"],
        storage__artifacts_url="s3://bucket/x",
        storage__database_url="sqlite:///my.db",
    )
    layers = anchor([given], Path("/here"))
    assert layers[0].tree() == {
        "system": {"state_dir": "/here/state"},
        "security": {"key_file": "/etc/key"},
        "storage": {
            "allowed_roots": ["/here/data", "/srv", "s3://bucket/in"],
            "artifacts_url": "s3://bucket/x",
            "database_url": "sqlite:////here/my.db",
        },
    }
    assert state_dir(layers, Path("/here")) == Path("/here/state")
    assert state_dir([], Path("/here")) == Path("/here/.datamcp")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:////abs.db", "x"])
def test_other_databases_stay_where_they_are(url: str) -> None:
    """Only a SQLite file has a place that depends on the current folder."""
    layers = anchor([layer(Rank.ENVIRONMENT, storage__database_url=url)], Path("/here"))
    assert value(layers, "storage.database_url") == url
