"""What is seen of an installation, and what of that is told in words."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from datamcp.bootstrap.runtime import build
from datamcp.cli.status_page import status_page
from datamcp.config.loader import load
from datamcp.presence.process import Identity, ProcessKind, Seen
from datamcp.stack.merge import merged
from datamcp.stack.process import Kind
from datamcp.stack.record import ProcessRecord, StackRecord
from datamcp.stack.report import (
    InstallationStatus,
    ProcessState,
    ProcessStatus,
    QueueStatus,
    SchedulesStatus,
    ServiceStatus,
    StackPart,
)
from datamcp.stack.status import StatusLook, totals
from datamcp.stack.warnings import length, warnings
from datamcp.tasks.figures import Running

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
UP = ServiceStatus(url="redis://here", answers=True)


def seen(name: str, kind: ProcessKind = ProcessKind.WORKER, **fields: Any) -> Seen:
    """Return a process that was seen just now."""
    is_worker = kind is ProcessKind.WORKER
    identity = Identity(
        process_id=f"{name}-1@here",
        kind=kind,
        host="here",
        pid=1,
        version="1",
        pool=name if is_worker else None,
        queues=(name,) if is_worker else (),
        implementation="prefork" if is_worker else None,
    )
    usual = {
        "concurrency": 4 if is_worker else None,
        "busy": 1 if is_worker else None,
        "draining": False,
        "started_at": NOW - timedelta(hours=1),
        "seen_at": NOW - timedelta(seconds=2),
        "swept_at": None if is_worker else NOW - timedelta(seconds=2),
    }
    return Seen(identity=identity, **{**usual, **fields})


def ours(name: str, kind: Kind = Kind.WORKER, **fields: Any) -> ProcessRecord:
    """Return what a stack tells of a process."""
    usual = {"pid": 1, "process_id": f"{name}-1@here", "pool": name, "started_at": NOW}
    return ProcessRecord(name=name, kind=kind, **{**usual, **fields})


def stack(*processes: ProcessRecord) -> StackRecord:
    """Return the record of a stack."""
    return StackRecord(
        pid=1, birth=None, host="here", started_at=NOW, logs=Path("logs"), processes=processes
    )


def states(record: StackRecord | None, *found: Seen) -> dict[str, ProcessState]:
    """Return the state of each process."""
    return {one.name: one.state for one in merged(record, found, NOW, {Kind.FLOWER})}


def test_processes_are_known_wherever_they_were_started() -> None:
    """Those of this folder's stack and those of others; each once, in the order of their kinds."""
    beat = seen("beat", ProcessKind.BEAT)
    found = merged(stack(ours("lab", restarts=2)), [beat, seen("lab"), seen("far")], NOW)
    assert [(one.name, one.restarts) for one in found] == [
        ("far-1@here", None),
        ("lab-1@here", 2),
        ("beat-1@here", None),
    ]


def test_a_process_is_as_ready_as_it_says() -> None:
    """What is started and says nothing yet is not; what was heard long ago may be gone."""
    late, gone = NOW - timedelta(seconds=21), NOW - timedelta(minutes=6)
    left = [seen("c", seen_at=late), seen("d", seen_at=gone)]
    assert states(None, seen("a"), seen("b", draining=True), *left) == {
        "a-1@here": ProcessState.READY,
        "b-1@here": ProcessState.DRAINING,
        "c-1@here": ProcessState.SILENT,
    }
    dead = ours("dead", pid=None, starts_at=NOW)
    silent = {"process_id": None, "pool": None}
    flower, broker = ours("flower", Kind.FLOWER, **silent), ours("valkey", Kind.BROKER, **silent)
    assert states(stack(ours("new"), dead, flower, broker), seen("dead")) == {
        "new-1@here": ProcessState.STARTING,
        "dead-1@here": ProcessState.DEAD,
        "flower": ProcessState.STARTING,
        "valkey": ProcessState.READY,
    }


def report(
    *processes: ProcessStatus, queues: tuple[QueueStatus, ...] = (), **fields: Any
) -> InstallationStatus:
    """Return a report of an installation whose services answer."""
    usual = {
        "at": NOW,
        "stack": None,
        "broker": UP,
        "ledger": UP,
        "flower": None,
        "queues": queues,
        "processes": processes,
        "totals": totals(queues, processes, 0),
    }
    return InstallationStatus(**{**usual, **fields})


def told(status: InstallationStatus, running: Mapping[str, Running] | None = None) -> list[str]:
    """Return what is told of a report."""
    return list(warnings(status, running=running or {}, version="1"))


