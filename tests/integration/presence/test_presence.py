import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.databases import TestDatabases
from support.eventually import eventually
from support.outages import database_away
from support.processes import is_running
from support.workers import BEAT, SOON, Installation, on_database, worker

from datamcp import Task
from datamcp.infra.celery import nodename
from datamcp.infra.processes import Child
from datamcp.presence.process import ProcessKind, Seen


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation on PostgreSQL."""
    with on_database("postgresql", request, tmp_path_factory.mktemp("presence")) as found:
        yield found


@pytest.fixture(scope="module")
def children(installed: Installation) -> dict[str, Child]:
    """Have a worker of each implementation, and beat."""
    names = ["lab", "bench", "single", "beat"]
    commands = [
        worker("lab"),
        worker("bench", "--pool", "threads", "--concurrency", "3"),
        worker("single", "--pool", "solo"),
        BEAT,
    ]
    return dict(zip(names, installed.start(*zip(names, commands, strict=True)), strict=True))


def seen(installed: Installation, process_id: str) -> Seen | None:
    """Return what the ledger knows of a process."""
    rows = installed.runtime.presence.all()
    return next((one for one in rows if one.identity.process_id == process_id), None)


def alive_file(installed: Installation, process_id: str) -> Path:
    """Return where the heartbeat file of a process is."""
    return Path(installed.settings["system.state_dir"]) / "alive" / process_id


def test_every_kind_of_process_says_that_it_is_there(
    installed: Installation, children: dict[str, Child]
) -> None:
    """A worker of any implementation says what it serves, with how many slots; beat, when it swept."""
    rows: dict[str, Seen] = {}
    for name, child in children.items():
        process_id = nodename(name, child.pid)
        rows[name] = eventually(lambda one=process_id: seen(installed, one), timeout=SOON)
        assert rows[name].identity.pid == child.pid
        file = alive_file(installed, process_id)
        eventually(file.exists, timeout=SOON)
    workers = {name: row for name, row in rows.items() if name != "beat"}
    assert {
        name: (row.identity.implementation, row.concurrency) for name, row in workers.items()
    } == {
        "lab": ("prefork", 2),
        "bench": ("threads", 3),
        "single": ("solo", 1),
    }
    assert all(row.identity.queues == (row.identity.pool,) for row in workers.values())
    beat = rows["beat"].identity.process_id
    assert rows["beat"].identity.kind is ProcessKind.BEAT
    eventually(lambda: seen(installed, beat).swept_at, timeout=SOON)


def test_a_worker_tells_how_many_of_its_slots_are_taken(
    installed: Installation, children: dict[str, Child]
) -> None:
    """Also where a task keeps the worker itself busy, as in a pool without processes."""
    gates = {name: installed.gate() for name in ("lab", "single")}
    for name, gate in gates.items():
        hold = Task(task_type=f"{name}.hold", parameters={"gate": str(gate)})
        installed.runtime.tasks.enqueue(hold)
    for name, gate in gates.items():
        gate.await_arrival()
        process_id = nodename(name, children[name].pid)
        eventually(lambda one=process_id: seen(installed, one).busy == 1, timeout=SOON)
    for gate in gates.values():
        gate.open()


def test_a_database_that_is_away_holds_nothing_up(
    installed: Installation, children: dict[str, Child], databases: TestDatabases
) -> None:
    """The worker lives and its heartbeat file stays young; its row is renewed by itself later."""
    process_id = nodename("lab", children["lab"].pid)
    file = alive_file(installed, process_id)
    with database_away(databases.admin_url, installed.settings["storage.database_url"]):
        touched = file.stat().st_mtime_ns
        eventually(lambda: file.stat().st_mtime_ns > touched, timeout=SOON)
        eventually(lambda: "presence.delayed" in children["lab"].log_tail(50), timeout=SOON)
    before = seen(installed, process_id)
    eventually(lambda: seen(installed, process_id).seen_at > before.seen_at, timeout=SOON)
    assert installed.run("lab.echo", value=1).data == 1


def test_a_process_that_ends_in_order_leaves_no_trace(installed: Installation) -> None:
    """Neither a row nor a file."""
    names = ("lab", "beat")
    ended = installed.start(("lab", worker("lab")), ("beat", BEAT))
    ids = [nodename(name, child.pid) for name, child in zip(names, ended, strict=True)]
    eventually(lambda: installed.runtime.presence.present(ids) == set(ids), timeout=SOON)
    for child in ended:
        child.terminate()
    assert [child.wait(SOON).code for child in ended] == [0, 0]
    assert installed.runtime.presence.present(ids) == set()
    assert not any(alive_file(installed, one).exists() for one in ids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_processes_of_a_killed_worker_go_with_it(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Even in the middle of a task, which may then be given to another."""
    with on_database("sqlite", request, tmp_path) as alone:
        gate, child = alone.gate(), alone.start_worker("lab")
        alone.runtime.tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)}))
        gate.await_arrival()
        pool = [process.pid for process in psutil.Process(child.pid).children()]
        assert len(pool) == 2
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: not any(is_running(pid) for pid in pool))
