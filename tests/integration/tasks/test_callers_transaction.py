import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from support.inline import calculating

from datamcp import Task
from datamcp.errors import BulkEnqueueError, IdempotencyConflictError, TaskError
from datamcp.infra.database import parse
from datamcp.testing import InlineRuntime, drain


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[InlineRuntime]:
    """Have a runtime without workers, on SQLite and on PostgreSQL."""
    with calculating(tmp_path / "installation", database_url) as runtime:
        yield runtime


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Have the caller's own engine on the ledger's database, with a table of its own."""
    engine = create_engine(parse(database_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (number integer primary key)"))
    yield engine
    engine.dispose()


def add(a: int, **fields: Any) -> Task:
    """Return a task."""
    return Task(task_type="calc.add", parameters={"a": a}, **fields)


def order(connection: Any, number: int) -> None:
    """Write a row of the caller's own."""
    connection.execute(text("INSERT INTO orders VALUES (:number)"), {"number": number})


def sent(runtime: InlineRuntime) -> list[str]:
    """Return the tasks that were published so far."""
    return [letter.task_id for letter in runtime.app.mailbox.sent]


def kept(runtime: InlineRuntime) -> set[str]:
    """Return the tasks that others can see."""
    return {task.task_id for task in runtime.tasks.list()}


def test_a_task_appears_with_the_callers_commit(runtime: InlineRuntime, engine: Engine) -> None:
    """And is published right after it, not before."""
    with engine.begin() as connection:
        order(connection, 1)
        task_id = runtime.tasks.enqueue(add(1), connection=connection)
        assert (kept(runtime), sent(runtime)) == (set(), [])
    assert (kept(runtime), sent(runtime)) == ({task_id}, [task_id])
    assert [result.data for result in drain(runtime)] == [1]


def test_nothing_is_left_of_what_is_rolled_back(runtime: InlineRuntime, engine: Engine) -> None:
    """Neither row nor message, also after a later commit on the same connection."""
    with engine.connect() as connection:
        runtime.tasks.enqueue(add(1), connection=connection)
        connection.rollback()
        order(connection, 1)
        connection.commit()
        runtime.tasks.enqueue_many([add(2), add(3)], connection=connection)
    assert (kept(runtime), sent(runtime)) == (set(), [])


def test_a_connection_is_used_again_and_again(runtime: InlineRuntime, engine: Engine) -> None:
    """Each commit publishes what belongs to it."""
    ids = []
    with engine.connect() as connection:
        for number in range(3):
            ids.append(runtime.tasks.enqueue(add(number), connection=connection))
            assert sent(runtime) == ids[:number]
            connection.commit()
            assert sent(runtime) == ids


def test_savepoints_count(runtime: InlineRuntime, engine: Engine) -> None:
    """What one of them takes back is not published; what it releases is, in the end."""
    with engine.begin() as connection:
        with connection.begin_nested():
            one = runtime.tasks.enqueue(add(1), connection=connection)
        outer = connection.begin_nested()
        runtime.tasks.enqueue(add(2), connection=connection)
        with connection.begin_nested():
            runtime.tasks.enqueue(add(3), connection=connection)
        outer.rollback()
        four = runtime.tasks.enqueue(add(4), connection=connection)
        assert sent(runtime) == []
    assert (kept(runtime), sent(runtime)) == ({one, four}, [one, four])


@pytest.mark.parametrize("make", [sessionmaker, lambda bind: scoped_session(sessionmaker(bind))])
def test_a_session_will_do(runtime: InlineRuntime, engine: Engine, make: Any) -> None:
    """Its transaction is the one that counts."""
    session = make(engine)
    if isinstance(session, sessionmaker):
        session = session()
    order(session, 1)
    first = runtime.tasks.enqueue(add(1), connection=session)
    assert sent(runtime) == []
    session.commit()
    assert sent(runtime) == [first]
    runtime.tasks.enqueue(add(2), connection=session)
    session.rollback()
    with session.begin_nested():
        third = runtime.tasks.enqueue(add(3), connection=session)
    session.commit()
    session.close()
    assert (kept(runtime), sent(runtime)) == ({first, third}, [first, third])


def test_many_tasks_belong_to_the_transaction(runtime: InlineRuntime, engine: Engine) -> None:
    """One that is refused takes back nothing else of it."""
    with engine.begin() as connection:
        first = runtime.tasks.enqueue(add(1, idempotency_key="one"), connection=connection)
        ids = runtime.tasks.enqueue_many(
            [add(1, idempotency_key="one"), add(2)], connection=connection
        )
        assert ids[0] == first
        with pytest.raises(IdempotencyConflictError):
            runtime.tasks.enqueue(add(2, idempotency_key="one"), connection=connection)
        with pytest.raises(BulkEnqueueError):
            runtime.tasks.enqueue_many([add(3), Task(task_type="no.no")], connection=connection)
    assert sent(runtime) == list(ids)


def test_a_conflict_in_the_transaction_leaves_the_rest_to_the_caller(
    runtime: InlineRuntime, engine: Engine
) -> None:
    """Of many with a key that is taken, none is written, though the caller commits."""
    with engine.begin() as connection:
        first = runtime.tasks.enqueue(add(1, idempotency_key="one"), connection=connection)
        with pytest.raises(BulkEnqueueError):
            runtime.tasks.enqueue_many(
                [add(3), add(2, idempotency_key="one")], connection=connection
            )
    assert (kept(runtime), sent(runtime)) == ({first}, [first])


