import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from support.inline import Calc, RefusedError, calculating, copied, data, enqueue
from support.old_tasks import flaky, multiply

import datamcp
from datamcp import PipelineDefinition, Task, TaskDefinition
from datamcp.errors import ResultTimeoutError, TaskExecutionError
from datamcp.pipelines.status import RunState
from datamcp.tasks.outcome import Done, settle
from datamcp.tasks.states import State
from datamcp.testing import (
    DrainLimitError,
    FakeClock,
    InlineRuntime,
    NobodyRunsItError,
    drain,
)
from datamcp.testing.inline import NAME

HOUR = timedelta(hours=1)


class TestWhatRuns:
    def test_what_is_enqueued(self, runtime: InlineRuntime) -> None:
        """It ends as in a worker, with all that the ledger keeps of it."""
        task_id = enqueue(runtime, "calc.add", {"a": 1, "b": 2})
        (result,) = drain(runtime)
        assert (result.task_id, result.state, result.data) == (task_id, State.SUCCEEDED, 3)
        assert (result.attempt, result.agent_id) == (1, NAME)
        status = runtime.tasks.status(task_id)
        assert (status.progress, status.started_at) == (0.5, runtime.clock.now())
        assert runtime.tasks.result(task_id) == result

    def test_nothing_where_nothing_is_due(self, runtime: InlineRuntime) -> None:
        """And nothing a second time."""
        assert drain(runtime) == []
        enqueue(runtime, "calc.add", {"a": 1})
        assert len(drain(runtime)) == 1
        assert drain(runtime) == []

    def test_coroutines(self, runtime: InlineRuntime) -> None:
        """On one event loop, one after the other."""
        for number in range(3):
            enqueue(runtime, "calc.add_later", {"a": number})
        assert data(drain(runtime)) == [0, 1, 2]

    def test_what_it_leads_to(self, lite: InlineRuntime) -> None:
        """A task that enqueues another is followed to the end."""
        enqueue(lite, "calc.count_down", {"n": 4})
        assert data(drain(lite)) == [4, 3, 2, 1, 0]

    def test_failures(self, runtime: InlineRuntime) -> None:
        """They are results, too."""
        enqueue(runtime, "calc.divide", {"a": 1, "b": 0})
        (result,) = drain(runtime)
        assert (result.state, result.error_code) == (State.FAILED, "ZeroDivisionError")

    def test_not_what_was_cancelled(self, runtime: InlineRuntime) -> None:
        """Its message is still there, and starts nothing."""
        cancelled, other = (enqueue(runtime, "calc.add", {"a": number}) for number in range(2))
        runtime.tasks.cancel(cancelled)
        assert [result.task_id for result in drain(runtime)] == [other]
        assert runtime.tasks.status(cancelled).attempt == 0

    def test_one_queue_only(self, lite: InlineRuntime) -> None:
        """The others' messages wait for a later drain."""
        run_id = trigger(lite, {"a": []}, processor="calc.add")
        assert drain(lite, queue="pipelines") == []
        assert lite.pipelines.sync.monitor_execution(run_id).state is RunState.QUEUED
        assert len(drain(lite, queue="calc")) == 1

    def test_what_has_no_message(self, runtime: InlineRuntime) -> None:
        """A row of another runtime, or of a lost message, is found in the ledger."""
        enqueue(runtime, "calc.add", {"a": 1})
        enqueue(runtime, "calc.add", {"a": 2})
        while runtime.app.mailbox.take() is not None:
            pass
        assert data(drain(runtime)) == [1, 2]


