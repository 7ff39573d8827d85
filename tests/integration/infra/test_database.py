"""Connections to a PostgreSQL that is taken away at the worst moments."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from support.databases import TestDatabases
from support.outages import interrupt_database

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Database

MORE_THAN_A_POOL = 12  # its connections, and those that may overflow it


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    """Have a database."""
    found = Database(postgresql_url)
    yield found
    found.close()


def test_a_session_that_ends_after_the_answer_costs_no_place(
    databases: TestDatabases, database: Database, postgresql_url: str
) -> None:
    """What was answered stands, and however often it happens, there are connections."""
    for number in range(MORE_THAN_A_POOL):
        with database.autocommit() as connection:
            assert connection.execute(text(f"SELECT {number}")).scalar_one() == number
            interrupt_database(databases.admin_url, postgresql_url)
    with database.autocommit() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_session_that_ends_before_the_answer_is_told_and_costs_no_place(
    databases: TestDatabases, database: Database, postgresql_url: str
) -> None:
    """It is one clear error, and however often it happens, there are connections."""
    for _ in range(MORE_THAN_A_POOL):
        with pytest.raises(BackendUnavailable):
            ask_and_be_cut_off(databases, database, postgresql_url)
    with database.autocommit() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def ask_and_be_cut_off(databases: TestDatabases, database: Database, url: str) -> None:
    """Send a statement to a session that has just ended."""
    with database.autocommit() as connection:
        interrupt_database(databases.admin_url, url)
        connection.execute(text("SELECT 1"))


def test_single_statements_and_transactions_take_turns(database: Database) -> None:
    """On one connection, each statement commits by itself or with the others, as it is asked."""
    statement = text("SELECT pg_current_xact_id_if_assigned() IS NULL, txid_current()")
    for _ in range(3):
        with database.autocommit() as connection:
            alone = [connection.execute(statement).one()[1] for _ in range(2)]
        with database.transaction() as connection:
            together = [connection.execute(statement).one()[1] for _ in range(2)]
        assert alone[0] != alone[1]
        assert together[0] == together[1]