def test_a_commit_that_fails_publishes_nothing(runtime: InlineRuntime, engine: Engine) -> None:
    """Here a constraint that is checked at the end."""
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE lines (number integer "
                    "REFERENCES orders DEFERRABLE INITIALLY DEFERRED)"
                )
            )
        connection = engine.connect()
        connection.execute(text("INSERT INTO lines VALUES (7)"))
    else:
        connection = engine.connect()
        event.listen(connection, "commit", _lose)
    runtime.tasks.enqueue(add(1), connection=connection)
    with pytest.raises((SQLAlchemyError, ZeroDivisionError)):
        connection.commit()
    connection.rollback()
    connection.close()
    assert (kept(runtime), sent(runtime)) == (set(), [])


def _lose(connection: Connection) -> None:
    raise ZeroDivisionError


def test_a_commit_that_is_none_publishes_nothing(runtime: InlineRuntime, engine: Engine) -> None:
    """PostgreSQL answers the COMMIT of a transaction that failed with a rollback, and no error."""
    with engine.connect() as connection:
        runtime.tasks.enqueue(add(1), connection=connection)
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT no FROM orders"))
        connection.commit()
    assert sent(runtime) == list(kept(runtime))
    assert len(sent(runtime)) == (0 if engine.dialect.name == "postgresql" else 1)


def test_the_runtimes_own_connection_will_do(runtime: InlineRuntime) -> None:
    """The one of `rt.database`."""
    with runtime.database.transaction() as connection:
        task_id = runtime.tasks.enqueue(add(1), connection=connection)
    assert sent(runtime) == [task_id]


def test_another_database_is_refused(
    runtime: InlineRuntime, tmp_path: Path, blank_database_url: str
) -> None:
    """With a line that names both, before anything is written."""
    for url in (f"sqlite:///{tmp_path / 'other.db'}", "sqlite://", blank_database_url):
        engine = create_engine(parse(url))
        with engine.connect() as connection:
            with pytest.raises(TaskError) as caught:
                runtime.tasks.enqueue(add(1), connection=connection)
            connection.commit()
        engine.dispose()
        assert str(caught.value).startswith(f"connection leads to {engine.url.drivername}")
        assert str(caught.value).endswith(
            f", and not to the ledger's database, {runtime.database.shown}"
        )
    assert (kept(runtime), sent(runtime)) == (set(), [])


def test_autocommit_is_refused(runtime: InlineRuntime, engine: Engine, database_url: str) -> None:
    """Of the connection, of the engine, or of the driver."""
    by_engine = create_engine(parse(database_url), isolation_level="AUTOCOMMIT")
    for connection in (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT"),
        by_engine.connect(),
    ):
        with connection, pytest.raises(TaskError, match="is in autocommit mode; enqueue in a"):
            runtime.tasks.enqueue(add(1), connection=connection)
    by_engine.dispose()
    with (
        runtime.database.autocommit() as connection,
        pytest.raises(TaskError, match="is in autocommit mode"),
    ):
        runtime.tasks.enqueue(add(1), connection=connection)
    assert (kept(runtime), sent(runtime)) == (set(), [])


def test_what_is_no_connection_is_refused(
    runtime: InlineRuntime, engine: Engine, database_url: str
) -> None:
    """A driver's own can't tell when it commits; a closed one never does."""
    if engine.dialect.name == "sqlite":
        raw: Any = sqlite3.connect(str(engine.url.database))
    else:
        raw = psycopg2.connect(database_url.replace("+psycopg2", ""))
    with closing(raw), pytest.raises(TaskError, match=r"a Session of SQLAlchemy, got .*onnection:"):
        runtime.tasks.enqueue(add(1), connection=raw)
    closed = engine.connect()
    closed.close()
    with pytest.raises(TaskError, match="connection is closed"):
        runtime.tasks.enqueue(add(1), connection=closed)
    with (
        engine.connect().execution_options(schema_translate_map={None: "tenant"}) as moved,
        pytest.raises(TaskError, match="schema_translate_map"),
    ):
        runtime.tasks.enqueue(add(1), connection=moved)
    with pytest.raises(TaskError, match=r"got builtins\.str"):
        runtime.tasks.enqueue(add(1), connection="postgresql://")  # type: ignore[arg-type]
    assert (kept(runtime), sent(runtime)) == (set(), [])


def test_the_parameters_are_checked_first(runtime: InlineRuntime, engine: Engine) -> None:
    """What is refused leaves the transaction as it was."""
    with engine.begin() as connection:
        order(connection, 1)
        with pytest.raises(TaskError):
            runtime.tasks.enqueue(Task(task_type="calc.add"), connection=connection)
    with Session(engine) as session:
        assert session.execute(text("SELECT count(*) FROM orders")).scalar_one() == 1
    assert kept(runtime) == set()


@pytest.mark.parametrize("own_begin", [False, True])
def test_sqlite_with_and_without_the_drivers_own_begin(
    runtime: InlineRuntime, engine: Engine, own_begin: bool
) -> None:
    """SQLAlchemy's recipe for serializable transactions is none of autocommit."""
    if engine.dialect.name != "sqlite":
        pytest.skip("of SQLite alone")
    if own_begin:
        event.listen(engine, "connect", _no_begin)
        event.listen(engine, "begin", _begin)
    engine.dispose()
    with engine.connect() as connection:
        runtime.tasks.enqueue(add(1), connection=connection)
        connection.rollback()
        task_id = runtime.tasks.enqueue(add(2), connection=connection)
        connection.commit()
    assert (kept(runtime), sent(runtime)) == ({task_id}, [task_id])


def _no_begin(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
