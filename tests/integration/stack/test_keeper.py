import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.databases import TestDatabases
from support.eventually import eventually
from support.ledgers import new_task
from support.outages import database_away
from support.processes import is_running

from datamcp.bootstrap.runtime import Runtime, build
from datamcp.config.loader import load
from datamcp.errors import StackError
from datamcp.infra.celery import host, nodename
from datamcp.presence.process import Condition, Identity, ProcessKind
from datamcp.stack.keeper import Keeper
from datamcp.stack.process import Kind, Process
from datamcp.stack.record import read
from datamcp.stack.requests import Requests
from datamcp.stack.stack import Stack
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.states import State

WORKER = Process(
    "it", Kind.WORKER, [sys.executable, "-c", "import signal; signal.pause()"], node="it"
)


@dataclass
class Kept:
    """A stack of one worker, which only says what the test says for it; and what is told of it."""

    runtime: Runtime
    stack: Stack
    requests: Requests
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The worker that was started last."""
        return self.stack.pids["it"][-1]

    @property
    def process_id(self) -> str:
        """Its name in the ledger."""
        return nodename("it", self.pid)

    def say_present(self) -> None:
        """Let the worker say that it is there."""
        identity = Identity(
            process_id=self.process_id, kind=ProcessKind.WORKER, host=host(), pid=1, version="1"
        )
        self.runtime.presence.tell(identity, "token", 0, Condition())

    def await_line(self, word: str) -> None:
        """Wait until something is told."""
        eventually(lambda: any(word in line for line in self.lines), timeout=30)

    def claim(self) -> str:
        """Have a task that the worker runs; return its id."""
        ledger, task = TaskLedger(self.runtime.database), new_task(queue="research")
        ledger.insert(task)
        assert ledger.claim(task.task_id, "fence", self.process_id) is not None
        return task.task_id

    def keep(self, scene: Callable[[], None]) -> list[str]:
        """Keep the stack while the scene is played, then end it; return what was told."""

        def play() -> None:
            try:
                scene()
            finally:
                self.requests.count += 1

        keeper = Keeper(self.stack, self.runtime, self.requests, say=self.lines.append)
        with ThreadPoolExecutor(1) as threads:
            keeper.start()
            playing: Future[None] = threads.submit(play)
            keeper.run()
            playing.result()
        return self.lines


@pytest.fixture
def kept(postgresql_url: str, broker_url: str, key_prefix: str, tmp_path: Path) -> Iterator[Kept]:
    """Have a stack on PostgreSQL."""
    overrides = {
        "system.state_dir": str(tmp_path / "state"),
        "storage.database_url": postgresql_url,
        "broker.url": broker_url,
        "broker.key_prefix": key_prefix,
    }
    config = load(environ={}, overrides=overrides).config
    with Requests() as requests, Stack(config, [WORKER]) as stack, build(config) as runtime:
        yield Kept(runtime, stack, requests)


def test_says_when_all_are_ready(kept: Kept) -> None:
    """Once each process has said so itself; after a death that one is told alone."""

    def scene() -> None:
        kept.say_present()
        kept.await_line("ready after")
        first = kept.pid
        os.kill(first, signal.SIGKILL)
        eventually(lambda: kept.pid != first)
        kept.say_present()
        kept.await_line(f"it is ready (pid {kept.pid})")

    lines = kept.keep(scene)
    assert any("was killed by SIGKILL; started again at once" in line for line in lines)
    assert kept.runtime.presence.all() == []


def test_a_database_that_is_away_holds_up_no_restart(
    kept: Kept, databases: TestDatabases, postgresql_url: str
) -> None:
    """What the dead worker was running goes back to the queue once the ledger can be asked."""
    given_back: list[State] = []

    def scene() -> None:
        kept.say_present()
        kept.await_line("ready after")
        task_id, first = kept.claim(), kept.pid
        with database_away(databases.admin_url, postgresql_url):
            os.kill(first, signal.SIGKILL)
            eventually(lambda: kept.pid != first)
            kept.await_line("what died keeps its tasks until it answers")
        kept.await_line("1 task of it-")
        given_back.append(kept.runtime.tasks.status(task_id).state)

    kept.keep(scene)
    assert given_back == [State.QUEUED]


def test_a_record_that_can_not_be_written_is_told_and_stops_nothing(kept: Kept) -> None:
    """A full disk must not end what runs."""

    def scene() -> None:
        kept.say_present()
        kept.await_line("ready after")
        record, first = kept.stack.folder / "stack.json", kept.pid
        eventually(lambda: (told := read(kept.stack.folder)) and told.ready_at)
        record.unlink()
        record.mkdir()  # so it can't be written to
        os.kill(first, signal.SIGKILL)
        eventually(lambda: kept.pid != first)
        kept.await_line("; the stack goes on")
        record.rmdir()
        eventually(record.exists)

    kept.keep(scene)


def test_what_is_cut_short_at_the_end_goes_back(kept: Kept) -> None:
    """And is held against no task."""
    claimed: list[str] = []

    def scene() -> None:
        kept.say_present()
        kept.await_line("ready after")
        claimed.append(kept.claim())

    kept.keep(scene)
    row = TaskLedger(kept.runtime.database).get(claimed[0])
    assert row is not None
    assert (row.state, row.losses) == (State.QUEUED, 0)


def test_a_stack_whose_folder_is_removed_ends(kept: Kept) -> None:
    """Nobody could find it any more, and another one could be started in its place."""
    gone: list[Path] = []

    def scene() -> None:
        kept.say_present()
        kept.await_line("ready after")
        gone.append(kept.stack.folder.rename(kept.stack.folder.with_name("elsewhere")))
        eventually(lambda: not is_running(kept.pid), timeout=30)

    with pytest.raises(StackError, match="state was removed; its stack ends"):
        kept.keep(scene)
    assert gone[0].is_dir()
