import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.processes import is_running
from support.shell import Ran, Shell, ended, shell

import datamcp
from datamcp import Runtime, Task
from datamcp.stack.record import ProcessRecord, StackRecord, read_running
from datamcp.stack.report import InstallationStatus
from datamcp.tasks.states import State

MODULE = "agents_of_up"
LAB = '''
import time
from pathlib import Path
from datamcp import BaseAgent, capability

class Lab(BaseAgent):
    agent_type = "lab"

    @capability
    def hold(self, gate: str) -> str:
        """Wait until a file is there."""
        with Path(gate + ".reached").open("a") as notes:
            notes.write("x")
        while not Path(gate).exists():
            time.sleep(0.05)
        return "passed"
'''
SETTINGS = {
    "DATAMCP_AGENTS__LAB__MODULE": f"{MODULE}:Lab",
    "DATAMCP_AGENTS__LAB__CONCURRENCY": "1",
    "DATAMCP_MONITORING__FLOWER_PORT": "0",
}
UP = ("datamcp", "up", "--only", "lab")
BEHIND = (*UP, "--no-flower", "--detach")
SOON = 90.0  # seconds in which whatever must happen does, on a busy machine


@dataclass(frozen=True)
class Laboratory:
    """A folder with an agent, the shell in it, and a runtime on the stack that runs from it."""

    shell: Shell

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.shell.folder / ".datamcp"

    @property
    def record(self) -> StackRecord:
        """What its stack tells."""
        record = read_running(self.state)
        assert record is not None
        return record

    def process(self, name: str) -> ProcessRecord:
        """Return what its stack tells of a process that runs."""
        found = next(one for one in self.record.processes if one.name == name)
        assert found.pid is not None
        return found

    def pids(self) -> list[int]:
        """Return every process of its stack, those of the processes too."""
        leader = psutil.Process(self.record.pid)
        return [leader.pid, *(child.pid for child in leader.children(recursive=True))]

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """Have a runtime on its broker, if a stack runs, and its ledger."""
        record = read_running(self.state)
        overrides = {
            "system.state_dir": str(self.state),
            "storage.database_url": f"sqlite:///{self.state}/ledger.db",
            "broker.url": "null" if record is None else str(record.broker_url),
            "agents.lab.module": f"{MODULE}:Lab",
        }
        with datamcp.connect(overrides=overrides) as runtime:
            yield runtime

    def hold(self) -> tuple[str, Path]:
        """Have a task that runs until its gate, a file, is there; return its id and the gate."""
        gate = self.shell.folder / f"gate-{os.urandom(4).hex()}"
        with self.runtime() as runtime:
            task = Task(task_type="lab.hold", parameters={"gate": str(gate)})
            task_id = runtime.tasks.enqueue(task)
        eventually(lambda: reached(gate), timeout=SOON)
        return task_id, gate

    def state_of(self, task_id: str) -> State:
        """Return the state of a task."""
        with self.runtime() as runtime:
            return runtime.tasks.status(task_id).state

    def succeeds(self, task_id: str, gate: Path) -> None:
        """Open a task's gate, and see it succeed."""
        gate.touch()
        with self.runtime() as runtime:
            assert runtime.tasks.result(task_id, timeout=SOON).success

    def is_ready(self, one: ProcessRecord) -> bool:
        """Tell whether a process has said in the ledger that it is there."""
        with self.runtime() as runtime:
            return runtime.presence.present([str(one.process_id)]) != set()


def reached(gate: Path) -> int:
    """Return how often a task has stood before its gate."""
    notes = Path(f"{gate}.reached")
    return len(notes.read_text()) if notes.exists() else 0


@pytest.fixture(scope="module", autouse=True)
def _agent_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let this process know the agent, too, so that it can enqueue."""
    folder = tmp_path_factory.mktemp("agents")
    (folder / f"{MODULE}.py").write_text(LAB)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop(MODULE, None)


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Have a folder with an agent, and settings that switch it on; its stack ends with it."""
    with shell(**SETTINGS) as user:
        (user.folder / f"{MODULE}.py").write_text(LAB)
        lab = Laboratory(user)
        try:
            yield lab
        finally:
            if read_running(lab.state) is not None:
                user.run("datamcp", "down", "--timeout", "0")


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    """Have a folder of this test's own."""
    with laboratory() as made:
        yield made


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Laboratory, Ran]]:
    """Have a folder in which a stack was started in the background, and what that printed."""
    with laboratory() as made:
        yield made, made.shell.run(*UP, "--detach")


def test_a_stack_that_starts_behind_says_where_it_is(started: tuple[Laboratory, Ran]) -> None:
    """The command ends once all is ready, and names what a user needs; the stack goes on."""
    lab, ran = started
    assert (ran.code, ran.stderr) == (0, "")
    names = [line.split()[0] for line in ran.stdout.splitlines()]
    assert names == ["broker", "ledger", "flower", "workers", "beat", "logs", "ready"]
    assert re.search(r"^workers +lab \(pid \d+\)$", ran.stdout, re.MULTILINE)
    assert os.getsid(lab.record.pid) == lab.record.pid
    assert not any("valkey" in path.name for path in lab.shell.temporary.iterdir())


