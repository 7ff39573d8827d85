from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import Connection, event, text

from datamcp import BaseAgent, Task, TaskResult, capability
from datamcp.config.loader import load
from datamcp.errors import TaskError
from datamcp.tasks.ledger import Death, is_task
from datamcp.tasks.states import State
from datamcp.testing import InlineRuntime, drain, inline_runtime, run_capability, using
from datamcp.testing.settings import settings_of

Hook = Callable[[Any], object]


def nothing(_of: Any) -> None:
    """Do nothing."""


class Clerk(BaseAgent):
    """Writes rows, as the test tells it."""

    agent_type = "clerk"
    before: ClassVar[Hook] = nothing
    during: ClassVar[Hook] = nothing
    after: ClassVar[Hook] = nothing

    @capability
    def write(self, number: int) -> int:
        """Write one row."""
        type(self).before(self.context)
        with self.context.transaction() as conn:
            insert(conn, number)
            type(self).during(conn)
        type(self).after(self.context)
        return number

    @capability
    async def write_async(self, number: int) -> int:
        """Write one row, on an event loop."""
        with self.context.transaction() as conn:
            insert(conn, number)
            type(self).during(conn)
        type(self).after(self.context)
        return number

    @capability
    def write_twice(self, number: int) -> int:
        """Write two rows in two blocks; an error in the second is none of the first."""
        with self.context.transaction() as conn:
            insert(conn, number)
        try:
            with self.context.transaction() as conn:
                insert(conn, number + 1)
                type(self).during(conn)
        except ZeroDivisionError:
            self.context.logger.debug("as expected")
        return number

    @capability
    def write_or_not(self, number: int) -> str:
        """Write one row, and go on without it if that fails."""
        try:
            with self.context.transaction() as conn:
                insert(conn, number)
                type(self).during(conn)
        except ZeroDivisionError:
            return "without"
        return "with"


def insert(connection: Connection, number: int) -> None:
    """Write a row of the user's own."""
    connection.execute(text("INSERT INTO effects VALUES (:number)"), {"number": number})


@pytest.fixture(params=["clerk.write", "clerk.write_async"])
def task_type(request: pytest.FixtureRequest) -> str:
    """Return a capability that writes a row."""
    return str(request.param)


@pytest.fixture
def runtime(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InlineRuntime]:
    """Have a runtime without workers, on SQLite and on PostgreSQL, with a table for effects."""
    for name in ("before", "during", "after"):
        monkeypatch.setattr(Clerk, name, nothing)
    chosen = settings_of(
        tmp_path / "installation", database_url=database_url, agents=[Clerk], settings={}
    )
    with inline_runtime(load(overrides=chosen).config) as runtime, using(runtime):
        with runtime.database.transaction() as connection:
            connection.execute(text("CREATE TABLE effects (number integer primary key)"))
        yield runtime


def run(runtime: InlineRuntime, task_type: str, number: int = 1) -> TaskResult:
    """Run a task to its end."""
    runtime.tasks.enqueue(Task(task_type=task_type, parameters={"number": number}))
    return drain(runtime)[-1]


def effects(runtime: InlineRuntime) -> list[int]:
    """Return the rows that were committed."""
    with runtime.database.autocommit() as connection:
        rows = connection.execute(text("SELECT number FROM effects ORDER BY number")).scalars()
        return list(rows)


def fail(_of: Any) -> None:
    """Raise."""
    raise ZeroDivisionError("as told")


