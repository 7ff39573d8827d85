from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from datamcp.cli.output import counted, seconds, short_instant
from datamcp.cli.pipeline_tables import pipelines_table, run_table, runs_table
from datamcp.cli.task_tables import history_table, result_fields, task_fields, tasks_table
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.status import Pipeline, PipelineStatus, RunState, StepStatus
from datamcp.tasks.states import State
from datamcp.tasks.task import TaskEvent, TaskResult, TaskStatus

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
ID = "01987e6a-1111-7222-8333-444455556666"


def task(**fields: object) -> TaskStatus:
    """Return a task that failed yesterday."""
    status = TaskStatus(
        task_id=ID,
        task_type="research.report",
        state=State.FAILED,
        attempt=1,
        max_attempts=1,
        queue="research",
        priority=5,
        agent_id="research-4711@a-host-of-some-length.example.org",
        created_at=YESTERDAY,
        started_at=YESTERDAY,
        finished_at=YESTERDAY + timedelta(seconds=125),
        error="[red]no[/] such thing, and then some more words that go on for a while",
    )
    return status.model_copy(update=fields)


def run(**fields: object) -> PipelineStatus:
    """Return a run of two steps, of which one failed."""
    steps = {
        "read": StepStatus(
            task_id=ID,
            state=State.SUCCEEDED,
            attempt=1,
            max_attempts=1,
            started_at=YESTERDAY,
            finished_at=YESTERDAY + timedelta(seconds=1.5),
            records_in=1_234_567,
            records_out=1_234_567,
            warnings=("1 row set aside: wind_speed above 200 (1)",),
        ),
        "check": StepStatus(
            task_id=ID, state=State.FAILED, attempt=1, max_attempts=1, error_message="no [column]"
        ),
    }
    status = PipelineStatus(
        run_id=ID,
        pipeline_id="flights",
        version="1",
        state=RunState.FAILED,
        progress=1.0,
        triggered_by="cli",
        parameters={},
        created_at=YESTERDAY,
        started_at=YESTERDAY,
        finished_at=YESTERDAY + timedelta(seconds=2),
        error_message="step check: no [column]",
        tasks=steps,
    )
    return status.model_copy(update=fields)


def pipeline() -> Pipeline:
    """Return a pipeline of one step."""
    steps = [TaskDefinition(task_id="read", processor="file.read")]
    return Pipeline(
        pipeline_id="flights",
        version="1",
        revision=12,
        registered_at=YESTERDAY,
        definition=PipelineDefinition(pipeline_id="flights", name="Flights", tasks=steps),
    )


def printed(renderable: RenderableType, width: int = 80) -> list[str]:
    """Return the lines that are printed on a console of this width."""
    console = Console(file=StringIO(), width=width, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def result(**fields: object) -> TaskResult:
    """Return a task's result."""
    made = TaskResult(task_id=ID, state=State.SUCCEEDED, success=True, data=[1], attempt=1)
    return made.model_copy(update=fields)


@pytest.mark.parametrize(
    "renderable",
    [
        tasks_table([task()], width=80, now=NOW),
        runs_table([run()], width=80, now=NOW),
        pipelines_table([pipeline()], [run()], now=NOW),
        run_table(run(), NOW),
        task_fields(task()),
        result_fields(result(data="x" * 200)),
        history_table([TaskEvent(at=NOW, state=State.FAILED, attempt=1, message="x" * 200)]),
    ],
    ids=["tasks", "runs", "pipelines", "run", "task", "result", "history"],
)
def test_every_table_fits_a_terminal_of_80_columns(renderable: RenderableType) -> None:
    """Ids and numbers stay whole, and long texts are folded, never cut."""
    lines = printed(renderable)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


def test_lists_keep_one_line_for_each_thing_on_80_columns() -> None:
    """So that they can be read as a table: what is of today, and took less than a minute."""
    brief = task(created_at=NOW, started_at=NOW, finished_at=NOW + timedelta(seconds=59))
    assert len(printed(tasks_table([brief, brief], width=80, now=NOW))) == 1 + 2
    assert len(printed(runs_table([run(), run()], width=80, now=NOW))) == 1 + 2
    assert len(printed(pipelines_table([pipeline()], [None], now=NOW))) == 1 + 1


def test_lists_show_errors_where_there_is_room() -> None:
    """Brackets in a message are text, not markup."""
    assert "[red]no[/] such thing" in printed(tasks_table([task()], width=200, now=NOW), 200)[1]
    assert "step check: no [column]" in printed(runs_table([run()], width=200, now=NOW), 200)[1]
    good = task(state=State.SUCCEEDED, error=None)
    assert "error" not in printed(tasks_table([good], width=200, now=NOW), 200)[0]


def test_a_run_is_shown_with_its_steps_and_what_is_wrong_with_them() -> None:
    """Warnings and errors stand below the table."""
    lines = printed(run_table(run(), NOW))
    assert lines[0].startswith(f"flights {ID}  failed  100%  2.00 s")
    began = short_instant(YESTERDAY, NOW).split()
    assert lines[2].split() == ["✓", "read", "succeeded", *began, "1.50", "s", *["1,234,567"] * 2]
    assert lines[-2:] == [
        "  read: 1 row set aside: wind_speed above 200 (1)",
        "  check: no [column]",
    ]


def test_empty_fields_are_left_out() -> None:
    """What is not known takes no line."""
    names = [line.split()[0] for line in printed(task_fields(task(error=None, agent_id=None)))]
    assert "error" not in names
    assert "agent" not in names
    assert "scheduled" not in names


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00 s"),
        (59.994, "59.99 s"),
        (59.999, "1 min 00 s"),
        (125.0, "2 min 05 s"),
        (3_660.0, "1 h 01 min"),
        (-1.0, "0.00 s"),
    ],
)
def test_lengths_of_time(value: float, shown: str) -> None:
    """As many digits as help."""
    assert seconds(timedelta(seconds=value)) == shown


def test_instants_are_as_short_as_they_can_be() -> None:
    """Today by the hour, this year by the day, else by the date."""
    here = NOW.astimezone()
    assert short_instant(NOW, NOW) == f"{here:%H:%M:%S}"
    assert len(short_instant(NOW - timedelta(days=40), NOW)) == len("05-22 12:00")
    assert short_instant(NOW - timedelta(days=400), NOW).startswith("2025-")
    assert short_instant(None, NOW) == ""


def test_one_thing_is_not_things() -> None:
    """Numbers agree with their nouns."""
    assert (counted(1, "step"), counted(2000, "step")) == ("1 step", "2,000 steps")


def test_a_run_for_an_instant_shows_when_it_was_due_and_when_it_began() -> None:
    """A run that began at once has no such line."""
    due = YESTERDAY - timedelta(seconds=1.5)
    line = printed(run_table(run(scheduled_at=due), NOW))[1]
    assert line.startswith(f"due {due.astimezone():%Y-%m-%d %H:%M:%S}, began ")
    assert line.endswith("1.50 s after that")

    waiting = run(
        state=RunState.QUEUED,
        scheduled_at=NOW + timedelta(minutes=5),
        started_at=None,
        finished_at=None,
    )
    head, line = printed(run_table(waiting, NOW))[:2]
    assert head.endswith("0.00 s")
    assert line.endswith(", in 5 min 00 s")
    late = waiting.model_copy(update={"scheduled_at": YESTERDAY})
    assert printed(run_table(late, NOW))[1].endswith(", not begun")
    assert not any("due" in line for line in printed(run_table(run(), NOW)))
