"""`rt.scheduler`: everything that can be done with schedules, plainly and on an event loop."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.inline import calculating, copied

from datamcp import Task
from datamcp.errors import (
    ConfigError,
    InvalidParametersError,
    InvalidPipelineError,
    InvalidScheduleError,
    PipelineNotFoundError,
    ResultTimeoutError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    TaskError,
    TaskNotFoundError,
    UnknownTaskTypeError,
)
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.scheduling.schedule import Kind, Outcome, Source
from datamcp.scheduling.scheduler import SyncTaskScheduler
from datamcp.scheduling.schedules import MOST_BACKFILLED
from datamcp.scheduling.target import TaskTarget
from datamcp.tasks.states import State
from datamcp.testing import FakeClock, InlineRuntime, drain

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
ADD = Task(task_type="calc.add", parameters={"a": 1})


@pytest.fixture(params=["sqlite", "postgresql"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InlineRuntime]:
    """Have a runtime without workers, on both databases."""
    if request.param == "sqlite":
        url = copied(request.getfixturevalue("sqlite_template"), tmp_path / "db")
    else:
        url = request.getfixturevalue("postgresql_url")
    with calculating(tmp_path, url, FakeClock(START)) as found:
        yield found


@pytest.fixture
def scheduler(runtime: InlineRuntime) -> SyncTaskScheduler:
    """Return its plain scheduler."""
    return runtime.scheduler.sync


def second(number: float) -> datetime:
    """Return the instant so many seconds after the start."""
    return START + timedelta(seconds=number)


def pipeline(**fields: Any) -> PipelineDefinition:
    """Return a pipeline of one step."""
    step = {"task_id": "a", "processor": "calc.add", "configuration": {"a": 1}}
    return PipelineDefinition.model_validate({"pipeline_id": "one", "tasks": [step], **fields})


class TestTasks:
    def test_at_once(self, scheduler: SyncTaskScheduler) -> None:
        """It returns how the task ended, well or not."""
        assert scheduler.execute_immediate(ADD).data == 1
        bad = Task(task_type="calc.divide", parameters={"a": 1, "b": 0})
        assert scheduler.execute_immediate(bad).state is State.FAILED
        with pytest.raises(UnknownTaskTypeError):
            scheduler.execute_immediate(Task(task_type="calc.ad"))

    def test_time_may_run_out(self, runtime: InlineRuntime) -> None:
        """The task goes on."""
        later = ADD.model_copy(update={"scheduled_at": second(60)})
        with pytest.raises(ResultTimeoutError):
            runtime.scheduler.sync.execute_immediate(later, timeout=0.01)

    def test_status_and_cancel_take_tasks_too(
        self, runtime: InlineRuntime, scheduler: SyncTaskScheduler
    ) -> None:
        """By their ids."""
        task_id = runtime.tasks.enqueue(ADD)
        assert scheduler.get_task_status(task_id).state is State.QUEUED
        assert scheduler.cancel_task(task_id)
        assert not scheduler.cancel_task(task_id)
        with pytest.raises(TaskNotFoundError):
            scheduler.get_task_status("nobody")
        with pytest.raises(TaskNotFoundError):
            scheduler.cancel_task("nobody")


class TestSchedules:
    def test_a_task_is_fired(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """`drain` fires what is due by the clock of the test."""
        kept = scheduler.schedule_task(ADD, "*/5 * * * *", name="fives")
        status = scheduler.get_task_status(kept)
        assert (status.state, status.scheduled_at) == (State.SCHEDULED, second(300))
        assert (status.task_type, status.queue) == ("calc.add", "calc")
        assert drain(runtime) == []
        runtime.clock.advance(minutes=5)
        (result,) = drain(runtime)
        assert result.data == 1
        assert scheduler.get_schedule("fives").fired_id == result.task_id
        assert scheduler.get_task_status(kept).scheduled_at == second(600)

    def test_a_one_off_ends_as_its_task_does(
        self, runtime: InlineRuntime, scheduler: SyncTaskScheduler
    ) -> None:
        """Its status is that of the task from then on."""
        kept = scheduler.schedule_task(ADD, "2026-05-01T15:30", timezone="Europe/Berlin")
        waiting = scheduler.get_task_status(kept)
        assert (waiting.state, waiting.scheduled_at) == (State.SCHEDULED, second(5400))
        runtime.clock.advance(minutes=90)
        drain(runtime)
        status = scheduler.get_task_status(kept)
        assert (status.state, status.attempt) == (State.SUCCEEDED, 1)
        assert not scheduler.preview(kept)

    def test_the_id_is_the_tasks_where_it_has_one(self, scheduler: SyncTaskScheduler) -> None:
        """A second one with it is refused."""
        named = ADD.model_copy(update={"task_id": "mine"})
        assert scheduler.schedule_task(named, "@daily") == "mine"
        with pytest.raises(ScheduleExistsError):
            scheduler.schedule_task(named, "@hourly")
        assert scheduler.get_schedule("mine").spec.schedule == "@daily"

    @pytest.mark.parametrize(
        ("task", "schedule", "options", "error", "message"),
        [
            (ADD, "61 * * * *", {}, InvalidScheduleError, "minute"),
            (ADD, "2020-01-01T00:00Z", {}, InvalidScheduleError, "still to come"),
            (ADD, "@daily", {"timezone": "Europe/Berln"}, InvalidScheduleError, "Europe/Berlin"),
            (ADD, "@daily", {"misfire": "maybe"}, InvalidScheduleError, "misfire"),
            (ADD, "@daily", {"overlap": "maybe"}, InvalidScheduleError, "overlap"),
            (ADD, "@daily", {"jitter": -1}, InvalidScheduleError, "jitter"),
            (ADD, "@daily", {"start": second(9), "end": second(8)}, InvalidScheduleError, "end"),
            (ADD, "@daily", {"start": datetime(2026, 1, 1)}, InvalidScheduleError, "timezone"),  # noqa: DTZ001  what is wrong
            (ADD, "@daily", {"endd": second(9)}, InvalidScheduleError, "endd"),
            (ADD, "@daily", {"end": second(9)}, InvalidScheduleError, "still to come"),
            (ADD, "@daily", {"name": ""}, InvalidScheduleError, "a name has"),
            (Task(task_type="calc.ad"), "@daily", {}, UnknownTaskTypeError, "calc.add"),
            (Task(task_type="calc.add"), "@daily", {}, InvalidParametersError, "a"),
            (ADD.model_copy(update={"scheduled_at": START}), "@daily", {}, TaskError, "leave out"),
            (
                ADD.model_copy(update={"idempotency_key": "k"}),
                "@daily",
                {},
                TaskError,
                "all firings",
            ),
        ],
    )
    def test_what_is_wrong_is_told_at_once(
        self,
        scheduler: SyncTaskScheduler,
        task: Task,
        schedule: str,
        options: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        """And nothing is kept."""
        with pytest.raises(error, match=message):
            scheduler.schedule_task(task, schedule, **options)
        assert scheduler.list_schedules() == []

    def test_changes(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """Of times, policies, parameters and the note; what is left out stays."""
        scheduler.schedule_task(ADD, "every 10s", name="one", misfire="catch_up", note="first")
        runtime.clock.advance(seconds=4)
        changed = scheduler.update_schedule("one", overlap="skip", parameters={"a": 7})
        assert changed.next_fire_at == second(10)
        assert (changed.spec.misfire, changed.spec.overlap) == ("catch_up", "skip")
        assert changed == scheduler.get_schedule("one")
        retimed = scheduler.update_schedule("one", schedule="every 1m", note="second")
        assert (retimed.next_fire_at, retimed.note) == (second(60), "second")
        runtime.clock.advance(seconds=60)
        assert [result.data for result in drain(runtime)] == [7]
        other = scheduler.update_schedule("one", task=Task(task_type="calc.name"))
        assert isinstance(other.target, TaskTarget)
        assert other.target.title == "calc.name"
        for wrong in ({"schedule": "never"}, {"parameters": {"b": 1}}, {"colour": "red"}):
            with pytest.raises((ScheduleError, TaskError)):
                scheduler.update_schedule("one", **wrong)
        assert scheduler.get_schedule("one") == other

    def test_one_that_is_changed_while_it_is_due_fires_as_it_then_is(
        self, runtime: InlineRuntime, scheduler: SyncTaskScheduler
    ) -> None:
        """What was due before is not fired by other times."""
        scheduler.schedule_task(ADD, "every 10s", name="one")
        runtime.clock.advance(seconds=15)
        scheduler.update_schedule("one", parameters={"a": 2})
        assert [result.data for result in drain(runtime)] == [2]
        runtime.clock.advance(seconds=10)
        scheduler.update_schedule("one", schedule="every 1h")
        assert drain(runtime) == []

    def test_pause_and_resume(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """With a note; what passes meanwhile is left out."""
        kept = scheduler.schedule_task(ADD, "every 10s", name="one", misfire="catch_up")
        assert scheduler.pause_schedule(kept, "holidays").note == "holidays"
        runtime.clock.advance(seconds=95)
        assert drain(runtime) == []
        resumed = scheduler.resume_schedule("one")
        assert (resumed.paused, resumed.note) == (False, "holidays")
        assert resumed.next_fire_at == second(100)
        runtime.clock.advance(seconds=5)
        assert len(drain(runtime)) == 1

    def test_run_now(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """Paused or not; its times stay as they are."""
        scheduler.schedule_task(ADD, "every 10s", name="one", paused=True)
        task_id = scheduler.run_now("one")
        assert [result.task_id for result in drain(runtime)] == [task_id]
        (firing,) = scheduler.firings("one")
        assert (firing.kind, firing.outcome, firing.fired_id) == (
            Kind.RUN_NOW,
            Outcome.FIRED,
            task_id,
        )
        assert scheduler.get_schedule("one").next_fire_at == second(10)

    def test_preview(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """Of what is kept, with its bounds; or of an expression."""
        scheduler.schedule_task(ADD, "every 10s", name="one", end=second(30))
        assert scheduler.preview("one") == [second(10), second(20), second(30)]
        assert scheduler.preview("one", count=1, since=second(10)) == [second(20)]
        assert scheduler.preview("0 3 * * *", count=1, timezone="Europe/Berlin") == [
            datetime(2026, 5, 2, 1, tzinfo=UTC)
        ]
        with pytest.raises(InvalidScheduleError):
            scheduler.preview("nobody")

    def test_backfill(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """Each time of the range once, however often it is asked for."""
        scheduler.schedule_task(
            Task(task_type="calc.call", parameters={"wanted": "calc.name", "parameters": {}}),
            "0 * * * *",
            name="hourly",
        )
        since, until = START - timedelta(hours=5), START
        made = scheduler.backfill("hourly", since, until)
        assert len(set(made)) == 5
        assert scheduler.backfill("hourly", since, until) == made
        assert len(runtime.tasks.list()) == 5
        assert scheduler.get_schedule("hourly").fired == 5
        assert [one.fire_at for one in scheduler.firings("hourly")] == [
            until - timedelta(hours=number) for number in range(1, 6)
        ]
        assert scheduler.get_schedule("hourly").next_fire_at == second(3600)
        with pytest.raises(InvalidScheduleError, match="time zone"):
            scheduler.backfill("hourly", since.replace(tzinfo=None), until)

    def test_a_backfill_has_a_limit(self, scheduler: SyncTaskScheduler) -> None:
        """Nothing is fired then."""
        scheduler.schedule_task(ADD, "every 1s", name="fast")
        since = START - timedelta(seconds=MOST_BACKFILLED + 5)
        with pytest.raises(InvalidScheduleError, match="100,000"):
            scheduler.backfill("fast", since, START + timedelta(seconds=MOST_BACKFILLED + 5))

    def test_remove(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """By either name; what it has fired goes on."""
        kept = scheduler.schedule_task(ADD, "every 10s", name="one")
        runtime.clock.advance(seconds=10)
        assert len(drain(runtime)) == 1
        assert scheduler.cancel_task(kept)
        with pytest.raises(ScheduleNotFoundError):
            scheduler.remove_schedule("one")
        with pytest.raises(TaskNotFoundError):
            scheduler.get_task_status(kept)
        runtime.clock.advance(seconds=100)
        assert drain(runtime) == []

    def test_a_wrong_name_is_told_with_a_near_one(self, scheduler: SyncTaskScheduler) -> None:
        """For everything that takes one."""
        scheduler.schedule_task(ADD, "@daily", name="nightly")
        calls = (
            scheduler.get_schedule,
            scheduler.pause_schedule,
            scheduler.resume_schedule,
            scheduler.run_now,
            scheduler.remove_schedule,
            scheduler.firings,
            scheduler.update_schedule,
        )
        for call in calls:
            with pytest.raises(ScheduleNotFoundError, match="did you mean 'nightly'"):
                call("nightl")


class TestPipelines:
    def test_a_run_is_fired(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """It knows its time, and who started it."""
        runtime.pipelines.sync.register_pipeline(
            pipeline(parameters={"n": {"type": "integer"}, "day": {"default": "none"}})
        )
        scheduler.schedule_pipeline("one", "every 10s", {"n": 3, "day": "${run.fire_at}"}, name="p")
        runtime.clock.advance(seconds=12)
        drain(runtime)
        (run,) = runtime.pipelines.sync.list_runs(pipeline_id="one")
        assert (run.state, run.triggered_by) == ("succeeded", "schedule p")
        assert run.parameters == {"n": 3, "day": "2026-05-01T12:00:10+00:00"}
        assert scheduler.get_schedule("p").fired_id == run.run_id

    def test_what_is_wrong_is_told_at_once(
        self, runtime: InlineRuntime, scheduler: SyncTaskScheduler
    ) -> None:
        """The pipeline has to be there, and its parameters too."""
        with pytest.raises(PipelineNotFoundError):
            scheduler.schedule_pipeline("one", "@daily")
        runtime.pipelines.sync.register_pipeline(pipeline(parameters={"n": {"type": "integer"}}))
        with pytest.raises(InvalidParametersError):
            scheduler.schedule_pipeline("one", "@daily", {"n": "three"})

    def test_overlap_looks_at_runs(
        self, runtime: InlineRuntime, scheduler: SyncTaskScheduler
    ) -> None:
        """As at tasks; one that is cancelled ends with all its steps."""
        runtime.pipelines.sync.register_pipeline(pipeline())
        scheduler.schedule_pipeline("one", "every 10s", name="skips", overlap="skip")
        scheduler.schedule_pipeline("one", "every 10s", name="cancels", overlap="cancel_other")
        for _ in range(2):
            runtime.clock.advance(seconds=10)
            while runtime.firer.go() == 0:
                pass
        outcomes = [one.outcome for one in scheduler.firings("skips")]
        assert outcomes == [Outcome.SKIPPED, Outcome.FIRED]
        states = sorted(run.state for run in runtime.pipelines.sync.list_runs(pipeline_id="one"))
        assert states == ["cancelled", "queued"]
        runtime.clock.advance(seconds=1)
        drain(runtime)
        assert scheduler.get_schedule("cancels").fired == 2

    def test_its_own_schedule(self, runtime: InlineRuntime, scheduler: SyncTaskScheduler) -> None:
        """It is taken over when the pipeline is registered, changed with it, and goes with it."""
        register = runtime.pipelines.sync.register_pipeline
        register(pipeline(schedule="every 10s"))
        (kept,) = scheduler.list_schedules()
        assert (kept.name, kept.source) == ("pipeline.one", Source.PIPELINE)
        runtime.clock.advance(seconds=10)
        assert len(drain(runtime)) == 1
        register(pipeline(schedule={"schedule": "0 2 * * *", "timezone": "Europe/Berlin"}))
        changed = scheduler.get_schedule("pipeline.one")
        assert changed.schedule_id == kept.schedule_id
        assert changed.next_fire_at == datetime(2026, 5, 2, 0, tzinfo=UTC)
        with pytest.raises(ScheduleError, match="declared in its pipeline"):
            scheduler.remove_schedule("pipeline.one")
        assert scheduler.pause_schedule("pipeline.one").paused
        register(pipeline())
        assert scheduler.list_schedules() == []

    def test_a_schedule_gives_no_parameters(self, runtime: InlineRuntime) -> None:
        """So each needs a default, and that is told when it is registered."""
        wrong = pipeline(schedule="@daily", parameters={"n": {"type": "integer"}})
        with pytest.raises(InvalidPipelineError, match="schedule: its runs are given no"):
            runtime.pipelines.sync.register_pipeline(wrong)


def test_on_an_event_loop(runtime: InlineRuntime) -> None:
    """Each method has its awaitable twin."""
    scheduler = runtime.scheduler

    async def all_of_it() -> None:
        kept = await scheduler.schedule_task(ADD, "every 10s", name="one")
        assert (await scheduler.get_task_status(kept)).state is State.SCHEDULED
        assert [one.name for one in await scheduler.list_schedules()] == ["one"]
        assert (await scheduler.get_schedule("one")).schedule_id == kept
        assert (await scheduler.update_schedule("one", jitter=1.0)).spec.jitter == 1.0
        assert (await scheduler.pause_schedule("one", "why")).paused
        assert not (await scheduler.resume_schedule("one")).paused
        assert len(await scheduler.preview("one", count=2)) == 2
        task_id = await scheduler.run_now("one")
        assert [one.fired_id for one in await scheduler.firings("one")] == [task_id]
        made = await scheduler.backfill("one", second(10), second(30))
        assert len(made) == 2
        assert (await scheduler.execute_immediate(ADD)).data == 1
        await scheduler.remove_schedule("one")
        other = await scheduler.schedule_task(ADD, "@daily")
        assert await scheduler.cancel_task(other)
        with pytest.raises(PipelineNotFoundError):
            await scheduler.schedule_pipeline("nothing", "@daily")

    asyncio.run(all_of_it())


def test_where_nothing_is_kept_nothing_is_taken(sqlite_template: Path, tmp_path: Path) -> None:
    """The refusal says which schedules there may be all the same."""
    url = copied(sqlite_template, tmp_path / "db")
    settings = {"scheduler.enable_persistence": "false"}
    with calculating(tmp_path, url, FakeClock(START), **settings) as runtime:
        with pytest.raises(ConfigError, match="enable_persistence is false"):
            runtime.scheduler.sync.schedule_task(ADD, "@daily")
        runtime.pipelines.sync.register_pipeline(pipeline(schedule="@daily"))
        assert runtime.scheduler.sync.list_schedules() == []