class TestOrder:
    def test_the_highest_priority_first(self, runtime: InlineRuntime) -> None:
        """And of one priority, the longest waiting."""
        for number, priority in enumerate([0, 5, 9, 5, 9, 0]):
            enqueue(runtime, "calc.add", {"a": number}, priority=priority)
        assert data(drain(runtime)) == [2, 4, 1, 3, 0, 5]

    def test_what_falls_due_competes_with_what_waits(self, runtime: InlineRuntime) -> None:
        """A task that was scheduled, and is more urgent, is not behind all the others."""
        due = runtime.clock.now() + HOUR
        enqueue(runtime, "calc.add", {"a": 9}, priority=9, scheduled_at=due)
        runtime.clock.move_to(due)
        enqueue(runtime, "calc.add", {"a": 5})
        assert data(drain(runtime)) == [9, 5]

    def test_what_falls_due_together_is_in_order_of_its_making(
        self, runtime: InlineRuntime
    ) -> None:
        """As often as the test runs; the earliest instant first."""
        now = runtime.clock.now()
        for number in range(12):
            due = now + (HOUR if number < 10 else HOUR / 2)
            enqueue(runtime, "calc.add", {"a": number}, scheduled_at=due)
        runtime.clock.advance(HOUR)
        assert data(drain(runtime)) == [10, 11, *range(10)]


class TestTime:
    def test_stands_still(self, runtime: InlineRuntime) -> None:
        """What is due later does not start, however long the test takes."""
        task_id = enqueue(
            runtime, "calc.add", {"a": 1}, scheduled_at=runtime.clock.now() + timedelta(seconds=1)
        )
        assert drain(runtime) == []
        assert runtime.tasks.status(task_id).state is State.SCHEDULED

    def test_moves_by_hand(self, runtime: InlineRuntime) -> None:
        """A task starts at its instant, and not a microsecond before."""
        due = runtime.clock.now() + HOUR
        enqueue(runtime, "calc.add", {"a": 1}, scheduled_at=due)
        runtime.clock.move_to(due - timedelta(microseconds=1))
        assert drain(runtime) == []
        runtime.clock.advance(microseconds=1)
        assert data(drain(runtime)) == [1]

    def test_holds_for_a_run(self, lite: InlineRuntime) -> None:
        """A run that waits for an instant begins there."""
        register(lite, {"a": [], "b": ["a"]})
        due = lite.clock.now() + HOUR
        pipelines = lite.pipelines.sync
        run_id = pipelines.submit("graph", scheduled_at=due).run_id
        assert drain(lite) == []
        lite.clock.move_to(due)
        assert data(drain(lite)) == ["a", "b"]
        status = pipelines.monitor_execution(run_id)
        assert (status.state, status.finished_at) == (RunState.SUCCEEDED, due)

    def test_holds_for_retries(self, tmp_path: Path, sqlite_url: str, clock: FakeClock) -> None:
        """Another attempt is made when the clock is there, and not before."""
        tasks = {"agents.old.tasks": "support.old_tasks"}
        with calculating(tmp_path / "installation", sqlite_url, clock, **tasks) as runtime:
            result = flaky.delay(2)
            for attempt in (1, 2):
                assert drain(runtime) == []
                status = runtime.tasks.status(result.id)
                assert (status.state, status.attempt) == (State.RETRYING, attempt)
                with pytest.raises(NobodyRunsItError, match="is retrying, and due at"):
                    result.get()
                clock.advance(minutes=1)
            (ended,) = drain(runtime)
            assert (ended.data, ended.attempt) == ("after 2", 3)
            assert result.get() == "after 2"
            assert multiply.delay(2, 3).get() == 6

    def test_holds_for_countdowns(self, lite: InlineRuntime) -> None:
        """Of plain Celery calls."""
        result = Calc.add.apply_async((1, 2), countdown=60)
        assert drain(lite) == []
        lite.clock.advance(minutes=1)
        assert data(drain(lite)) == [3]
        assert result.get() == 3


class TestEndless:
    def test_is_told(self, lite: InlineRuntime) -> None:
        """A task that enqueues itself is stopped, and named."""
        enqueue(lite, "calc.ever")
        with pytest.raises(DrainLimitError) as caught:
            drain(lite, limit=7)
        assert str(caught.value) == (
            "drain() made 7 attempts, and there is still something due; the last were calc.ever, "
            "calc.ever, calc.ever, calc.ever, calc.ever. Does a task enqueue itself? "
            "Else drain(runtime, limit=...)"
        )

    def test_counts_attempts(self, tmp_path: Path, sqlite_url: str) -> None:
        """A task that is tried again at once, for ever, is stopped as well."""
        tasks = {"agents.old.tasks": "support.old_tasks"}
        with calculating(tmp_path / "installation", sqlite_url, **tasks) as runtime:
            flaky.delay(1_000_000, countdown=0)
            with pytest.raises(
                DrainLimitError, match=r"made 5 attempts.*support\.old_tasks\.flaky"
            ):
                drain(runtime, limit=5)

    def test_the_limit_itself_is_allowed(self, lite: InlineRuntime) -> None:
        """So many attempts and no more are fine."""
        enqueue(lite, "calc.count_down", {"n": 4})
        assert len(drain(lite, limit=5)) == 5


