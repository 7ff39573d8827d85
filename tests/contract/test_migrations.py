import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from datamcp.errors import SchemaVersionError
from datamcp.infra import migrate
from datamcp.infra.database import Database
from datamcp.pipelines.tables import runs, signals, step_cache, watermarks
from datamcp.presence.tables import processes
from datamcp.scheduling.tables import firings, schedules
from datamcp.tasks.tables import attempts, metadata, task_logs, turns

OURS = {
    "tasks",
    "pipelines",
    runs.name,
    step_cache.name,
    signals.name,
    watermarks.name,
    processes.name,
    attempts.name,
    task_logs.name,
    turns.name,
    schedules.name,
    firings.name,
}


@pytest.fixture
def database(blank_database_url: str) -> Iterator[Database]:
    """Have a database without any table."""
    database = Database(blank_database_url)
    yield database
    database.close()


def tables(database: Database) -> set[str]:
    """Return the names of all tables."""
    with database.transaction() as connection:
        return set(inspect(connection).get_table_names())


def set_version(database: Database, version: str) -> None:
    """Make the ledger look as if another program had migrated it."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})


def test_an_empty_database_gets_the_whole_ledger(database: Database) -> None:
    """It is at no version before, and at the one that is needed after."""
    before = migrate.look(database)
    assert (before.found, before.is_current) == (None, False)
    assert migrate.migrate(database) == before
    after = migrate.look(database)
    assert (after.found, after.is_current) == (after.needed, True)
    assert tables(database) > OURS


def test_to_migrate_again_changes_nothing(database: Database) -> None:
    """A ledger that is current keeps its rows."""
    migrate.migrate(database)
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO pipelines (pipeline_id, revision, version, definition, registered_at) "
                "VALUES ('p', 1, '1', '{}', :now)"
            ),
            {"now": "2026-01-01 00:00:00+00" if database.dialect == "postgresql" else 0},
        )
    assert migrate.migrate(database).is_current
    with database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM pipelines")).scalar_one() == 1


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    """A column or an index that stands in only one of the two places is found here."""
    assert set(metadata.tables) == OURS
    migrate.migrate(database)
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_new_sqlite_file_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Whoever comes while another makes the file waits, as for any other writer."""

    def open_together(path: Path, barrier: threading.Barrier) -> str | None:
        database = Database(f"sqlite:///{path}")
        barrier.wait()
        try:
            return migrate.look(database).found
        finally:
            database.close()

    with ThreadPoolExecutor(6) as threads:
        for number in range(30):
            args = (tmp_path / f"{number}.db", threading.Barrier(6))
            opened = [threads.submit(open_together, *args) for _ in range(6)]
            assert [one.result() for one in opened] == [None] * 6


def test_many_that_migrate_at_once_wait_for_one(blank_database_url: str) -> None:
    """Processes that start together on an empty database all find it made."""
    barrier = threading.Barrier(4)

    def start(_number: int) -> bool:
        barrier.wait()
        database = Database(blank_database_url)
        try:
            migrate.require(database, may_create=True)
            return migrate.look(database).is_current
        finally:
            database.close()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(start, range(4))) == [True] * 4


def test_makes_a_ledger_only_where_it_may(database: Database) -> None:
    """In production an empty database is more likely the wrong one."""
    with pytest.raises(SchemaVersionError, match="has no ledger yet; run `datamcp migrate`"):
        migrate.require(database, may_create=False)
    assert tables(database) == set()
    migrate.require(database, may_create=True)
    migrate.require(database, may_create=False)


@pytest.mark.parametrize(
    "do", [lambda database: migrate.require(database, may_create=True), migrate.migrate]
)
def test_refuses_a_ledger_of_a_newer_program(database: Database, do: object) -> None:
    """One line says what the ledger has, what the program needs, and what to do."""
    assert callable(do)
    migrate.migrate(database)
    set_version(database, "9999")
    with pytest.raises(SchemaVersionError) as caught:
        do(database)
    needed = migrate.look(database).needed
    assert str(caught.value) == (
        f"the ledger is at version 9999, which is newer than this program ({needed}); "
        "upgrade datamcp"
    )


def test_leaves_the_tables_of_strangers_alone(database: Database) -> None:
    """A database that has a table of one of our names, but is no ledger, is refused in one line."""
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE tasks (id integer)"))
    with pytest.raises(SchemaVersionError) as caught:
        migrate.migrate(database)
    assert "\n" not in str(caught.value)
    assert tables(database) == {"tasks"}


def test_the_versions_are_those_of_the_migrations() -> None:
    """The names of their files say so; Alembic, which nobody wants to wait for, agrees."""
    folder = Path(migrate.__file__).with_name("migrations")
    scripts = ScriptDirectory(str(folder)).walk_revisions()
    assert migrate.versions() == [script.revision for script in scripts][::-1]