BEAT, LAB = merged(None, [seen("beat", ProcessKind.BEAT), seen("lab")], NOW)[::-1]


def lab_queue(**fields: Any) -> QueueStatus:
    """Return a queue that a worker serves."""
    usual = {"queue": "lab", "ready": 0, "queued": 0, "running": 0, "failed": 0, "workers": 1}
    return QueueStatus(**{**usual, **fields})


def test_nothing_is_told_where_all_is_well() -> None:
    """Tasks that wait behind others, and those that failed, are no fault of the installation."""
    busy = LAB.model_copy(update={"busy": 4})
    assert told(report(BEAT, busy, queues=(lab_queue(queued=9, waiting=900.0, failed=3),))) == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            report(BEAT, queues=(lab_queue(workers=0, queued=12, ready=3),)),
            "no worker serves queue lab: 12 tasks wait",
        ),
        (
            report(BEAT, queues=(lab_queue(workers=0, ready=1),)),
            "no worker serves queue lab: 1 task waits",
        ),
        (report(BEAT, queues=(lab_queue(workers=0),)), "no worker serves queue lab"),
        (
            report(
                BEAT,
                LAB.model_copy(update={"state": ProcessState.STARTING}),
                queues=(lab_queue(workers=0, queued=2),),
            ),
            "no worker serves queue lab yet: 2 tasks wait",
        ),
        (
            report(BEAT, LAB, queues=(lab_queue(queued=1, waiting=125.0),)),
            "queue lab: a task has waited for 2 min while 3 slots are free",
        ),
        (report(LAB), "no beat runs: nothing that is due or was lost is sent"),
        (
            report(LAB, totals=totals((), (), 3)),
            "no beat runs: nothing that is due or was lost is sent: 3 tasks are overdue",
        ),
        (
            report(BEAT, totals=totals((), (), 1)),
            "beat runs, and yet 1 task is overdue",
        ),
        (
            report(BEAT.model_copy(update={"swept_at": NOW - timedelta(seconds=40)})),
            "beat-1@here has not swept for 40 s: see its log",
        ),
        (
            report(
                BEAT,
                LAB.model_copy(
                    update={
                        "state": ProcessState.SILENT,
                        "seen_at": NOW - timedelta(seconds=35),
                    }
                ),
            ),
            "lab-1@here was not seen for 35 s",
        ),
        (
            report(
                BEAT,
                LAB.model_copy(
                    update={
                        "state": ProcessState.DEAD,
                        "starts_at": NOW + timedelta(seconds=8),
                        "restarts": 4,
                        "started_at": NOW,
                    }
                ),
            ),
            "lab-1@here has died; it is started again in 8 s",
        ),
        (
            report(BEAT, LAB.model_copy(update={"restarts": 3, "started_at": NOW})),
            "lab-1@here was started again 3 times: see its log",
        ),
        (
            report(BEAT, LAB.model_copy(update={"version": "0.9"})),
            "lab-1@here runs datamcp 0.9; this is 1",
        ),
        (
            report(BEAT, flower=ServiceStatus(url="http://here:5555", answers=False)),
            "Flower does not answer at http://here:5555",
        ),
        (
            report(
                BEAT,
                stack=StackPart(
                    pid=1,
                    host="here",
                    started_at=NOW,
                    ready_at=NOW,
                    logs="logs",
                    disk_free=12_582_912,
                ),
            ),
            "the disk of the state folder has only 12 MB left",
        ),
        (
            report(broker=ServiceStatus(url="redis://here", answers=False, error="broker is away")),
            "broker is away",
        ),
    ],
)
def test_what_needs_somebody_is_told(status: InstallationStatus, said: str) -> None:
    """In one line each, which says how bad it is."""
    assert said in told(status)


def test_tasks_of_the_dead_are_told() -> None:
    """Those of a worker that has not said yet that it is there are not."""
    long_ago, just_now = NOW - timedelta(minutes=1), NOW - timedelta(seconds=5)
    running = {
        "lab-1@here": Running(1, long_ago),
        "gone-1@here": Running(2, long_ago),
        "new-1@here": Running(1, just_now),
    }
    assert told(report(BEAT, LAB), running) == ["2 tasks run under gone-1@here, which is not there"]


