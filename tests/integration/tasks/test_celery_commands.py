"""Celery's own commands, as users type them."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from celery.exceptions import TimeoutError as NotYet
from support.eventually import eventually
from support.workers import BEAT, SOON, Installation, on_database, worker

from datamcp import Task
from datamcp.tasks.states import State


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with workers of both agents, and beat."""
    with on_database("sqlite", request, tmp_path_factory.mktemp("commands")) as found:
        found.start(("bench", worker("bench")), ("lab", worker("lab")), ("beat", BEAT))
        yield found


def celery(installed: Installation, *words: str, code: int = 0) -> str:
    """Type a command; return what it prints, after it ended with this code."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "datamcp", *words],
        cwd=installed.folder,
        env=installed.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout.strip() if code == 0 else done.stderr.strip()


def everybody(installed: Installation) -> tuple[str, ...]:
    """Return the options that name all workers: then Celery waits for no more answers."""
    agents = [installed.run("bench.add", a=1).agent_id, installed.run("lab.echo", value=1).agent_id]
    return ("-t", "20", "-d", ",".join(map(str, agents)))


def inspected(installed: Installation, command: str, *words: str) -> dict[str, object]:
    """Return what the workers answer to a command, by the agent types that they serve."""
    to_all = everybody(installed)
    answers = json.loads(celery(installed, "inspect", command, "--json", *to_all, *words))
    return {name.partition("-")[0]: answer for name, answer in answers.items()}


def test_workers_answer(installed: Installation) -> None:
    """`status` and `inspect registered` see each of them."""
    assert "2 nodes online" in celery(installed, "status", *everybody(installed))
    registered = inspected(installed, "registered")
    assert "bench.add" in str(registered["bench"])
    assert "lab.echo" in str(registered["lab"])


@pytest.mark.thorough
def test_workers_answer_otherwise(installed: Installation) -> None:
    """So do `inspect ping` and `stats`."""
    assert inspected(installed, "ping") == {"bench": {"ok": "pong"}, "lab": {"ok": "pong"}}
    assert "max-concurrency" in str(inspected(installed, "stats")["bench"])


def test_what_runs_is_shown(installed: Installation) -> None:
    """`active` and `query_task` know the task by its id; the others hold nothing."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    task_id = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)}))
    gate.await_arrival()
    assert task_id in str(inspected(installed, "active")["lab"])
    assert task_id in str(inspected(installed, "query_task", task_id)["lab"])
    assert inspected(installed, "reserved") == {"bench": [], "lab": []}
    gate.open()
    assert tasks.result(task_id, timeout=SOON).success


def test_the_installation_is_described(installed: Installation) -> None:
    """`report` and `list bindings` show settings and queues, and no password."""
    assert "software -> celery:5.7" in celery(installed, "report")
    assert {"bench", "lab", "pipelines"} <= set(celery(installed, "list", "bindings").split())


def test_a_call_is_made_and_its_result_read(installed: Installation) -> None:
    """Of plain calls, and of any other task."""
    called = celery(installed, "call", "bench.add", "--args", "[1]", "--kwargs", '{"b": 4}')
    assert celery(installed, "result", called) == "5"
    enqueued = installed.runtime.tasks.enqueue(Task(task_type="bench.add", parameters={"a": 7}))
    assert celery(installed, "result", enqueued) == "7"


def test_a_call_that_is_refused_is_told_in_a_line(installed: Installation) -> None:
    """Without a traceback."""
    told = celery(installed, "call", "bench.ad", code=2)
    assert told == "Error: unknown task type 'bench.ad'; did you mean 'bench.add'?"
    told = celery(installed, "call", "bench.add", "--args", '["x"]', code=2)
    assert told.startswith("Error: invalid parameters for bench.add: a: ")


def test_a_call_may_be_due_later_and_expire(installed: Installation) -> None:
    """`--countdown`, `--eta` and `--expires` are kept in the ledger."""
    tasks = installed.runtime.tasks
    soon = celery(installed, "call", "bench.add", "--args", "[1]", "--countdown", "1")
    assert tasks.result(soon, timeout=SOON).data == 1
    far = ["--eta", "2100-01-01T00:00:00+00:00", "--expires", "1"]
    never = celery(installed, "call", "bench.add", "--args", "[1]", *far)
    eventually(lambda: tasks.status(never).state is State.CANCELLED, timeout=SOON)
    assert tasks.result(never).error_code == "expired"


def test_a_task_is_revoked(installed: Installation) -> None:
    """`control revoke` cancels what waits; `control terminate` ends what runs."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    waiting = celery(installed, "call", "bench.add", "--args", "[1]", "--countdown", "3600")
    celery(installed, "control", "revoke", *everybody(installed), waiting)
    assert tasks.status(waiting).state is State.CANCELLED
    running = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)}))
    gate.await_arrival()
    celery(installed, "control", "terminate", *everybody(installed), "SIGTERM", running)
    assert tasks.result(running, timeout=SOON).state is State.CANCELLED
    assert installed.run("lab.echo", value=1).data == 1


def test_a_purge_loses_no_task(installed: Installation) -> None:
    """Messages are hints: beat sends them anew."""
    tasks, gates = installed.runtime.tasks, [installed.gate(), installed.gate()]
    for gate in gates:
        tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate)}))
        gate.await_arrival()
    task_id = tasks.enqueue(Task(task_type="lab.echo", parameters={"value": 1}))
    eventually(lambda: installed.runtime.depths.ready("lab") == 1, timeout=SOON)
    assert "Purged 1 message" in celery(installed, "purge", "-f")
    for gate in gates:
        gate.open()
    assert tasks.result(task_id, timeout=SOON).data == 1


def test_a_setting_of_a_worker_is_changed(installed: Installation) -> None:
    """Remote control is Celery's."""
    told = celery(installed, "control", "rate_limit", *everybody(installed), "bench.add", "100/s")
    assert "new rate limit set successfully" in told
    assert installed.run("bench.add", a=1).data == 1


def test_events_are_shown(installed: Installation) -> None:
    """`events --dump` tells of each task: received, started, done."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "celery", "-A", "datamcp", "events", "--dump"],
        cwd=installed.folder,
        env=installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as dump:
        try:
            assert dump.stdout is not None
            next(line for line in dump.stdout if "heartbeat" in line)
            task_id = installed.runtime.tasks.enqueue(
                Task(task_type="bench.add", parameters={"a": 1})
            )
            told = ""
            for line in dump.stdout:
                told += line if task_id in line else ""
                if "succeeded" in told:
                    break
        finally:
            dump.kill()
    assert told.index("received") < told.index("started") < told.index("succeeded")


def test_a_result_says_what_the_ledger_knows(installed: Installation) -> None:
    """Where the result backend was told nothing."""
    app, tasks, gate = installed.runtime.app, installed.runtime.tasks, installed.gate()
    held = tasks.enqueue(Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "w"}))
    gate.await_arrival()
    result = app.AsyncResult(held)
    assert (result.state, result.ready()) == ("STARTED", False)
    with pytest.raises(NotYet):
        result.get(timeout=0.1)
    gate.open()
    assert result.get(timeout=SOON) == "w"
    assert (result.state, result.successful(), result.result) == ("SUCCESS", True, "w")
    failed = app.AsyncResult(tasks.enqueue(Task(task_type="lab.fail")))
    with pytest.raises(Exception, match="on request"):
        failed.get(timeout=SOON)
    assert (failed.state, failed.failed()) == ("FAILURE", True)
    assert app.AsyncResult("of nobody").state == "PENDING"
