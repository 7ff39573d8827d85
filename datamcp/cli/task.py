"""`datamcp task …`: enqueue tasks, and see what became of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from datamcp.cli.group import FAILED, UNREACHABLE, CommandGroup
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
from datamcp.cli.task_tables import history_table, result_fields, task_fields, tasks_table
from datamcp.clock import SystemClock
from datamcp.errors import ResultTimeoutError
from datamcp.tasks.states import State
from datamcp.tasks.task import Task, TaskResult, TaskStatus

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime

_STATES = [state.value for state in State]


@click.group(cls=CommandGroup)
def task() -> None:
    """Enqueue tasks, and see what became of them.

    A task type is an agent's capability, such as `research.report`; `datamcp check` lists them.

    \b
    Examples:
      datamcp task enqueue bench.add -p a=1 -p b=2 --wait
      datamcp task list --state failed
      datamcp task history 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped


@task.command()
@click.argument("task_type")
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
@wait_options
@json_option
@click.pass_context
def enqueue(
    ctx: click.Context,
    task_type: str,
    pairs: tuple[str, ...],
    document: str | None,
    priority: int,
    key: str | None,
    at: str | None,
    task_timeout: float | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Enqueue a task of TASK_TYPE, such as `research.report`.

    The parameters are checked against the capability before anything is written. With --wait the
    exit code is 1 if the task does not succeed, or does not end in time; it goes on then.

    \b
    Examples:
      datamcp task enqueue bench.add -p a=1 -p b=2 --wait
      datamcp task enqueue bench.add --parameters '{"a": 1}' --priority 9 --json
      datamcp task enqueue bench.add --parameters @parameters.json --timeout 60
      datamcp task enqueue bench.add -p a=1 --at 2030-01-01T00:00Z
    """  # noqa: D301  click's mark for text that is not re-wrapped
    due = read_instant(at)
    with session().runtime() as runtime:
        runtime.app.require_broker()
        kind = runtime.types.resolve(task_type)
        with _as_usage():
            new = Task(
                task_type=task_type,
                parameters=read_document(document) | kind.parameters.parse(read_pairs(pairs)),
                priority=priority,
                idempotency_key=key,
                scheduled_at=due,
                timeout=task_timeout,
            )
        enqueued = runtime.tasks.submit(new)
        if enqueued.unpublished:
            _show_status(runtime.tasks.status(enqueued.task_id), as_json=as_json)
            click.echo(
                f"Error: {enqueued.unpublished}; the task is kept and will be sent "
                "once the broker is back",
                err=True,
            )
            ctx.exit(UNREACHABLE)
        if wait or timeout is not None:
            _wait_and_show(ctx, runtime, enqueued.task_id, timeout, as_json=as_json)
        else:
            _show_status(runtime.tasks.status(enqueued.task_id), as_json=as_json)


@task.command()
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


@task.command(name="list")
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


@task.command()
@click.argument("task_id")
@json_option
def history(task_id: str, as_json: bool) -> None:
    """Show what happened to a task, the oldest first.

    \b
    Example:
      datamcp task history 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        events = runtime.tasks.history(task_id)
    print_json(events) if as_json else show(history_table(events))


@task.command()
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


def _wait_and_show(
    ctx: click.Context, runtime: "Runtime", task_id: str, timeout: float | None, *, as_json: bool
) -> None:
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


@contextmanager
def _as_usage() -> Iterator[None]:
    """Turn what a task itself refuses, such as a key that is too long, into a usage error."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise click.UsageError(f"{name}: {first['msg']}") from error