def test_what_is_not_known_is_not_judged() -> None:
    """Without the ledger nobody can tell who is there; the page shows what is known."""
    away = ServiceStatus(url="postgresql://here", answers=False, error="database is unreachable")
    status = report(queues=(QueueStatus(queue="lab", ready=3),), ledger=away)
    assert told(status) == ["database is unreachable"]
    assert not status.is_whole
    assert status.totals.model_dump(exclude={"workers", "slots", "busy", "beats"}) == {
        "ready": 3,
        "queued": None,
        "running": None,
        "failed": None,
        "overdue": 0,
    }
    lines = page(status)
    assert any(line.split() == ["lab", "3", "?", "?", "?", "?", "?"] for line in lines)
    assert any("postgresql://here  does not answer" in line for line in lines)


def page(status: InstallationStatus) -> list[str]:
    """Return the lines of a page on 80 columns."""
    console = Console(file=StringIO(), width=80, highlight=False)
    with console.capture() as captured:
        console.print(status_page(status))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_page_fits_a_terminal() -> None:
    """Nothing is cut; a long name of a host is folded."""
    far = "lab-123456@" + "a-host-of-some-length." * 3 + "example.org"
    worker = LAB.model_copy(update={"name": far, "restarts": 0})
    queue = lab_queue(ready=1_234_567, queued=1_234_567, waiting=90_000.0, slots=4)
    status = report(BEAT, worker, queues=(queue,))
    lines = page(status.model_copy(update={"warnings": tuple(told(status))}))
    assert not any("…" in line for line in lines)
    assert any("1,234,567" in line for line in lines)
    assert any("1 d 1 h" in line for line in lines)
    assert lines[-1].startswith("! queue lab: a task has waited for 1 d 1 h")
    assert page(report(BEAT))[-1] == "all is well"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (7500, "2 h 05 min")],
)
def test_lengths_are_brief(seconds: float, said: str) -> None:
    """As exact as anybody wants to know."""
    assert length(timedelta(seconds=seconds)) == said


def test_looking_where_nothing_is_makes_nothing(tmp_path: Path) -> None:
    """Neither a ledger nor a folder; what is missing is told."""
    state = tmp_path / "state"
    config = load(environ={}, overrides={"system.state_dir": str(state)}).config
    with build(config) as runtime:
        status = StatusLook(runtime, version="1").look()
    assert not status.is_whole
    assert (status.stack, status.flower, status.processes) == (None, None, ())
    assert [one.error is None for one in (status.broker, status.ledger)] == [False, False]
    assert status.warnings == ("nothing runs from this folder; `datamcp up` starts everything",)
    assert not state.exists()


def test_an_empty_installation_is_seen_whole(
    sqlite_url: str, broker_url: str, key_prefix: str
) -> None:
    """Every queue of the configuration is shown, also one that only an agent's worker serves."""
    overrides = {
        "storage.database_url": sqlite_url,
        "broker.url": broker_url,
        "broker.key_prefix": key_prefix,
        "agents.research.queues": "extra",
    }
    with build(load(environ={}, overrides=overrides).config) as runtime:
        status = StatusLook(runtime, version="1").look()
    assert status.is_whole
    queues = {one.queue: one for one in status.queues}
    assert {"pipelines", "research", "extra"} <= set(queues)
    assert (queues["extra"].ready, queues["extra"].queued, queues["extra"].workers) == (0, 0, 0)
    assert "no beat runs: nothing that is due or was lost is sent" in status.warnings


@pytest.mark.parametrize(
    ("schedules", "line", "said"),
    [
        (None, "", False),
        (SchedulesStatus(count=0, paused=0), "", False),
        (
            SchedulesStatus(count=1200, paused=3, due_in=90.0, lateness=0.012),
            "1,200 (3 paused), next in 1 min, the last fired 0.01 s late",
            False,
        ),
        (SchedulesStatus(count=2, paused=2), "2 (2 paused)", False),
        (SchedulesStatus(count=2, paused=0, due_in=-1.0, overdue=1.0), "2, next in 0 s", False),
        (SchedulesStatus(count=2, paused=0, due_in=-40.0, overdue=40.0), "overdue by 40 s", True),
    ],
)
def test_schedules_are_told_in_a_line(
    schedules: SchedulesStatus | None, line: str, said: bool
) -> None:
    """And in a warning, where beats run and one is due all the same."""
    status = report(BEAT, schedules=schedules)
    shown = [text for text in page(status) if text.startswith("schedules")]
    assert [line in text for text in shown] == [True] * bool(line)
    late = "beat runs, and yet a schedule has been due for 40 s: see its log"
    assert told(status) == [late] * said
