from collections.abc import Iterator

import pytest
from sqlalchemy import text

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Database
from datamcp.infra.durability import cautions_of_database, cautions_of_redis
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.redis import make_client


@pytest.fixture
def database(blank_postgresql_url: str) -> Iterator[Database]:
    """Have a PostgreSQL whose settings may be changed."""
    database = Database(blank_postgresql_url)
    yield database
    database.close()


def set_default(database: Database, name: str, value: str) -> None:
    """Change a setting for all connections to come."""
    with database.autocommit() as connection:
        current = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE \"{current}\" SET {name} TO '{value}'"))
    database.close()


def test_a_database_that_may_forget_is_told_of(database: Database) -> None:
    """What was said to be kept has to be on disk, or with another server."""
    for value in ("local", "remote_apply"):
        set_default(database, "synchronous_commit", value)
        assert not [one for one in cautions_of_database(database) if "synchronous" in one]
    set_default(database, "synchronous_commit", "off")
    set_default(database, "default_transaction_isolation", "serializable")
    found = [one for one in cautions_of_database(database) if not one.startswith("f")]
    assert [one.split(":")[0] for one in found] == [
        "synchronous_commit is off",
        "default_transaction_isolation is serializable",
    ]


def test_sqlite_is_what_we_make_it() -> None:
    """Its settings are those of our own connections."""
    assert cautions_of_database(Database("sqlite:///:memory:")) == []


def test_a_broker_that_throws_messages_away_is_told_of() -> None:
    """Only where it may run out of memory."""
    with EmbeddedValkey() as valkey, make_client(valkey.redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert cautions_of_redis(valkey.redis_url) == []
        client.config_set("maxmemory", "100mb")
        (caution,) = cautions_of_redis(valkey.redis_url)
        assert caution.startswith("maxmemory-policy is allkeys-lru")
        client.config_set("maxmemory-policy", "noeviction")
        assert cautions_of_redis(valkey.redis_url) == []
        url = valkey.redis_url
    with pytest.raises(BackendUnavailable):
        cautions_of_redis(url)
