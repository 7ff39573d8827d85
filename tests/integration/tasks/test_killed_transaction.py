"""A process that is killed at any statement of `context.transaction()` and of what follows it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from support.eventually import eventually
from support.workers import BEAT, SOON, Installation, on_database, words_in, worker

from datamcp import Task
from datamcp.tasks.states import State

CLERK = '''
"""An agent that writes rows, and is killed at a statement of the test's choice."""

import asyncio
import os
import signal
from pathlib import Path

from datamcp import BaseAgent, capability
from sqlalchemy import Engine, event, text

armed = []  # what is left until the end: [statements, file]


def pass_by(what):
    """Count a statement, and die at the last."""
    if not armed:
        return
    armed[0] -= 1
    if armed[0] < 0:
        Path(armed[1]).write_text(what)
        os.kill(os.getpid(), signal.SIGKILL)


event.listen(Engine, "before_cursor_execute", lambda _c, _u, sql, *_: pass_by("before " + sql))
event.listen(Engine, "after_cursor_execute", lambda _c, _u, sql, *_: pass_by("after " + sql))
event.listen(Engine, "commit", lambda _connection: pass_by("before COMMIT"))
event.listen(Engine, "rollback", lambda _connection: pass_by("before ROLLBACK"))


def arm(at, path):
    """Die at a statement from now, at the first attempt only."""
    armed[:] = [] if Path(path).exists() else [at, path]


class Clerk(BaseAgent):
    """Writes rows."""

    agent_type = "clerk"

    def insert(self, conn, number):
        """Write two rows."""
        for part in (1, 2):
            values = {"number": number, "part": part}
            conn.execute(text("INSERT INTO effects VALUES (:number, :part)"), values)

    @capability
    def write(self, number: int, at: int, path: str) -> int:
        """Write two rows."""
        arm(at, path)
        with self.context.transaction() as conn:
            self.insert(conn, number)
        return number

    @capability
    async def write_async(self, number: int, at: int, path: str) -> int:
        """Write two rows."""
        arm(at, path)
        await asyncio.sleep(0)
        with self.context.transaction() as conn:
            self.insert(conn, number)
        await asyncio.sleep(0)
        return number
'''
LAST = 12  # by then the end is committed


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with a worker of the agent, and beat."""
    folder = tmp_path_factory.mktemp("killed")
    package = f"clerks_{folder.name.replace('-', '_')}_{request.param}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(CLERK)
    clerk = {
        "agents.clerk.module": f"{package}:Clerk",
        "agents.clerk.concurrency": "2",
        "agents.clerk.pool": "prefork",
    }
    sys.path.insert(0, str(folder))
    try:
        with on_database(request.param, request, folder, **clerk) as found:
            with found.runtime.database.transaction() as connection:
                connection.execute(text("CREATE TABLE effects (number integer, part integer)"))
            found.start(("clerk", worker("clerk")), ("beat", BEAT))
            yield found
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(package, None)


def test_a_death_at_any_statement_leaves_all_or_nothing(installed: Installation) -> None:
    """And in the end, each row is there once, with the result that belongs to it."""
    files = [installed.file() for _ in range(LAST)]
    enqueue = installed.runtime.tasks.enqueue
    ids = [
        enqueue(Task(task_type=of, parameters={"number": at, "at": at, "path": str(file)}))
        for at, file in enumerate(files)
        for of in ("clerk.write" if at % 3 else "clerk.write_async",)
    ]
    deaths = set()
    for at, (task_id, file) in enumerate(zip(ids, files, strict=True)):
        result = installed.runtime.tasks.result(task_id, timeout=3 * SOON)
        assert (result.state, result.data) == (State.SUCCEEDED, at)
        assert effects(installed, at) == [1, 2], words_in(file)
        deaths.add(" ".join(words_in(file)[:2]))
    assert {"before INSERT", "after INSERT", "before COMMIT"} <= deaths
    assert deaths & {"before UPDATE", "before EXECUTE"}
    assert deaths & {"after UPDATE", "after EXECUTE"}


def effects(installed: Installation, number: int) -> list[int]:
    """Return the rows of one number."""
    with installed.runtime.database.autocommit() as connection:
        rows = text("SELECT part FROM effects WHERE number = :number ORDER BY part")
        return list(connection.execute(rows, {"number": number}).scalars())


def test_rows_are_never_there_without_the_end(installed: Installation) -> None:
    """Between a death and the next attempt nobody sees a part of it."""
    tasks, path = installed.runtime.tasks, Path(installed.file())
    parameters = {"number": 99, "at": 5, "path": str(path)}
    task_id = tasks.enqueue(Task(task_type="clerk.write", parameters=parameters))
    eventually(path.exists, timeout=SOON)
    seen = set()
    while tasks.status(task_id).state is not State.SUCCEEDED:
        is_done_before = tasks.status(task_id).state is State.SUCCEEDED
        rows = tuple(effects(installed, 99))
        is_done_after = tasks.status(task_id).state is State.SUCCEEDED
        if is_done_before == is_done_after:
            seen.add((rows, is_done_after))
    assert seen <= {((), False), ((1, 2), True)}
    assert effects(installed, 99) == [1, 2]
