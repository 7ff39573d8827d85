"""`datamcp pipeline logs`: what the steps of a run have logged."""

from collections.abc import Sequence

import click

from datamcp.cli.output import json_option, print_json
from datamcp.cli.session import session
from datamcp.naming import did_you_mean
from datamcp.pipelines.exporter import StepLogLine
from datamcp.pipelines.status import PipelineStatus


@click.command()
@click.argument("run_id")
@click.argument("step_id", metavar="[STEP]", required=False)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Only this attempt of a step.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Last lines."
)
@json_option
def logs(run_id: str, step_id: str | None, attempt: int | None, limit: int, as_json: bool) -> None:
    """Show what the steps of a run have logged, the oldest first; or what STEP has.

    Lines of steps that run come a second late. The first thousand lines of each attempt are kept,
    for `monitoring.log_retention`.

    \b
    Examples:
      datamcp pipeline logs 01987e6a-…
      datamcp pipeline logs 01987e6a-… by_carrier --attempt 2
      datamcp pipeline logs 01987e6a-… --json | jq -r '.[].message'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.exporter.lines(run_id, limit=limit, step_id=step_id, attempt=attempt)
        if not found:
            _require(runtime.pipelines.sync.monitor_execution(run_id), step_id)
    if as_json:
        print_json(found)
    else:
        _print(found, has_names=step_id is None)


def _require(status: PipelineStatus, step_id: str | None) -> None:
    """Tell a step that is not there from one that has logged nothing."""
    if step_id is not None and step_id not in status.tasks:
        hint = did_you_mean(step_id, status.tasks)
        raise click.UsageError(f"run {status.run_id} has no step {step_id!r}{hint}")


def _print(lines: Sequence[StepLogLine], *, has_names: bool) -> None:
    width = max((len(line.step_id) for line in lines), default=0)
    for line in lines:
        at = f"{line.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
        name = f"{line.step_id:<{width}}  " if has_names else ""
        click.echo(f"{at}  {name}{line.attempt}  {line.level:<7}  {line.message}")
