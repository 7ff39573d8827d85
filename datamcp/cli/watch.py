"""`datamcp pipeline watch`: a run until it ends, and how to stop looking without stopping it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from datamcp.cli.group import FAILED, INTERRUPTED
from datamcp.cli.output import console, json_option, messages, print_json, show
from datamcp.cli.pipeline_tables import headline, run_table
from datamcp.cli.progress import follow
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.pipelines.status import PipelineStatus, RunState


@click.command()
@click.argument("run_id")
@json_option
@click.pass_context
def watch(ctx: click.Context, run_id: str, as_json: bool) -> None:
    """Show a run until it ends.

    On a terminal it is a live table, else a line for each step that ends. Ctrl-C stops the
    watching, not the run: the exit code is 130 then. Else it is that of --wait: 1 if the run does
    not succeed.

    \b
    Examples:
      datamcp pipeline watch 01987e6a-…
      datamcp pipeline watch 01987e6a-… --json | jq .state
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        pipelines.monitor_execution(run_id)
        with goes_on(ctx, run_id):
            if as_json and not messages().is_terminal:
                found = pipelines.wait(run_id)
            else:
                (found,) = follow(
                    messages() if as_json else console(),
                    lambda: [pipelines.monitor_execution(run_id)],
                    SystemClock(),
                    is_kept=not as_json,
                )
    if as_json:
        print_json(found)
    elif not console().is_terminal:
        show(headline(found, SystemClock().now()))
    conclude(ctx, found)


@contextmanager
def goes_on(ctx: click.Context, run_id: str) -> Iterator[None]:
    """Let Ctrl-C end the looking during the block, and say that the run itself goes on."""
    try:
        yield
    except KeyboardInterrupt:
        cancel = session().command(f"pipeline cancel {run_id}")
        click.echo(f"run {run_id} goes on; to cancel it: {cancel}", err=True)
        ctx.exit(INTERRUPTED)


def show_run(status: PipelineStatus, *, as_json: bool) -> None:
    """Write a run as it is, as a table or as JSON."""
    if as_json:
        print_json(status)
    else:
        show(run_table(status, SystemClock().now()))


def conclude(ctx: click.Context, status: PipelineStatus) -> None:
    """End a command as a run ended: with exit code 1, and a line, unless it succeeded."""
    if status.state is not RunState.SUCCEEDED:
        if status.error_message:
            line = f"run {status.run_id} {status.state}: {status.error_message}"
            click.echo(f"Error: {line}", err=True)
        ctx.exit(FAILED)
