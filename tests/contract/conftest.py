"""Databases that the tests of a module share, where rows of others do not matter."""

from collections.abc import Iterator
from shutil import copyfile

import pytest
from support.databases import TestDatabases
from support.ledgers import LedgerOnHand, ledger_at_hand

from datamcp.infra.database import Database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Have a database with a ledger for all tests of a module: on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("shared") / "ledger.db"
        copyfile(request.getfixturevalue("sqlite_template"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.close()
        return
    databases: TestDatabases = request.getfixturevalue("databases")
    with databases.database(template=request.getfixturevalue("postgresql_template")) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture(scope="module")
def at_hand(shared_database: Database) -> LedgerOnHand:
    """Return a ledger with a clock that is moved by hand, among rows of other tests."""
    return ledger_at_hand(shared_database)


@pytest.fixture
def alone(database_url: str) -> Iterator[LedgerOnHand]:
    """Have a ledger with a clock that is moved by hand, without a row of anybody else."""
    database = Database(database_url)
    yield ledger_at_hand(database)
    database.close()
