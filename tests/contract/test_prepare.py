"""Statements that PostgreSQL prepares: the same answers, whatever happens to the connection."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, bindparam, event, exc, select, text
from support.ledgers import new_task

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Database
from datamcp.infra.prepare import OFTEN, PREPARED, Plan
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.outcome import Done, settle


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    """Have a PostgreSQL with a ledger."""
    database = Database(postgresql_url)
    yield database
    database.close()


@pytest.fixture
def sent(database: Database) -> list[str]:
    """Note what is sent to the server, as it is sent."""
    found: list[str] = []
    event.listen(
        database.engine,
        "after_cursor_execute",
        lambda _connection, _cursor, statement, *_rest: found.append(statement),
    )
    return found


def run_task(ledger: TaskLedger) -> None:
    """Take a task through its life."""
    task = new_task()
    assert ledger.insert(task).is_new
    assert ledger.claim(task.task_id, "mine", "agent") is not None
    with ledger.database.transaction() as connection:
        assert ledger.finish(connection, task.task_id, "mine", settle(Done("3"))) is not None


def test_what_comes_often_is_prepared(database: Database, sent: list[str]) -> None:
    """The first few times a statement is sent whole; from then on by name, once for a connection."""
    ledger = TaskLedger(database)
    for _ in range(OFTEN + 3):
        run_task(ledger)
    whole = [statement for statement in sent if "UPDATE tasks" in statement]
    named = [statement for statement in sent if "EXECUTE datamcp_" in statement]
    assert len(whole) == 2 * (OFTEN - 1)
    assert len(named) >= 2 * 4


def test_nothing_else_is(database: Database, sent: list[str]) -> None:
    """A parameter of an ordinary statement keeps its type, however often it comes."""
    for _ in range(OFTEN + 3):
        with database.autocommit() as connection:
            assert connection.execute(select(bindparam("x", 1))).scalar_one() == 1
    assert not [statement for statement in sent if "EXECUTE" in statement]


def test_a_transaction_survives_what_cannot_be_prepared(database: Database) -> None:
    """It is sent as it is, and what the transaction did before is not lost."""
    command = text("SET LOCAL work_mem = '5MB'").execution_options(**PREPARED)
    with database.transaction() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE kept (n integer)"))
        for number in range(OFTEN + 2):
            connection.execute(text("INSERT INTO kept VALUES (:n)"), {"n": number})
            connection.execute(command)
        assert connection.execute(text("SHOW work_mem")).scalar_one() == "5MB"
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar_one() == OFTEN + 2


def test_an_error_is_the_statements_own(database: Database) -> None:
    """What a prepared statement refuses is refused as ever, and the connection goes on."""
    statement = text("SELECT 10 / CAST(:by AS integer)").execution_options(**PREPARED)
    for _ in range(OFTEN + 2):
        with database.autocommit() as connection:
            assert connection.execute(statement, {"by": 5}).scalar_one() == 2
    with (
        pytest.raises(exc.DBAPIError, match="division by zero"),
        database.autocommit() as connection,
    ):
        connection.execute(statement, {"by": 0})
    with database.autocommit() as connection:
        assert connection.execute(statement, {"by": 2}).scalar_one() == 5


def test_a_rolled_back_transaction_leaves_what_it_prepared(database: Database) -> None:
    """PostgreSQL keeps prepared statements through a ROLLBACK; so do we."""
    ledger = TaskLedger(database)

    def abandon(connection: Connection) -> None:
        ledger.insert_on(connection, new_task())
        raise LookupError

    for _ in range(OFTEN + 3):
        with pytest.raises(LookupError), database.transaction() as connection:
            abandon(connection)
    for _ in range(3):
        run_task(ledger)


def test_new_connections_prepare_anew(database: Database) -> None:
    """A server that ends all connections costs one failure at most, and no wrong name."""
    ledger = TaskLedger(database)
    for _ in range(OFTEN + 1):
        run_task(ledger)
    other = Database(database.url.render_as_string(hide_password=False))
    with other.autocommit() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.close()
    try:
        run_task(ledger)
    except BackendUnavailable:
        run_task(ledger)
    for _ in range(OFTEN + 1):
        run_task(ledger)


def test_threads_do_not_share_names(database: Database) -> None:
    """Each connection has its own; any thread may get any of them."""
    ledger = TaskLedger(database)
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(run_task, ledger) for _ in range(100)]:
            future.result(60)


def test_a_relaxed_commit_is_one_statement_more_in_no_more_trips(
    database: Database, sent: list[str]
) -> None:
    """A claim is not waited for until it is on disk; whatever comes after it is."""
    ledger = TaskLedger(database)
    for _ in range(OFTEN + 1):
        run_task(ledger)
    claims = [statement for statement in sent if statement.startswith("SET LOCAL")]
    assert len(claims) == OFTEN + 1
    with database.autocommit() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


@pytest.mark.parametrize(
    ("statement", "body", "names"),
    [
        ("SELECT %(a)s, %(b)s, %(a)s", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT 5 %% 2", "SELECT 5 % 2", ()),
        ("SELECT '%%(x)s', %(x_1)s", "SELECT '%(x)s', $1", ("x_1",)),
    ],
)
def test_parameters_are_numbered(statement: str, body: str, names: tuple[str, ...]) -> None:
    """The driver's names become PostgreSQL's numbers, and its doubled signs single ones."""
    plan = Plan.of(statement)
    assert (plan.body, plan.names) == (body, names)
