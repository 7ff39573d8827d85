import os
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import NullPool, create_engine, inspect, make_url
from support.brokers import RedisServer
from support.databases import TestDatabases


def tables(url: str) -> set[str]:
    """Return the names of a database's tables."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_a_test_gets_a_ledger_of_its_own(database_url: str) -> None:
    """The database is there with the ledger's tables."""
    assert "alembic_version" in tables(database_url)


def test_a_test_gets_a_blank_database_of_its_own(blank_database_url: str) -> None:
    """The database is there, without any table."""
    assert tables(blank_database_url) == set()


def test_databases_go_when_their_test_is_over(databases: TestDatabases) -> None:
    """Each database has a name of its own that starts with the run's prefix, and is dropped."""
    with databases.database() as one, databases.database() as other:
        assert one != other
        assert str(make_url(one).database).startswith(f"{databases.prefix}_")
        assert tables(one) == set()
    with pytest.raises(Exception, match="does not exist"):
        tables(one)


def test_only_the_keys_of_a_test_are_removed(redis_server: RedisServer, key_prefix: str) -> None:
    """What other tests, or other users of a named server, wrote stays."""
    with Redis.from_url(redis_server.redis_url) as client:
        client.mset({f"{key_prefix}mine:a": 1, f"{key_prefix}other:a": 1})
        redis_server.remove_keys(f"{key_prefix}mine:")
        assert client.keys(f"{key_prefix}*") == [f"{key_prefix}other:a".encode()]


def test_a_test_runs_outside_the_checkout(tmp_path: Path) -> None:
    """What a test writes to where it stands is in its own folder."""
    assert Path.cwd() == tmp_path


def test_no_setting_reaches_a_test() -> None:
    """The environment of the run configures no test."""
    assert not [name for name in os.environ if name.startswith("DATAMCP_")]  # noqa: TID251  looks only
