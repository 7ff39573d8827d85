"""`datamcp task …`: enqueue tasks, and see what became of them."""

from datetime import UTC, datetime

import click

from datamcp.cli.output import (
    console,
    history_table,
    json_option,
    messages,
    print_json,
    result_fields,
    task_fields,
    tasks_table,
)
from datamcp.cli.parameters import parameter_options, read_document, read_pairs
from datamcp.cli.session import FAILED, UNREACHABLE, CommandGroup, session
from datamcp.errors import ResultTimeoutError
from datamcp.tasks.states import State
from datamcp.tasks.task import Task


@click.group(cls=CommandGroup)
def task() -> None:
    """Enqueue tasks, and see what became of them."""


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
@click.option("--at", metavar="INSTANT", help="Do not start before this ISO 8601 instant.")
@click.option(
    "--task-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long an attempt may take.",
)
@click.option("--wait", is_flag=True, help="Wait for the end and print the result.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait; for ever by default.",
)
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

    The parameters are checked against the capability before anything is written.

    \b
    Examples:
      datamcp task enqueue bench.add -p a=1 -p b=2 --wait
      datamcp task enqueue bench.add --parameters '{"a": 1}' --priority 9 --json
      datamcp task enqueue bench.add --parameters @parameters.json --at 2030-01-01T00:00Z
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        parameters = runtime.types.resolve(task_type).parameters
        values = read_document(document) | parameters.parse(read_pairs(pairs))
        new = Task(
            task_type=task_type,
            parameters=values,
            priority=priority,
            idempotency_key=key,
            scheduled_at=_instant(at),
            timeout=task_timeout,
        )
        enqueued = runtime.tasks.submit(new)
        if enqueued.unpublished:
            status = runtime.tasks.status(enqueued.task_id)
            print_json(status) if as_json else console().print(task_fields(status))
            click.echo(
                f"Error: {enqueued.unpublished}; the task is kept and will be sent "
                "once the broker is back",
                err=True,
            )
            ctx.exit(UNREACHABLE)
        if not wait:
            status = runtime.tasks.status(enqueued.task_id)
            print_json(status) if as_json else console().print(task_fields(status))
            return
        try:
            with messages().status(f"waiting for {enqueued.task_id}"):
                result = runtime.tasks.result(enqueued.task_id, timeout)
        except ResultTimeoutError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(FAILED)
        print_json(result) if as_json else console().print(result_fields(result))
        ctx.exit(0 if result.success else FAILED)


@task.command()
@click.argument("task_id")
@json_option
def status(task_id: str, as_json: bool) -> None:
    """Show how far a task is."""
    with session().runtime() as runtime:
        found = runtime.tasks.status(task_id)
    print_json(found) if as_json else console().print(task_fields(found))


@task.command(name="list")
@click.option(
    "--state", type=click.Choice([state.value for state in State]), help="Only tasks in this state."
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
    """List tasks, the newest first."""
    with session().runtime() as runtime:
        found = runtime.tasks.list(
            state=State(state) if state else None, task_type=task_type, run_id=run_id, limit=limit
        )
    print_json(found) if as_json else console().print(tasks_table(found))


@task.command()
@click.argument("task_id")
@json_option
def history(task_id: str, as_json: bool) -> None:
    """Show what happened to a task, the oldest first."""
    with session().runtime() as runtime:
        events = runtime.tasks.history(task_id)
    print_json(events) if as_json else console().print(history_table(events))


@task.command()
@click.argument("task_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, task_id: str, as_json: bool) -> None:
    """Cancel a task.

    A task that waits never starts. A running one is told at its next heartbeat and ends
    cancelled. Exit code 1: it had already ended.
    """
    with session().runtime() as runtime:
        is_cancelled = runtime.tasks.cancel(task_id)
        found = runtime.tasks.status(task_id)
    print_json(found) if as_json else console().print(task_fields(found))
    if not is_cancelled:
        click.echo(f"task {task_id} had already ended: {found.state}", err=True)
        ctx.exit(FAILED)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--at takes an ISO 8601 instant, got {text!r}") from error
    return parsed if parsed.tzinfo else parsed.astimezone(UTC)