def test_the_status_shows_the_stack_from_another_terminal(started: tuple[Laboratory, Ran]) -> None:
    """As JSON it is one model, as a page what a person reads."""
    lab, _ = started
    ran = lab.shell.run("datamcp", "status", "--json")
    status = InstallationStatus.model_validate_json(ran.stdout)
    assert (ran.code, ran.stderr, status.is_whole) == (0, "", True)
    assert status.stack is not None
    assert status.stack.pid == lab.record.pid
    assert {one.kind for one in status.processes} == {"worker", "beat", "flower", "broker"}
    queue = next(one for one in status.queues if one.queue == "lab")
    assert (queue.workers, queue.slots) == (1, 1)
    assert "no worker serves queue pipelines" in status.warnings
    page = lab.shell.run("datamcp", "status")
    assert (page.code, page.stderr) == (0, "")
    assert str(lab.process("lab").process_id) in page.stdout


def test_watching_looks_until_ctrl_c(started: tuple[Laboratory, Ran]) -> None:
    """Which is how it is meant to end."""
    lab, _ = started
    watching = lab.shell.start("datamcp", "status", "--watch")
    with ended(watching), watching:
        assert watching.stdout is not None
        for _ in range(2):
            eventually(lambda: watching.stdout.readline().startswith("queue "), timeout=SOON)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(SOON) == 0
        assert watching.stderr is not None
        assert watching.stderr.read() == ""


def test_a_second_stack_is_refused(started: tuple[Laboratory, Ran]) -> None:
    """In one line that names the first, and how to end it."""
    lab, _ = started
    refused = lab.shell.run(*UP)
    assert refused.code == 2
    assert f"a stack already runs from {lab.state}" in refused.error
    assert f"(pid {lab.record.pid}); `datamcp down` stops it" in refused.error


def test_whatever_is_killed_comes_back(started: tuple[Laboratory, Ran]) -> None:
    """What a dead worker was running is finished by the next; the broker's address stays."""
    lab, _ = started
    task_id, gate = lab.hold()
    before = lab.record
    for name in ("beat", "flower", "valkey", "lab"):
        old = lab.process(name)
        os.kill(old.pid or 0, signal.SIGKILL)
        eventually(lambda name=name, old=old: lab.process(name).pid != old.pid, timeout=SOON)
        assert lab.process(name).restarts == old.restarts + 1
    for name in ("beat", "lab"):
        eventually(lambda name=name: lab.is_ready(lab.process(name)), timeout=SOON)
    eventually(lambda: reached(gate) == 2, timeout=SOON)
    lab.succeeds(task_id, gate)
    assert (lab.record.pid, lab.record.broker_url) == (before.pid, before.broker_url)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_tasks_outlive_stacks(lab: Laboratory) -> None:
    """What one that was ended or killed was running, the next one runs; no process outlives it."""
    assert lab.shell.run(*BEHIND).code == 0
    task_id, gate = lab.hold()
    pids = lab.pids()
    ran = lab.shell.run("datamcp", "down", "--timeout", "0.5")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("stopped: lab, beat, valkey (pid ")
    assert not any(map(is_running, pids))
    assert list((lab.state / "alive").iterdir()) == []
    assert not (lab.state / "stack.json").exists()
    assert lab.state_of(task_id) is State.QUEUED

    assert lab.shell.run(*BEHIND).code == 0
    eventually(lambda: reached(gate) == 2, timeout=SOON)
    pids = lab.pids()
    os.kill(lab.record.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_running, pids)))
    assert (lab.state / "stack.json").exists()
    nothing = lab.shell.run("datamcp", "down")
    assert (nothing.code, nothing.stdout) == (0, "no stack runs from .datamcp\n")

    assert lab.shell.run(*BEHIND).code == 0
    eventually(lambda: reached(gate) == 3, timeout=SOON)
    lab.succeeds(task_id, gate)
    log = (lab.state / "logs" / "stack.log").read_text()
    assert "the last stack of this folder was killed" in log


def test_ctrl_c_lets_workers_finish(lab: Laboratory) -> None:
    """The stack ends with 130 once what runs is done, and leaves nothing running."""
    stack: subprocess.Popen[str] = lab.shell.start(*UP, "--no-flower")
    with ended(stack), stack:
        assert stack.stdout is not None
        eventually(lambda: "ready after" in stack.stdout.readline(), timeout=SOON)
        task_id, gate = lab.hold()
        stack.send_signal(signal.SIGINT)
        eventually(lambda: "stopping: " in stack.stdout.readline(), timeout=SOON)
        gate.touch()
        assert stack.wait(SOON) == 130
    assert lab.shell.left() == []
    assert lab.state_of(task_id) is State.SUCCEEDED


def test_a_process_that_refuses_to_start_ends_the_start(lab: Laboratory) -> None:
    """Its own error is told, with its exit code, and nothing is left running."""
    (lab.shell.folder / f"{MODULE}.py").write_text("import no_such_module\n")
    ran = lab.shell.run(*BEHIND)
    assert ran.code == 2
    assert ran.error.startswith("Error: agents.lab.module: ")
    assert "no_such_module" in ran.error
    assert ran.error.endswith("(lab did not start)")
    assert lab.shell.left() == []


def test_without_anything_the_status_says_what_to_do(lab: Laboratory) -> None:
    """One line on stderr; the folder is left as it is."""
    ran = lab.shell.run("datamcp", "status")
    assert (ran.code, ran.stdout) == (3, "")
    assert ran.error == "nothing runs from this folder; `datamcp up` starts everything"
    assert not lab.state.exists()
