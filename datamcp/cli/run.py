"""Runs of pipelines: the commands of `datamcp pipeline` that start, watch, list and cancel them."""

import json
from typing import TYPE_CHECKING, Any

import click

from datamcp.cli.dry_run import show_dry_run
from datamcp.cli.group import FAILED, UNREACHABLE
from datamcp.cli.output import console, json_option, messages, print_json, show
from datamcp.cli.parameters import (
    parameter_options,
    read_document,
    read_instant,
    read_pairs,
    wait_options,
)
from datamcp.cli.pipeline_tables import runs_table
from datamcp.cli.progress import follow
from datamcp.cli.run_remarks import wait_for_room
from datamcp.cli.session import session
from datamcp.cli.watch import conclude, goes_on, show_run
from datamcp.clock import SystemClock
from datamcp.errors import ResultTimeoutError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.status import PipelineStatus, RunState

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime


@click.command()
@click.argument("pipeline_id")
@parameter_options
@click.option(
    "--at",
    metavar="INSTANT",
    help="Start at this ISO 8601 instant; local time if it names no zone.",
)
@click.option("--dry-run", is_flag=True, help="Show what would run; write and send nothing.")
@wait_options
@json_option
@click.pass_context
def trigger(
    ctx: click.Context,
    pipeline_id: str,
    pairs: tuple[str, ...],
    document: str | None,
    at: str | None,
    dry_run: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Start a run of PIPELINE_ID.

    Parameters are checked against the definition before anything is written. With --at the run
    waits, as a row of the ledger, and beat starts it when it is due. With --wait the exit
    code is 1 if the run does not succeed, or does not end in time; it goes on then. With --dry-run
    the steps are shown as they would run, each with what it waits for and its configuration.

    \b
    Examples:
      datamcp pipeline trigger flights --wait
      datamcp pipeline trigger flights -p month=2013_02 --dry-run
      datamcp pipeline trigger flights -p month=2013_02 -p data=/data --json
      datamcp pipeline trigger flights --parameters @february.json --wait --timeout 60
      datamcp pipeline trigger flights --at 2030-01-01T00:00Z
    """  # noqa: D301  click's mark for text that is not re-wrapped
    due = read_instant(at)
    with session().runtime() as runtime:
        if not dry_run:
            runtime.app.require_broker()
        pipelines = runtime.pipelines.sync
        definition = pipelines.get_pipeline(pipeline_id).definition
        values = read_document(document) | typed(definition, read_pairs(pairs))
        if dry_run:
            show_dry_run(runtime, pipeline_id, values, as_json=as_json)
            return
        triggered = pipelines.submit(pipeline_id, values, triggered_by="cli", scheduled_at=due)
        if triggered.unpublished:
            show_run(pipelines.monitor_execution(triggered.run_id), as_json=as_json)
            click.echo(
                f"Error: {triggered.unpublished}; run {triggered.run_id} is kept and will start "
                "once the broker is back",
                err=True,
            )
            ctx.exit(UNREACHABLE)
        if wait or timeout is not None:
            wait_and_show(ctx, runtime, triggered.run_id, timeout, as_json=as_json)
        else:
            show_run(pipelines.monitor_execution(triggered.run_id), as_json=as_json)


@click.command()
@click.argument("run_id")
@click.option("--watch", is_flag=True, help="Show the run until it ends.")
@json_option
@click.pass_context
def status(ctx: click.Context, run_id: str, watch: bool, as_json: bool) -> None:
    """Show how far a run is, with all its steps: their times, rows, attempts and errors.

    \b
    Examples:
      datamcp pipeline status 01987e6a-… --watch
      datamcp pipeline status 01987e6a-… --json | jq .tasks.report.output
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.monitor_execution(run_id)
        if watch and not found.is_final:
            with goes_on(ctx, run_id):
                found = _follow(runtime, run_id, None)
        room = None if as_json else wait_for_room(runtime, found, SystemClock().now())
    show_run(found, as_json=as_json)
    if room:
        click.echo(room)


@click.command()
@click.argument("pipeline_id", required=False)
@click.option(
    "--state",
    type=click.Choice([state.value for state in RunState]),
    metavar="STATE",
    help=f"Only runs in this state: {', '.join(RunState)}.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
def runs(pipeline_id: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first.

    \b
    Examples:
      datamcp pipeline runs
      datamcp pipeline runs flights --state failed
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.list_runs(
            pipeline_id=pipeline_id, state=RunState(state) if state else None, limit=limit
        )
    if as_json:
        print_json(found)
        return
    width = console().width
    show(runs_table(found, width=width, now=SystemClock().now()))


@click.command()
@click.argument("run_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, run_id: str, as_json: bool) -> None:
    """Cancel a run.

    Steps that wait never start; those that run are told at their next heartbeat. Exit code 1: the
    run had already ended.

    \b
    Example:
      datamcp pipeline cancel 01987e6a-…
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        is_cancelled = runtime.pipelines.sync.cancel_pipeline(run_id)
        found = runtime.pipelines.sync.monitor_execution(run_id)
    show_run(found, as_json=as_json)
    if not is_cancelled:
        click.echo(f"Error: run {run_id} had already ended: {found.state}", err=True)
        ctx.exit(FAILED)


def typed(definition: PipelineDefinition, words: dict[str, str]) -> dict[str, Any]:
    """Return words as values of the parameters' types, where they are; checked later."""
    values: dict[str, Any] = {}
    for name, word in words.items():
        parameter = definition.parameters.get(name)
        if parameter is None or parameter.type == "string":
            values[name] = word
            continue
        try:
            values[name] = json.loads(word)
        except ValueError:
            values[name] = word
    return values


def wait_and_show(
    ctx: click.Context, runtime: "Runtime", run_id: str, timeout: float | None, *, as_json: bool
) -> None:
    """Wait for a run's end and show it; exit code 1 unless it succeeds in time."""
    try:
        with goes_on(ctx, run_id):
            found = _follow(runtime, run_id, timeout)
    except ResultTimeoutError as error:
        show_run(runtime.pipelines.sync.monitor_execution(run_id), as_json=as_json)
        line = f"run {run_id} is still {error.state} after {error.timeout:g} s"
        click.echo(f"Error: {line}", err=True)
        ctx.exit(FAILED)
    show_run(found, as_json=as_json)
    conclude(ctx, found)


def _follow(runtime: "Runtime", run_id: str, timeout: float | None) -> PipelineStatus:
    """Wait for a run's end, live on a terminal; raises ResultTimeoutError after `timeout` seconds.

    Where stderr is no terminal nothing is shown, so that it holds errors only.
    """
    clock, pipelines, shown = SystemClock(), runtime.pipelines.sync, messages()
    if not shown.is_terminal:
        return pipelines.wait(run_id, timeout)
    deadline = None if timeout is None else clock.monotonic() + timeout

    def check_time() -> None:
        if deadline is not None and clock.monotonic() >= deadline:
            state = pipelines.monitor_execution(run_id).state
            raise ResultTimeoutError(run_id, timeout or 0, state)

    (found,) = follow(
        shown, lambda: [pipelines.monitor_execution(run_id)], clock, each_look=check_time
    )
    return found
