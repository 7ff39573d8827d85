"""Real beats: what is written down and what is made at run time fires, once, however many there are."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.eventually import eventually
from support.workers import BEAT, SOON, START, Installation, is_ready, on_database, words_in

from datamcp import Task
from datamcp.infra.processes import Child
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.scheduling.schedule import Outcome, Source
from datamcp.tasks.states import State

ENTRIES = """
import datamcp
from celery.schedules import crontab

app = datamcp.celery
app.conf.beat_schedule = {{
    "words": {{"task": "lab.note", "schedule": 1.0, "args": ({path!r}, "entry")}},
    "later": {{"task": "lab.echo", "schedule": crontab(hour=3), "kwargs": {{"value": 1}}}},
    "wrong": {{"task": "lab.nothing", "schedule": 1.0}},
}}
"""


@pytest.fixture(params=["postgresql", "sqlite"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation without any process yet, with a schedule in its configuration."""
    folder = tmp_path_factory.mktemp("beats")
    path = str(folder / "configured")
    settings = {
        "schedules.often.schedule": "every 1s",
        "schedules.often.task": "lab.note",
        "schedules.often.parameters": f'{{"path": "{path}", "word": "${{run.fire_at}}"}}',
    }
    with on_database(request.param, request, folder, **settings) as found:
        yield found


def note(path: Path, word: str = "${run.fire_at}") -> Task:
    """Return a task that writes its time into a file."""
    return Task(task_type="lab.note", parameters={"path": str(path), "word": word})


def logs_of(installed: Installation, name: str) -> str:
    """Return what the processes of a name have written."""
    return "\n".join(log.read_text() for log in installed.folder.glob(f"{name}-*.log"))


def test_all_that_is_written_down_is_fired(installed: Installation) -> None:
    """Of the configuration, of Celery's entries, and of pipelines; what is wrong is named."""
    entries = installed.file()
    (installed.folder / "entries.py").write_text(ENTRIES.format(path=str(entries)))
    installed.runtime.pipelines.sync.register_pipeline(
        PipelineDefinition.model_validate(
            {
                "pipeline_id": "ticks",
                "schedule": "every 1s",
                "tasks": [{"task_id": "a", "processor": "lab.echo", "configuration": {"value": 1}}],
            }
        )
    )
    installed.start_worker("lab")
    (first,) = installed.start(("beat", BEAT), app="entries")
    configured = installed.folder / "configured"
    eventually(lambda: len(words_in(configured)) >= 2, timeout=SOON)
    eventually(lambda: len(words_in(entries)) >= 2, timeout=SOON)
    eventually(lambda: _succeeded_runs(installed) >= 2, timeout=SOON)
    assert set(words_in(entries)) == {"entry"}
    assert set(Counter(words_in(configured)).values()) == {1}
    sources = {one.title: one.source for one in installed.runtime.schedules.list()}
    assert sources == {
        "often": Source.CONFIG,
        "words": Source.CELERY,
        "later": Source.CELERY,
        "pipeline.ticks": Source.PIPELINE,
    }
    assert first.stop(SOON).code == 0
    assert "beat_schedule['wrong'] is not fired: unknown task type" in logs_of(installed, "beat")
    times = [datetime.fromisoformat(word) for word in words_in(configured)]
    assert all(at.tzinfo is not None for at in times)


def _succeeded_runs(installed: Installation) -> int:
    runs = installed.runtime.pipelines.sync.list_runs(pipeline_id="ticks", limit=10)
    assert all(run.triggered_by == "schedule pipeline.ticks" for run in runs)
    return sum(run.state == "succeeded" for run in runs)


def test_three_beats_fire_each_time_once(installed: Installation) -> None:
    """Also what is added while they sleep, changed, and removed again, without a restart."""
    scheduler, path = installed.runtime.scheduler.sync, installed.file()
    installed.start_worker("lab")
    installed.start(*[(f"beat-{number}", BEAT) for number in range(3)])
    kept = scheduler.schedule_task(note(path), "every 0.5s", misfire="catch_up", name="fast")
    eventually(lambda: len(words_in(path)) >= 6, timeout=SOON)
    scheduler.update_schedule("fast", schedule="every 10m")
    assert [one.outcome for one in scheduler.firings("fast", 3)] == [Outcome.FIRED] * 3
    fired = scheduler.get_schedule(kept).fired
    eventually(lambda: len(words_in(path)) == fired, timeout=SOON)
    words = words_in(path)
    assert set(Counter(words).values()) == {1}
    created = scheduler.get_schedule(kept).created_at
    expected = [created + timedelta(seconds=0.5 * number) for number in range(1, fired + 1)]
    assert sorted(map(datetime.fromisoformat, words)) == expected
    assert scheduler.cancel_task(kept)
    assert scheduler.list_schedules()[0].title == "often"


def test_a_one_off_is_fired_and_tells_how_it_went(installed: Installation) -> None:
    """By its schedule's id; it was due at its instant, and not before."""
    scheduler, path = installed.runtime.scheduler.sync, installed.file()
    installed.start_worker("lab")
    installed.start(("beat", BEAT))
    at = installed.runtime.schedules.store.now() + timedelta(seconds=1.5)
    kept = scheduler.schedule_task(note(path), at.isoformat())
    status = scheduler.get_task_status(kept)
    assert (status.state, status.scheduled_at) == (State.SCHEDULED, at.astimezone(UTC))
    eventually(lambda: scheduler.get_task_status(kept).state is State.SUCCEEDED, timeout=SOON)
    started = scheduler.get_task_status(kept).started_at
    assert started is not None
    assert started >= at
    assert words_in(path) == [at.astimezone(UTC).isoformat()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_beat_in_order(installed: Installation, number: signal.Signals) -> None:
    """At any moment from when it says that it starts; Celery's own may fail halfway."""
    command = [sys.executable, "-m", "celery", "-A", "datamcp", *BEAT]
    beats = [_start(installed, f"early-{count}", command) for count in range(3)]
    for beat in beats:
        eventually(lambda beat=beat: is_ready(beat), timeout=START)
        os.kill(beat.pid, number)
    for beat in beats:
        ended = beat.wait(SOON)
        assert ended is not None
        assert ended.code == 0, beat.log_tail(20)
        assert "Traceback" not in beat.log_path.read_text()


def _start(installed: Installation, name: str, command: list[str]) -> Child:
    return installed.supervisor.start(
        name,
        command,
        log_path=installed.folder / f"{name}.log",
        env=installed.environment,
        cwd=installed.folder,
    )
