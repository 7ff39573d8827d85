"""`datamcp pipeline …`: check, register, run and watch pipelines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from rich.table import Table

from datamcp.cli.output import console, duration, instant, json_option, messages, print_json
from datamcp.cli.output import state_text as state_of
from datamcp.cli.parameters import parameter_options, read_document, read_pairs
from datamcp.cli.progress import follow, run_table
from datamcp.cli.session import FAILED, UNREACHABLE, CommandGroup, session
from datamcp.clock import SystemClock
from datamcp.errors import ResultTimeoutError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.loader import load
from datamcp.pipelines.status import Pipeline, PipelineStatus, RunState


class Checked(BaseModel):
    """What `pipeline validate` says of a file that is right."""

    file: str
    pipeline_id: str
    version: str
    steps: int
    valid: bool = True


@click.group(cls=CommandGroup)
def pipeline() -> None:
    """Check, register, run and watch pipelines."""


@pipeline.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Check pipeline files as a whole, without a database or broker.

    Every problem is told at once, with its line. Exit code 2 if there is one.

    \b
    Example:
      datamcp pipeline validate config/pipelines/*.yaml
    """  # noqa: D301  click's mark for text that is not re-wrapped
    definitions = [(file, _load(file)) for file in files]
    checked = [
        Checked(
            file=str(file),
            pipeline_id=definition.pipeline_id,
            version=definition.version,
            steps=len(definition.tasks),
        )
        for file, definition in definitions
    ]
    if as_json:
        print_json(checked)
        return
    for item in checked:
        console().print(f"{item.file}: {item.pipeline_id} is valid, {item.steps} steps")


@pipeline.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def register(file: Path, as_json: bool) -> None:
    """Register the pipeline in FILE; new runs use it from now on.

    The same content again changes nothing. Other content becomes a new revision; runs keep the
    one that they started with.
    """
    definition = _load(file)
    with session().runtime() as runtime:
        registered = runtime.pipelines.sync.register_pipeline(definition)
    if as_json:
        print_json(registered)
        return
    console().print(
        f"registered {registered.pipeline_id}, version {registered.version} "
        f"(revision {registered.revision}), {len(definition.tasks)} steps"
    )


@pipeline.command()
@click.argument("pipeline_id")
@parameter_options
@click.option("--wait", is_flag=True, help="Show the run until it ends.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait; for ever by default.",
)
@json_option
@click.pass_context
def trigger(
    ctx: click.Context,
    pipeline_id: str,
    pairs: tuple[str, ...],
    document: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Start a run of PIPELINE_ID.

    Parameters are checked against the definition before anything is written.

    \b
    Examples:
      datamcp pipeline trigger flights --wait
      datamcp pipeline trigger flights -p month=2013_02 -p data=/data --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        pipelines = runtime.pipelines.sync
        definition = pipelines.get_pipeline(pipeline_id).definition
        values = read_document(document) | _typed(definition, read_pairs(pairs))
        triggered = pipelines.submit(pipeline_id, values, triggered_by="cli")
        if triggered.unpublished:
            click.echo(
                f"Error: {triggered.unpublished}; run {triggered.run_id} is kept and will start "
                "once the broker is back",
                err=True,
            )
            _show(pipelines.monitor_execution(triggered.run_id), as_json=as_json)
            ctx.exit(UNREACHABLE)
        if wait:
            try:
                status = _wait(runtime, triggered.run_id, timeout)
            except ResultTimeoutError as error:
                click.echo(f"Error: {error}", err=True)
                ctx.exit(FAILED)
        else:
            status = pipelines.monitor_execution(triggered.run_id)
    _show(status, as_json=as_json)
    if wait:
        ctx.exit(0 if status.state is RunState.SUCCEEDED else FAILED)


@pipeline.command()
@click.argument("run_id")
@click.option("--watch", is_flag=True, help="Show the run until it ends.")
@json_option
def status(run_id: str, watch: bool, as_json: bool) -> None:
    """Show how far a run is, with all its steps."""
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.monitor_execution(run_id)
        if watch and not found.is_final:
            found = _wait(runtime, run_id, None)
    _show(found, as_json=as_json)


@pipeline.command(name="list")
@json_option
def list_pipelines(as_json: bool) -> None:
    """List the registered pipelines, each with its last run."""
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.list_pipelines()
        last = [_last_run(runtime, item.pipeline_id) for item in found]
    if as_json:
        print_json(found)
        return
    console().print(_pipelines_table(found, last))


@pipeline.command()
@click.argument("pipeline_id", required=False)
@click.option(
    "--state",
    type=click.Choice([state.value for state in RunState]),
    help="Only runs in this state.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
def runs(pipeline_id: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first; of one pipeline, or of all."""
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.list_runs(
            pipeline_id=pipeline_id, state=RunState(state) if state else None, limit=limit
        )
    if as_json:
        print_json(found)
        return
    console().print(_runs_table(found))


@pipeline.command()
@click.argument("run_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, run_id: str, as_json: bool) -> None:
    """Cancel a run: steps that wait never start. Exit code 1: it had already ended."""
    with session().runtime() as runtime:
        is_cancelled = runtime.pipelines.sync.cancel_pipeline(run_id)
        found = runtime.pipelines.sync.monitor_execution(run_id)
    _show(found, as_json=as_json)
    if not is_cancelled:
        click.echo(f"run {run_id} had already ended: {found.state}", err=True)
        ctx.exit(FAILED)


def _load(file: Path) -> PipelineDefinition:
    return load(file)


def _typed(definition: PipelineDefinition, words: dict[str, str]) -> dict[str, Any]:
    """Return words as values of the parameters' types, where they are; checked later."""
    import json

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


def _wait(runtime: Any, run_id: str, timeout: float | None) -> PipelineStatus:
    pipelines = runtime.pipelines.sync
    shown = messages()
    if timeout is not None:
        with shown.status(f"waiting for run {run_id}"):
            waited: PipelineStatus = pipelines.wait(run_id, timeout)
        return waited
    return follow(shown, lambda: pipelines.monitor_execution(run_id), SystemClock())


def _show(status: PipelineStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(status)
    else:
        console().print(run_table(status, SystemClock().now()))


def _last_run(runtime: Any, pipeline_id: str) -> PipelineStatus | None:
    found: list[PipelineStatus] = runtime.pipelines.sync.list_runs(pipeline_id=pipeline_id, limit=1)
    return found[0] if found else None


def _pipelines_table(pipelines: Sequence[Pipeline], last: Sequence[PipelineStatus | None]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("pipeline", "version", "revision", "steps", "registered", "last run", "state"):
        table.add_column(name, no_wrap=True)
    for item, run in zip(pipelines, last, strict=True):
        table.add_row(
            item.pipeline_id,
            item.version,
            str(item.revision),
            str(len(item.definition.tasks)),
            instant(item.registered_at),
            instant(run.created_at) if run else "",
            state_of(run.state) if run else "",
        )
    return table


def _runs_table(runs: Sequence[PipelineStatus]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("run", "pipeline", "state", "done", "triggered", "took", "error"):
        table.add_column(name, no_wrap=name != "error")
    for run in runs:
        table.add_row(
            run.run_id,
            run.pipeline_id,
            state_of(run.state),
            f"{run.progress:.0%}",
            instant(run.created_at),
            duration(run.started_at, run.finished_at),
            run.error_message or "",
        )
    return table