def test_the_row_and_the_result_appear_together(
    runtime: InlineRuntime, task_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sees the one without the other."""
    seen: list[tuple[list[int], State]] = []

    def look(context: Any) -> None:
        seen.append((effects(runtime), runtime.tasks.status(context.task_id).state))

    monkeypatch.setattr(Clerk, "after", look)
    result = run(runtime, task_type, 7)
    assert seen == [([], State.RUNNING)]
    assert (result.state, result.data, effects(runtime)) == (State.SUCCEEDED, 7, [7])


@pytest.mark.parametrize("where", ["during", "after"])
def test_an_error_takes_all_back(
    runtime: InlineRuntime, task_type: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the block or behind it; the attempt has failed with it."""
    monkeypatch.setattr(Clerk, where, fail)
    result = run(runtime, task_type)
    assert (result.state, result.error_code) == (State.FAILED, "ZeroDivisionError")
    assert effects(runtime) == []
    monkeypatch.setattr(Clerk, where, nothing)
    assert run(runtime, task_type).success
    assert effects(runtime) == [1]


def test_a_result_without_a_json_form_takes_all_back(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to be recorded with it."""
    monkeypatch.setattr("datamcp.tasks.execute._json", fail)
    assert run(runtime, "clerk.write").state is State.FAILED
    assert effects(runtime) == []


def test_an_error_that_is_caught_takes_its_block_back(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The capability may still succeed, without it."""
    assert run(runtime, "clerk.write_or_not", 1).data == "with"
    assert run(runtime, "clerk.write_twice", 10).success
    monkeypatch.setattr(Clerk, "during", fail)
    assert run(runtime, "clerk.write_or_not", 2).data == "without"
    assert run(runtime, "clerk.write_twice", 20).success
    assert effects(runtime) == [1, 10, 11, 20]


def test_what_the_database_refuses_fails_the_task(runtime: InlineRuntime) -> None:
    """At the statement."""
    assert run(runtime, "clerk.write", 1).success
    result = run(runtime, "clerk.write", 1)
    assert (result.state, result.error_code) == (State.FAILED, "IntegrityError")
    assert effects(runtime) == [1]


def test_what_the_database_refuses_in_the_end_fails_the_task(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the commit; the result does not count then."""
    deferred = "REFERENCES effects DEFERRABLE INITIALLY DEFERRED"
    with runtime.database.transaction() as connection:
        connection.execute(text(f"CREATE TABLE parts (number integer {deferred})"))
    monkeypatch.setattr(
        Clerk, "during", lambda conn: conn.execute(text("INSERT INTO parts VALUES (99)"))
    )
    result = run(runtime, "clerk.write", 1)
    assert (result.state, result.error_code, result.data) == (State.FAILED, "IntegrityError", None)
    assert effects(runtime) == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_capability_does_not_end_the_transaction(
    runtime: InlineRuntime, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails, with a line that says why."""
    monkeypatch.setattr(Clerk, "during", lambda conn: getattr(conn, end)())
    result = run(runtime, "clerk.write")
    assert result.state is State.FAILED
    assert "the transaction was ended inside of its block" in str(result.error_message)


def test_a_cancelled_task_leaves_nothing(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel wins over what was written."""
    monkeypatch.setattr(Clerk, "before", lambda context: runtime.tasks.cancel(context.task_id))
    assert run(runtime, "clerk.write").state is State.CANCELLED
    assert effects(runtime) == []


def test_a_worker_that_lost_its_claim_leaves_nothing(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt has the task meanwhile; the effect is that one's."""
    attempts = []

    def lose(context: Any) -> None:
        attempts.append(context.task_id)
        if len(attempts) == 1:
            runtime.settler.give_back(is_task(context.task_id), Death.ALONE)

    monkeypatch.setattr(Clerk, "before", lose)
    result = run(runtime, "clerk.write")
    assert (len(attempts), result.state, result.attempt) == (2, State.SUCCEEDED, 1)
    assert effects(runtime) == [1]


def test_a_heartbeat_in_the_block_blocks_nobody(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one writer: there it learns of a cancel, and keeps the progress to itself."""
    context: list[Any] = []
    monkeypatch.setattr(Clerk, "before", context.append)
    monkeypatch.setattr(Clerk, "during", lambda _conn: context[-1].heartbeat(0.5))
    monkeypatch.setattr(Clerk, "after", lambda context: context.heartbeat(0.7))
    assert run(runtime, "clerk.write").success
    assert effects(runtime) == [1]
    assert not context[-1].cancelled


def test_what_is_enqueued_on_its_connection_belongs_to_it(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is published after the task's end, and never if that is rolled back."""
    more = Task(task_type="clerk.write_or_not", parameters={"number": 100})
    monkeypatch.setattr(Clerk, "during", lambda conn: _enqueue_once(runtime, more, conn))
    monkeypatch.setattr(Clerk, "after", fail)
    assert run(runtime, "clerk.write").state is State.FAILED
    assert len(runtime.tasks.list()) == 1
    monkeypatch.setattr(Clerk, "after", nothing)
    assert run(runtime, "clerk.write").data == "with"
    assert effects(runtime) == [1, 100]


def _enqueue_once(runtime: InlineRuntime, task: Task, connection: Connection) -> None:
    count = connection.execute(text("SELECT count(*) FROM effects")).scalar_one()
    if count == 1:
        runtime.tasks.enqueue(task, connection=connection)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_changes_nothing(
    runtime: InlineRuntime, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that took place counts; one that did not is made anew, and uses up no attempt."""
    dialect = runtime.database.lasting.dialect
    commit, roll_back, losses = dialect.do_commit, dialect.do_rollback, []

    def lose(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        (roll_back if when == "before" else commit)(connection)
        losses.append(when)
        raise _lost(runtime)

    def lose_once(_context: Any) -> None:
        if not losses:
            monkeypatch.setattr(dialect, "do_commit", lose)

    monkeypatch.setattr(Clerk, "after", lose_once)
    runtime.tasks.enqueue(Task(task_type="clerk.write", parameters={"number": 1}))
    results = drain(runtime)
    assert (losses, len(results)) == ([when], 1 if when == "after" else 0)
    if not results:
        runtime.clock.advance(seconds=2)
        results = drain(runtime)
    assert [(one.data, one.attempt, one.state) for one in results] == [(1, 1, State.SUCCEEDED)]
    assert effects(runtime) == [1]


def _lost(runtime: InlineRuntime) -> Exception:
    """Return what a driver raises that has lost its server."""
    driver = runtime.database.engine.dialect.loaded_dbapi
    error: Exception = driver.OperationalError("disk I/O error: the answer is lost")
    return error


def test_a_database_that_goes_in_the_block_uses_up_no_attempt(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt is made anew; it did nothing that counts."""
    if runtime.database.dialect == "sqlite":
        pytest.skip("a file does not go")
    kills = ["once"]

    def kill(conn: Connection) -> None:
        if kills:
            kills.pop()
            conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(Clerk, "during", kill)
    runtime.tasks.enqueue(Task(task_type="clerk.write", parameters={"number": 1}))
    assert drain(runtime) == []
    runtime.clock.advance(seconds=2)
    (result,) = drain(runtime)
    assert (result.state, result.attempt, effects(runtime)) == (State.SUCCEEDED, 1, [1])


def test_outside_of_the_ledger_it_is_a_plain_transaction(
    runtime: InlineRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`apply` runs a capability here and now: it commits when that returns."""
    task = runtime.app.task_of("clerk.write")
    assert task(number=1) == 1
    monkeypatch.setattr(Clerk, "after", fail)
    with pytest.raises(ZeroDivisionError):
        task(number=2)
    assert effects(runtime) == [1]


def test_without_a_ledger_there_is_none() -> None:
    """A capability that is called by itself is told so."""
    with pytest.raises(TaskError, match="there is no ledger here"):
        run_capability(Clerk, "write", number=1)


def test_no_connection_is_left_open(runtime: InlineRuntime, task_type: str) -> None:
    """Each is given back with the end of its attempt."""
    open_now: list[int] = [0]
    for engine in (runtime.database.engine, runtime.database.lasting):
        event.listen(engine.pool, "checkout", lambda *_of: open_now.append(open_now[-1] + 1))
        event.listen(engine.pool, "checkin", lambda *_of: open_now.append(open_now[-1] - 1))
    for number in range(3):
        run(runtime, task_type, number)
        run(runtime, task_type, number)
    assert max(open_now) > 0
    assert open_now[-1] == 0
