import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.processes import is_running

from datamcp.errors import ConfigError, StackError
from datamcp.infra.identity import await_end, birth, is_same, send
from datamcp.stack.detached import DetachedStack
from datamcp.stack.ending import end
from datamcp.stack.leftovers import clear
from datamcp.stack.lock import sole_stack
from datamcp.stack.process import Kind
from datamcp.stack.record import ProcessRecord, StackRecord, read, read_running, write

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def record(folder: Path, *processes: ProcessRecord, pid: int = 1, born: str | None = None) -> None:
    """Leave a record as a stack does."""
    left = StackRecord(
        pid=pid,
        birth=born,
        host="elsewhere",
        started_at=NOW,
        logs=folder,
        processes=processes,
        owed=("old-1@here",),
    )
    write(folder, left)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """Have a process that leads its own group."""
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(program, start_new_session=True) as process:
        yield process
        process.kill()


def test_a_record_comes_back_and_is_for_its_owner_only(tmp_path: Path) -> None:
    """It may hold passwords. It counts as running only while its stack holds the lock."""
    record(tmp_path, ProcessRecord(name="lab", kind=Kind.WORKER, pid=7))
    found = read(tmp_path)
    assert found is not None
    assert found.processes[0].pid == 7
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert read_running(tmp_path) is None
    with sole_stack(tmp_path):
        assert read_running(tmp_path) == found


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}'])
def test_a_record_that_can_not_be_read_is_none(tmp_path: Path, content: str) -> None:
    """Whoever wrote it."""
    (tmp_path / "stack.json").write_text(content)
    assert read(tmp_path) is None
    assert clear(tmp_path) is None


def test_a_folder_belongs_to_one_stack(tmp_path: Path) -> None:
    """A second one is told whose it is, as far as that is known; a third finds it free."""
    with sole_stack(tmp_path):
        with (
            pytest.raises(ConfigError, match=r"already runs from .*; `datamcp down`"),
            sole_stack(tmp_path),
        ):
            pass
        record(tmp_path, pid=42)
        with pytest.raises(ConfigError, match=r"\(pid 42\)"):
            DetachedStack(tmp_path, [], {})
    with sole_stack(tmp_path):
        pass


def test_a_process_is_told_from_another_of_its_id(sleeper: "subprocess.Popen[bytes]") -> None:
    """A signal reaches only the one that is meant, and never a stranger."""
    born = birth(sleeper.pid)
    assert birth(os.getpid()) != born
    assert is_same(sleeper.pid, born)
    assert not send(sleeper.pid, "another boot 1", signal.SIGKILL)
    assert not send(sleeper.pid, None, signal.SIGKILL)
    assert not await_end(sleeper.pid, born, 0.0)
    assert send(sleeper.pid, born, signal.SIGKILL)
    assert await_end(sleeper.pid, born, 10.0)
    assert birth(sleeper.pid) is None  # dead, if not yet reaped
    assert not send(sleeper.pid, born, signal.SIGKILL)


def test_what_a_killed_stack_left_is_ended_and_owed(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """Only processes that are still the ones it meant; all of its workers' tasks are given back."""
    mine = ProcessRecord(
        name="lab",
        kind=Kind.WORKER,
        pid=sleeper.pid,
        birth=birth(sleeper.pid),
        process_id="lab-1@here",
    )
    stranger = mine.model_copy(
        update={"pid": os.getpid(), "birth": "another boot 1", "process_id": "lab-2@here"}
    )
    record(tmp_path, mine, stranger)
    (tmp_path / "alive").mkdir()
    (tmp_path / "alive" / "lab-1@here").touch()
    left = clear(tmp_path)
    assert left is not None
    assert (left.ended, left.owed) == (1, ("lab-1@here", "lab-2@here", "old-1@here"))
    assert not is_running(sleeper.pid)
    assert list((tmp_path / "alive").iterdir()) == []
    assert clear(tmp_path) is None


def test_no_stack_can_be_ended_where_none_runs(tmp_path: Path) -> None:
    """A record that a killed one left is none."""
    assert end(tmp_path, None) is None
    record(tmp_path, pid=os.getpid(), born=birth(os.getpid()))
    assert end(tmp_path, None) is None


def test_a_stack_of_another_machine_is_not_ended_from_here(tmp_path: Path) -> None:
    """A process that has its id here is a stranger."""
    with sole_stack(tmp_path):
        with pytest.raises(StackError, match="is only starting"):
            end(tmp_path, None)
        record(tmp_path, pid=os.getpid(), born="another boot 1")
        with pytest.raises(StackError, match=r"of elsewhere\) is no process of this machine"):
            end(tmp_path, None)