class TestRaising:
    def test_raises_what_the_capability_raised(self, lite: InlineRuntime) -> None:
        """The very exception, from the line that raised it; what comes after is not run."""
        enqueue(lite, "calc.refuse")
        later = enqueue(lite, "calc.add", {"a": 1})
        with pytest.raises(RefusedError) as caught:
            drain(lite, raising=True)
        assert caught.value.code == 7
        assert caught.traceback[-1].name == "refuse"
        assert lite.tasks.status(later).state is State.QUEUED

    def test_raises_what_no_capability_raised(self, lite: InlineRuntime) -> None:
        """Such as a result without a JSON form."""
        enqueue(lite, "calc.strange")
        with pytest.raises(Exception, match="JSON"):
            drain(lite, raising=True)

    def test_raises_nothing_where_all_is_well(self, lite: InlineRuntime) -> None:
        """Results are returned as ever."""
        enqueue(lite, "calc.add", {"a": 1})
        assert data(drain(lite, raising=True)) == [1]


class TestWaiting:
    def test_does_the_work(self, runtime: InlineRuntime) -> None:
        """Who waits in a runtime without workers is its worker."""
        task = Task(task_type="calc.add", parameters={"a": 1, "b": 2})
        assert runtime.agents.sync.distribute_task(task).data == 3

    def test_does_the_work_on_an_event_loop(self, runtime: InlineRuntime) -> None:
        """Of the awaitable façades, too."""

        async def use() -> object:
            task = Task(task_type="calc.add_later", parameters={"a": 1, "b": 2})
            return (await runtime.agents.distribute_task(task)).data

        assert asyncio.run(use()) == 3

    def test_a_drain_beside_an_event_loop(self, runtime: InlineRuntime) -> None:
        """An async test drains as any other; coroutines have a loop of their own."""

        async def use() -> list[object]:
            enqueue(runtime, "calc.add_later", {"a": 1})
            await asyncio.sleep(0)
            return data(drain(runtime))

        assert asyncio.run(use()) == [1]

    @pytest.mark.parametrize("task_type", ["calc.ask", "calc.ask_later"])
    def test_inside_of_a_capability(self, lite: InlineRuntime, task_type: str) -> None:
        """A task that waits for another runs it first."""
        enqueue(lite, task_type, {"a": 1, "b": 2})
        assert data(drain(lite)) == [3]
        assert len(lite.tasks.list(state=State.SUCCEEDED)) == 2

    def test_for_a_run(self, lite: InlineRuntime) -> None:
        """Its steps are run until it ends."""
        run_id = trigger(lite, {"a": [], "b": ["a"]})
        assert lite.pipelines.sync.wait(run_id).state is RunState.SUCCEEDED

    def test_for_what_can_not_end_is_told_at_once(self, lite: InlineRuntime) -> None:
        """Instead of for ever; once the clock is there, it ends."""
        due = lite.clock.now() + HOUR
        task_id = enqueue(lite, "calc.add", {"a": 1}, scheduled_at=due)
        for _ in range(2):
            with pytest.raises(NobodyRunsItError) as caught:
                lite.tasks.result(task_id)
            assert str(caught.value) == (
                f"{task_id} is scheduled, and due at 2026-01-31T13:00:00+00:00: move the clock "
                "there first, or do not wait for it"
            )
        assert isinstance(caught.value, ResultTimeoutError)
        lite.clock.move_to(due)
        assert lite.tasks.result(task_id).data == 1

    def test_for_oneself_is_told_at_once(self, lite: InlineRuntime) -> None:
        """A worker would never come back from that."""
        enqueue(lite, "calc.ask_oneself")
        with pytest.raises(NobodyRunsItError, match="it waits for itself"):
            drain(lite, raising=True)


