"""The commands of `datamcp pipeline` that tell a run what it waits for: signal, approve, reject."""

from collections.abc import Mapping

import click
from pydantic import TypeAdapter, ValidationError

from datamcp.cli.group import FAILED
from datamcp.cli.output import json_option, print_json
from datamcp.cli.parameters import read_json
from datamcp.cli.session import session
from datamcp.pipelines.definition import Identifier
from datamcp.pipelines.status import PipelineStatus, StepStatus

_NAME: TypeAdapter[str] = TypeAdapter(Identifier)
_APPROVAL = "approval"  # what a step says that it waits for

_run = click.argument("run_id")
_step = click.argument("step_id", metavar="[STEP]", required=False)
_note = click.option("--note", metavar="TEXT", help="Why; it is shown with the step.")


@click.command()
@_run
@click.argument("name")
@click.option(
    "--payload",
    metavar="JSON|@FILE|-",
    help="What the step that waits leaves as its value; null if it is left out.",
)
@json_option
@click.pass_context
def signal(ctx: click.Context, run_id: str, name: str, payload: str | None, as_json: bool) -> None:
    """Tell a run what a step of it waits for (`wait.signal`).

    A signal may come before its step does. The first one of a NAME counts; exit code 1: the run
    was told before.

    \b
    Examples:
      datamcp pipeline signal 01987e6a-… delivered
      datamcp pipeline signal 01987e6a-… delivered --payload '{"rows": 1200}'
      datamcp pipeline signal 01987e6a-… delivered --payload @delivery.json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    try:
        _NAME.validate_python(name)
    except ValidationError:
        problem = f"a signal's name may hold letters, digits, '_', '-' and '.' only, got {name!r}"
        raise click.UsageError(problem) from None
    value = None if payload is None else read_json(payload, "--payload")
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        waiting = _waiting(pipelines.monitor_execution(run_id).tasks, f"signal {name}")
        is_new = pipelines.signal(run_id, name, value)
        found = pipelines.monitor_execution(run_id)
    who = f"step {', '.join(waiting)} waited for it" if waiting else "no step waits for it yet"
    _show(ctx, found, f"run {run_id} was told {name}; {who}", is_new=is_new, as_json=as_json)


@click.command()
@_run
@_step
@_note
@json_option
@click.pass_context
def approve(
    ctx: click.Context, run_id: str, step_id: str | None, note: str | None, as_json: bool
) -> None:
    """Approve a step that waits for it (`wait.approval`), so that it succeeds.

    STEP may be left out where exactly one waits. Exit code 1: somebody has approved or rejected it
    before.

    \b
    Examples:
      datamcp pipeline approve 01987e6a-…
      datamcp pipeline approve 01987e6a-… release --note "figures compared with the ledger"
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _decide(ctx, run_id, step_id, note, is_approved=True, as_json=as_json)


@click.command()
@_run
@_step
@_note
@json_option
@click.pass_context
def reject(
    ctx: click.Context, run_id: str, step_id: str | None, note: str | None, as_json: bool
) -> None:
    """Reject a step that waits for approval (`wait.approval`), so that it fails.

    STEP may be left out where exactly one waits. Exit code 1: somebody has approved or rejected it
    before.

    \b
    Examples:
      datamcp pipeline reject 01987e6a-… --note "March is missing"
      datamcp pipeline reject 01987e6a-… release --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    _decide(ctx, run_id, step_id, note, is_approved=False, as_json=as_json)


def _decide(
    ctx: click.Context,
    run_id: str,
    step_id: str | None,
    note: str | None,
    *,
    is_approved: bool,
    as_json: bool,
) -> None:
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        step = step_id or _only(pipelines.monitor_execution(run_id))
        is_new = pipelines.approve(run_id, step, note, is_approved=is_approved)
        found = pipelines.monitor_execution(run_id)
    line = f"step {step} of run {run_id} is {'approved' if is_approved else 'rejected'}"
    _show(ctx, found, line, is_new=is_new, as_json=as_json)


def _only(status: PipelineStatus) -> str:
    """Return the only step that waits for approval; raises click.UsageError."""
    waiting = _waiting(status.tasks, _APPROVAL)
    if len(waiting) == 1:
        return waiting[0]
    if waiting:
        raise click.UsageError(f"several steps wait for approval; name one: {', '.join(waiting)}")
    raise click.UsageError(
        f"no step of run {status.run_id} waits for approval now; name one that will"
        if not status.is_final
        else f"run {status.run_id} is {status.state}: no step of it waits any more"
    )


def _waiting(steps: Mapping[str, StepStatus], what: str) -> list[str]:
    return [step_id for step_id, step in steps.items() if step.waiting_for == what]


def _show(
    ctx: click.Context, found: PipelineStatus, line: str, *, is_new: bool, as_json: bool
) -> None:
    if as_json:
        print_json(found)
    elif is_new:
        click.echo(line)
    if not is_new:
        click.echo(
            f"Error: run {found.run_id} was told that before; the first time counts", err=True
        )
        ctx.exit(FAILED)
