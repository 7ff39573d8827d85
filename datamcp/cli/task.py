"""Commands on tasks: enqueue them, and see what became of them."""

import json
from collections.abc import Sequence
from threading import Event
from typing import TYPE_CHECKING, NoReturn

import click
from click.core import ParameterSource

from datamcp.cli.group import FAILED, UNREACHABLE
from datamcp.cli.output import console, json_option, messages, print_json, show
from datamcp.cli.parameters import (
    Seconds,
    parameter_options,
    read_document,
    read_instant,
    read_pairs,
    wait_options,
)
from datamcp.cli.session import session
from datamcp.cli.task_lines import TaskLines, as_usage, read_tasks
from datamcp.cli.task_tables import history_table, result_fields, task_fields, tasks_table
from datamcp.clock import SystemClock
from datamcp.errors import ResultTimeoutError
from datamcp.tasks.retry import MOST_ATTEMPTS
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.task import Task, TaskLogLine, TaskResult, TaskStatus

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.tasks.tasks import Tasks

_ALL = 1_000_000  # more lines than a task can have
_LOOK = 1.0  # seconds between two looks for new lines

_STATES = [state.value for state in State]


@click.command()
@click.argument("task_type", required=False)
@click.option(
    "--from",
    "source",
    metavar="FILE|-",
    help="Enqueue many: a task a line, as a JSON object with the fields of a Task. All or none.",
)
@parameter_options
@click.option(
    "--priority",
    type=click.IntRange(0, 9),
    default=5,
    show_default=True,
    help="0 to 9; 9 goes first.",
)
@click.option("--key", metavar="KEY", help="Idempotency key: the same key is the same task.")
@click.option(
    "--at",
    metavar="INSTANT",
    help="Do not start before this ISO 8601 instant; local time if it names no zone.",
)
@click.option(
    "--task-timeout",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="How long an attempt may take.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, MOST_ATTEMPTS - 1),
    metavar="N",
    help="Retries after the first attempt. By default as the capability or the configuration says.",
)
@wait_options
@json_option
@click.pass_context
def enqueue(
    ctx: click.Context,
    task_type: str | None,
    source: str | None,
    pairs: tuple[str, ...],
    document: str | None,
    priority: int,
    key: str | None,
    at: str | None,
    task_timeout: float | None,
    retries: int | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Enqueue a task of TASK_TYPE, such as `research.report`.

    The parameters are checked against the capability before anything is written. With --wait the
    exit code is 1 if the task does not succeed, or does not end in time; it goes on then.

    With --from, TASK_TYPE is that of the lines that name none. The ids are printed, in order.

    \b
    Examples:
      datamcp task enqueue bench.add -p a=1 -p b=2 --wait
      datamcp task enqueue bench.add --parameters '{"a": 1}' --priority 9 --json
      datamcp task enqueue bench.add --parameters @parameters.json --timeout 60
      datamcp task enqueue bench.add -p a=1 --at 2030-01-01T00:00Z
      datamcp task enqueue --from tasks.jsonl
      echo '{"parameters": {"a": 1}}' | datamcp task enqueue bench.add --from -
    """  # noqa: D301  click's mark for text that is not re-wrapped
    if source is not None:
        _require_alone(ctx)
        _enqueue_lines(ctx, read_tasks(source, task_type), as_json=as_json)
        return
    if task_type is None:
        raise click.MissingParameter(ctx=ctx, param_type="argument", param_hint="'TASK_TYPE'")
    due = read_instant(at)
    with session().runtime() as runtime:
        runtime.app.require_broker()
        kind = runtime.types.resolve(task_type)
        with as_usage():
            new = Task(
                task_type=task_type,
                parameters=read_document(document) | kind.parameters.parse(read_pairs(pairs)),
                priority=priority,
                idempotency_key=key,
                scheduled_at=due,
                timeout=task_timeout,
                retry_count=retries,
            )
        enqueued = runtime.tasks.submit(new)
        if enqueued.unpublished:
            _show_status(runtime.tasks.status(enqueued.task_id), as_json=as_json)
            _exit_unpublished(ctx, enqueued.unpublished, "the task is")
        if wait or timeout is not None:
            wait_and_show(ctx, runtime, enqueued.task_id, timeout, as_json=as_json)
        else:
            _show_status(runtime.tasks.status(enqueued.task_id), as_json=as_json)


def _require_alone(ctx: click.Context) -> None:
    """Refuse what says something of one task beside a file that has many."""
    for parameter in ctx.command.params:
        is_given = ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if is_given and parameter.name not in {"task_type", "source", "as_json"}:
            raise click.UsageError(f"{parameter.opts[-1]} can't be given together with --from")


def _enqueue_lines(ctx: click.Context, lines: TaskLines, *, as_json: bool) -> None:
    with session().runtime() as runtime:
        runtime.app.require_broker()
        with lines.located():
            enqueued = runtime.tasks.submit_many(lines.tasks)
    ids = [one.task_id for one in enqueued]
    click.echo(json.dumps(ids, indent=2) if as_json else "\n".join(ids))
    unpublished = next((one.unpublished for one in enqueued if one.unpublished), None)
    if unpublished:
        _exit_unpublished(ctx, unpublished, "the tasks are")


def _exit_unpublished(ctx: click.Context, reason: str, what: str) -> NoReturn:
    click.echo(f"Error: {reason}; {what} kept and will be sent once the broker is back", err=True)
    ctx.exit(UNREACHABLE)


@click.command()
@click.argument("task_id")
@json_option
def status(task_id: str, as_json: bool) -> None:
    """Show how far a task is.

    \b
    Examples:
      datamcp task status 01987e6a-…
      datamcp task status 01987e6a-… --json | jq -r .state
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.tasks.status(task_id)
    _show_status(found, as_json=as_json)


@click.command(name="list")
@click.option(
    "--state",
    type=click.Choice(_STATES),
    metavar="STATE",
    help=f"Only tasks in this state: {', '.join(_STATES)}.",
)
@click.option("--type", "task_type", metavar="TYPE", help="Only tasks of this type.")
@click.option("--run", "run_id", metavar="RUN_ID", help="Only the steps of this pipeline run.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
def list_tasks(
    state: str | None, task_type: str | None, run_id: str | None, limit: int, as_json: bool
) -> None:
    """List tasks, the newest first.

    \b
    Examples:
      datamcp task list --state failed --limit 100
      datamcp task list --type research.report
      datamcp task list --run 01987e6a-… --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.tasks.list(
            state=State(state) if state else None, task_type=task_type, run_id=run_id, limit=limit
        )
    if as_json:
        print_json(found)
        return
    width = console().width
    show(tasks_table(found, width=width, now=SystemClock().now()))


@click.command()
@click.argument("task_id")
@json_option
def history(task_id: str, as_json: bool) -> None:
    """Show what happened to a task, the oldest first: each attempt, its worker, and how it ended.

    \b
    Example:
      datamcp task history 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        events = runtime.tasks.history(task_id)
    print_json(events) if as_json else show(history_table(events))


@click.command()
@click.argument("task_id")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Only this attempt.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Last lines."
)
@click.option("--follow", is_flag=True, help="Show new lines as they come, until the task ends.")
@json_option
def logs(task_id: str, attempt: int | None, limit: int, follow: bool, as_json: bool) -> None:
    """Show what a task has logged, the oldest first.

    Lines of a task that runs come a second late. The first thousand lines of each attempt are
    kept, for `monitoring.log_retention`.

    \b
    Examples:
      datamcp task logs 01987e6a-…
      datamcp task logs 01987e6a-… --attempt 2 --json
      datamcp task logs 01987e6a-… --follow
    """  # noqa: D301  click's mark for text that is not re-wrapped
    if follow and as_json:
        raise click.UsageError("--follow prints lines; leave out --json")
    with session().runtime() as runtime:
        if follow:
            _follow_logs(runtime.tasks, task_id, attempt, limit)
            return
        found = runtime.tasks.logs(task_id, attempt=attempt, limit=limit)
    print_json(found) if as_json else _print_lines(found)


def _follow_logs(tasks: "Tasks", task_id: str, attempt: int | None, limit: int) -> None:
    shown: int | None = None
    while True:
        is_over = tasks.status(task_id).state in FINAL  # asked first: no line comes after it
        found = tasks.logs(task_id, attempt=attempt, limit=_ALL)
        _print_lines(found[-limit:] if shown is None else found[shown:])
        shown = len(found)
        if is_over:
            return
        Event().wait(_LOOK)


def _print_lines(lines: Sequence[TaskLogLine]) -> None:
    for line in lines:
        at = f"{line.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
        click.echo(f"{at}  {line.attempt}  {line.level:<7}  {line.message}")


@click.command()
@click.argument("task_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, task_id: str, as_json: bool) -> None:
    """Cancel a task.

    A task that waits never starts. A running one is told at its next heartbeat and ends
    cancelled. Exit code 1: it had already ended.

    \b
    Example:
      datamcp task cancel 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        is_cancelled = runtime.tasks.cancel(task_id)
        found = runtime.tasks.status(task_id)
    _show_status(found, as_json=as_json)
    if not is_cancelled:
        click.echo(f"Error: task {task_id} had already ended: {found.state}", err=True)
        ctx.exit(FAILED)


def wait_and_show(
    ctx: click.Context, runtime: "Runtime", task_id: str, timeout: float | None, *, as_json: bool
) -> None:
    """Wait for a task's end and show its result; exit code 1 unless it succeeds in time."""
    try:
        with messages().status(f"waiting for {task_id}"):
            result = runtime.tasks.result(task_id, timeout)
    except ResultTimeoutError as error:
        _show_result(_unfinished(runtime.tasks.status(task_id), error), as_json=as_json)
        click.echo(f"Error: {error}", err=True)
        ctx.exit(FAILED)
    _show_result(result, as_json=as_json)
    if not result.success:
        reason = f" ({result.error_code}): {result.error_message}" if result.error_code else ""
        click.echo(f"Error: task {task_id} {result.state}{reason}", err=True)
        ctx.exit(FAILED)


def _unfinished(status: TaskStatus, error: ResultTimeoutError) -> TaskResult:
    return TaskResult(
        task_id=status.task_id,
        state=status.state,
        success=False,
        error_code=error.code,
        error_message=str(error),
        attempt=status.attempt,
        agent_id=status.agent_id,
    )


def _show_status(status: TaskStatus, *, as_json: bool) -> None:
    print_json(status) if as_json else show(task_fields(status))


def _show_result(result: TaskResult, *, as_json: bool) -> None:
    print_json(result) if as_json else show(result_fields(result))