class TestPlainCelery:
    def test_a_call_reaches_the_runtime(self, lite: InlineRuntime) -> None:
        """And its result can be waited for."""
        result = Calc.add.delay(1, 2)
        assert lite.tasks.status(result.id).state is State.QUEUED
        assert result.get() == 3

    def test_a_canvas_goes_on(self, lite: InlineRuntime) -> None:
        """Chains, groups and chords, as with a broker and a result backend."""
        from celery import chain, chord, group

        assert chain(Calc.add.s(1, 2), Calc.add.s(3), Calc.add_later.s(4)).delay().get() == 10
        assert group(Calc.add.s(n, n) for n in range(3)).delay().get() == [0, 2, 4]
        body = Calc.total.s()
        assert chord([Calc.add.s(n, n) for n in range(4)], body).delay().get() == 12

    def test_what_is_sent_after_a_run_is_awaited(self, lite: InlineRuntime) -> None:
        """Its steps are not: what runs them leaves nothing behind in this thread."""
        lite.pipelines.sync.wait(trigger(lite, {"a": [], "b": ["a"]}))
        seen: list[object] = []
        result = Calc.add.delay(1, 2)
        assert result.then(lambda ended: seen.append(ended.result)) is not None
        drain(lite)
        assert (result.get(), seen) == (3, [3])

    def test_a_failure_is_raised(self, lite: InlineRuntime) -> None:
        """Also that of an earlier part of a chain."""
        from celery import chain

        with pytest.raises(ZeroDivisionError):
            Calc.divide.delay(1, 0).get()
        with pytest.raises(ZeroDivisionError):
            chain(Calc.divide.s(1, 0), Calc.add.si(1)).delay().get()

    def test_what_can_not_end_is_told(self, lite: InlineRuntime) -> None:
        """With Celery's own error, where the call has a timeout."""
        from celery.exceptions import TimeoutError as CeleryTimeoutError

        result = Calc.add.apply_async((1, 2), countdown=60)
        with pytest.raises(NobodyRunsItError):
            result.get()
        with pytest.raises(CeleryTimeoutError):
            result.get(timeout=1)

    def test_the_app_is_put_back(self, tmp_path: Path, sqlite_template: Path) -> None:
        """After the block, `datamcp.celery` is what it was: of another runtime, or not there."""
        before = vars(datamcp).get("celery")
        with calculating(tmp_path / "a", copied(sqlite_template, tmp_path / "a")) as outer:
            with calculating(tmp_path / "b", copied(sqlite_template, tmp_path / "b")) as inner:
                assert datamcp.celery is inner.app
            assert datamcp.celery is outer.app
        assert vars(datamcp).get("celery") is before


def test_messages_are_recorded(lite: InlineRuntime) -> None:
    """In order, with their queues and priorities; scheduled tasks have none yet."""
    one = enqueue(lite, "calc.add", {"a": 1}, priority=9)
    enqueue(lite, "calc.add", {"a": 1}, scheduled_at=lite.clock.now() + HOUR)
    two = Calc.add.delay(2).id
    sent = [(letter.task_id, letter.queue, letter.priority) for letter in lite.published]
    assert sent == [(one, "calc", 9), (two, "calc", 5)]


def test_a_runtime_with_workers_is_not_drained(sqlite_url: str, tmp_path: Path) -> None:
    """Two would do the same work, one of them at another time."""
    settings = {"storage.database_url": sqlite_url, "system.state_dir": str(tmp_path)}
    with (
        datamcp.connect(overrides=settings) as runtime,
        pytest.raises(TypeError, match="wait for the result instead"),
    ):
        drain(runtime)


def test_its_face_in_a_report_is_short(lite: InlineRuntime) -> None:
    """A failure's report shows the arguments of the test."""
    assert repr(lite).startswith("<InlineRuntime on sqlite:///")
    assert repr(lite).endswith("ledger.db at 2026-01-31T12:00:00+00:00>")


