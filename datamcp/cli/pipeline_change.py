"""The commands of `datamcp pipeline` that change runs: pause, resume, run again in part, mark."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click

from datamcp.cli.group import FAILED
from datamcp.cli.output import counted, json_option, print_json
from datamcp.cli.parameters import wait_options
from datamcp.cli.run import wait_and_show
from datamcp.cli.session import session
from datamcp.pipelines.operate import Mark

if TYPE_CHECKING:
    from datamcp.pipelines.orchestrator import SyncPipelineOrchestrator

_run = click.argument("run_id")
_step = click.argument("step_id", metavar="STEP")
_note = click.option("--note", metavar="TEXT", help="Why; it is shown with the run.")


@click.command()
@_run
@_note
@json_option
@click.pass_context
def pause(ctx: click.Context, run_id: str, note: str | None, as_json: bool) -> None:
    """Let no further step of a run start.

    Steps that have begun go on, and are tried again where they fail. Exit code 1: the run has
    ended, or is paused already.

    \b
    Examples:
      datamcp pipeline pause 01987e6a-…
      datamcp pipeline pause 01987e6a-… --note "the source moves house"
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        is_paused = runtime.pipelines.sync.pause_pipeline(run_id, note)
        found = runtime.pipelines.sync.monitor_execution(run_id)
    if as_json:
        print_json(found)
    elif is_paused:
        click.echo(f"run {run_id} is paused; `datamcp pipeline resume` lets it go on")
    if not is_paused:
        why = f"had already ended: {found.state}" if found.is_final else "is paused already"
        click.echo(f"Error: run {run_id} {why}", err=True)
        ctx.exit(FAILED)


@click.command()
@_run
@_note
@wait_options
@json_option
def resume(run_id: str, note: str | None, **options: Any) -> None:
    """Let a paused run go on, or run again what failed of one that has ended.

    A run that has ended stays as it is: a new one is made, which takes over the steps that
    succeeded, and runs those that failed or never ran, with all that depends on them. With --wait
    the exit code is 1 if the run that goes on does not succeed, or does not end in time.

    \b
    Examples:
      datamcp pipeline resume 01987e6a-…
      datamcp pipeline resume 01987e6a-… --note "the disk has room again" --wait
      datamcp pipeline resume 01987e6a-… --json | jq -r .run_id
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _go_on(run_id, lambda pipelines: pipelines.resume_pipeline(run_id, note), **options)


@click.command()
@_run
@_step
@_note
@wait_options
@json_option
def retry(
    run_id: str,
    step_id: str,
    note: str | None,
    **options: Any,
) -> None:
    """Run a step again that did not succeed, in a new run.

    All that depends on the step runs again, too; the new run takes over the rest. The run must
    have ended. For a step that succeeded there is `clear`.

    \b
    Examples:
      datamcp pipeline retry 01987e6a-… load
      datamcp pipeline retry 01987e6a-… load --note "the server is back" --wait --timeout 60
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _go_on(run_id, lambda pipelines: pipelines.retry_step(run_id, step_id, note), **options)


@click.command()
@_run
@_step
@_note
@wait_options
@json_option
def clear(
    run_id: str,
    step_id: str,
    note: str | None,
    **options: Any,
) -> None:
    """Run a step again, whatever came of it, in a new run.

    All that depends on the step runs again, too; the new run takes over the rest. The run must
    have ended.

    \b
    Examples:
      datamcp pipeline clear 01987e6a-… report
      datamcp pipeline clear 01987e6a-… prices --note "corrected at the source" --wait
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _go_on(run_id, lambda pipelines: pipelines.clear_step(run_id, step_id, note), **options)


@click.command()
@_run
@_step
@click.argument("state", type=click.Choice(get_args(Mark)), metavar="STATE")
@click.option(
    "--note", metavar="TEXT", required=True, help="Why; it is shown with the step, and required."
)
@wait_options
@json_option
def mark(
    run_id: str,
    step_id: str,
    state: Mark,
    note: str,
    **options: Any,
) -> None:
    """Say how a step has ended: STATE is succeeded, failed or skipped.

    In a run that goes on, this is for a step that has not begun. Of a run that has ended a new one
    is made, in which all that depends on the step runs again. A step that is marked succeeded has
    no output.

    \b
    Examples:
      datamcp pipeline mark 01987e6a-… upload succeeded --note "sent by hand"
      datamcp pipeline mark 01987e6a-… optional skipped --note "not this month" --wait
    """  # noqa: D301  click's mark for text that is not re-wrapped
    if not note.strip():
        raise click.UsageError("--note must say why")
    _go_on(
        run_id,
        lambda pipelines: pipelines.mark_step(run_id, step_id, state, note),
        done=f"step {step_id} of run {run_id} is marked {state}",
        **options,
    )


def _go_on(
    run_id: str,
    change: "Callable[[SyncPipelineOrchestrator], str]",
    *,
    done: str = "",
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Make a change, say which run goes on, and show how it ends if somebody waits for that."""
    is_waited_for = wait or timeout is not None
    with session().runtime() as runtime:
        runtime.app.require_broker()
        pipelines = runtime.pipelines.sync
        goes_on = change(pipelines)
        if not as_json:
            is_same = goes_on == run_id
            line = done or f"run {run_id} goes on" if is_same else _new(pipelines, run_id, goes_on)
            click.echo(line, err=is_waited_for)
        if is_waited_for:
            wait_and_show(click.get_current_context(), runtime, goes_on, timeout, as_json=as_json)
        elif as_json:
            print_json(pipelines.monitor_execution(goes_on))


def _new(pipelines: "SyncPipelineOrchestrator", run_id: str, goes_on: str) -> str:
    steps = pipelines.monitor_execution(goes_on).tasks
    taken = sum(step.adopted_from is not None for step in steps.values())
    return (
        f"run {goes_on} goes on from {run_id}: "
        f"{taken:,} of {counted(len(steps), 'step')} taken over"
    )
