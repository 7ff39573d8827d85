"""Statements without SQLAlchemy in between: many values as one, and locks that travel in front."""

from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, select, update
from support.ledgers import new_task

from datamcp.infra.among import among
from datamcp.infra.database import Database
from datamcp.infra.direct import Direct
from datamcp.infra.prepare import OFTEN
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.tables import tasks

ODD = "per%cent (of 'it')"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Have a database with a ledger."""
    database = Database(database_url)
    yield database
    database.close()


def test_one_statement_for_any_number(database: Database) -> None:
    """The same statement finds none, one and many, however often it is sent."""
    ledger = TaskLedger(database)
    ids = [ledger.insert(new_task()).task_id for _ in range(3)]
    chosen = among(database.dialect, tasks.c.task_id, "ids")
    found = Direct(database, select(tasks.c.task_id).where(chosen).order_by(tasks.c.task_id))
    for count in [*range(4)] * OFTEN:
        assert [row[0] for row in found.run({"ids": ids[:count]})] == sorted(ids[:count])


def test_a_lock_travels_in_front(database: Database) -> None:
    """Its values are its own, whatever is in them; the rows are those of the statement."""
    task_id = TaskLedger(database).insert(new_task()).task_id
    wanted = tasks.c.task_id == bindparam("id")
    is_odd = tasks.c.note == bindparam("odd", type_=tasks.c.note.type)
    lock = select(tasks.c.task_id).where(wanted, ~is_odd | tasks.c.note.is_(None)).with_for_update()
    noted = update(tasks).where(wanted).values(note=ODD).returning(tasks.c.note)
    direct = Direct(database, noted, locks=[lock])
    for _ in range(2 * OFTEN):
        with database.transaction() as connection:
            assert direct.run_on(connection, {"id": task_id, "odd": ODD}) == [(ODD,)]