def test_two_runtimes_do_not_meet(tmp_path: Path, sqlite_template: Path) -> None:
    """Each has its ledger, its clock, its messages, and its instance of the agent."""
    urls = [copied(sqlite_template, tmp_path / name) for name in "ab"]
    with calculating(tmp_path / "a", urls[0]) as one, calculating(tmp_path / "b", urls[1]) as two:
        enqueue(one, "calc.add", {"a": 1})
        assert drain(two) == []
        one.clock.advance(HOUR)
        assert two.clock.now() < one.clock.now()
        assert data(drain(one)) == [1]


GRAPH = {
    f"l{layer}.{place}": [f"l{layer - 1}.{other}" for other in range(5) if (place + other) % 3]
    for layer in range(1, 6)
    for place in range(5)
} | {f"l0.{place}": [] for place in range(5)}
"""Six layers of five steps, each of which waits for some of the layer before."""


def test_a_graph_runs_in_the_same_order_each_time(tmp_path: Path, sqlite_template: Path) -> None:
    """A step after its upstreams, and otherwise as it is written."""
    orders = []
    for name in "abc":
        url = copied(sqlite_template, tmp_path / name)
        with calculating(tmp_path / name, url) as runtime:
            run_id = trigger(runtime, GRAPH)
            orders.append(data(drain(runtime)))
            assert runtime.pipelines.sync.monitor_execution(run_id).state is RunState.SUCCEEDED
    assert orders[0] == orders[1] == orders[2]
    places = {step: place for place, step in enumerate(orders[0])}
    assert set(places) == set(GRAPH)
    assert all(places[up] < places[step] for step, ups in GRAPH.items() for up in ups)


def test_a_step_that_fails_ends_what_depends_on_it(runtime: InlineRuntime) -> None:
    """As with workers; what never started is not among the results."""
    register(runtime, {"a": [], "b": ["a"], "c": []}, failing="a")
    run_id = runtime.pipelines.sync.trigger_pipeline("graph")
    assert [result.success for result in drain(runtime)] == [False, True]
    status = runtime.pipelines.sync.monitor_execution(run_id)
    assert status.state is RunState.FAILED
    assert status.tasks["b"].state is State.UPSTREAM_FAILED


def test_fails_as_the_first_step_did(lite: InlineRuntime) -> None:
    """`raising` holds for steps."""
    register(lite, {"a": [], "b": ["a"]}, failing="a")
    lite.pipelines.sync.trigger_pipeline("graph")
    with pytest.raises((ZeroDivisionError, TaskExecutionError)):
        drain(lite, raising=True)


def test_the_clock_of_the_fixture_is_the_runtime_s(lite: InlineRuntime, clock: FakeClock) -> None:
    """The test moves one, and both have moved."""
    clock.advance(HOUR)
    task_id = enqueue(lite, "calc.add", {"a": 1})
    assert lite.tasks.status(task_id).created_at == clock.now()


def trigger(
    runtime: InlineRuntime, graph: dict[str, list[str]], processor: str = "calc.name"
) -> str:
    """Run a graph whose steps return their names."""
    register(runtime, graph, processor=processor)
    return runtime.pipelines.sync.trigger_pipeline("graph")


def register(
    runtime: InlineRuntime,
    graph: dict[str, list[str]],
    *,
    processor: str = "calc.name",
    failing: str = "",
) -> None:
    """Keep a graph as the pipeline `graph`."""
    runtime.pipelines.sync.register_pipeline(
        PipelineDefinition(
            pipeline_id="graph",
            tasks=tuple(
                _step(step, "calc.divide" if step == failing else processor) for step in graph
            ),
            dependencies={step: tuple(ups) for step, ups in graph.items() if ups},
        )
    )


def _step(name: str, processor: str) -> TaskDefinition:
    given = {"calc.divide": {"a": 1, "b": 0}, "calc.add": {"a": 1}}
    return TaskDefinition(task_id=name, processor=processor, configuration=given.get(processor, {}))


def test_a_call_that_a_worker_beside_it_ran_has_its_result(runtime: InlineRuntime) -> None:
    """The ledger tells it: that worker's answer went to another backend."""
    answer = runtime.app.task_of("calc.divide").delay(1, 2)
    assert runtime.ledger.claim(answer.id, "f" * 32, "other@host") is not None
    assert runtime.ledger.finish_alone(answer.id, "f" * 32, settle(Done("7.5"))) is not None
    assert answer.get(timeout=5) == 7.5
