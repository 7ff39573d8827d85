"""Commands on pipelines themselves: check, register and list them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from datamcp.cli.installed import finder, lenient_finder
from datamcp.cli.output import counted, json_option, print_json, show
from datamcp.cli.pipeline_tables import pipelines_table
from datamcp.cli.session import session
from datamcp.clock import SystemClock
from datamcp.errors import InvalidPipelineError, Problem
from datamcp.pipelines.configurations import Finder
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.loader import load
from datamcp.pipelines.status import PipelineStatus

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime


class Checked(BaseModel):
    """What `pipeline validate` says of a file that is right."""

    file: str
    pipeline_id: str
    version: str
    steps: int
    valid: bool = True


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Check pipeline files, without database or broker.

    Every problem of every file is told at once, with its line. Exit code 2 if there is one. What
    processors accept is checked, too, and capabilities of the agents that are configured here, as
    far as their configuration does not depend on references.

    \b
    Examples:
      datamcp pipeline validate flights.yaml
      datamcp pipeline validate config/pipelines/*.yaml --json
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with lenient_finder() as find:
        definitions = _load_all(files, find)
    checked = [
        Checked(
            file=str(file),
            pipeline_id=definition.pipeline_id,
            version=definition.version,
            steps=len(definition.steps),
        )
        for file, definition in definitions
    ]
    if as_json:
        print_json(checked)
        return
    for item in checked:
        click.echo(f"{item.file}: {item.pipeline_id} is valid, {counted(item.steps, 'step')}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def register(file: Path, as_json: bool) -> None:
    """Register the pipeline in FILE.

    New runs use it from now on. The same content again changes nothing; other content becomes a
    new revision, and runs keep the one that they started with.

    \b
    Examples:
      datamcp pipeline register flights.yaml
      datamcp pipeline register flights.yaml --json | jq .revision
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().parts() as parts:
        most = parts.config.pipelines.max_retry_attempts
        definition = load(file, find=finder(parts), most_retries=most)
    with session().runtime() as runtime:
        registered = runtime.pipelines.sync.register_pipeline(definition)
    if as_json:
        print_json(registered)
        return
    click.echo(
        f"registered {registered.pipeline_id}, version {registered.version} "
        f"(revision {registered.revision}), {counted(len(definition.steps), 'step')}"
    )


@click.command(name="list")
@json_option
def list_pipelines(as_json: bool) -> None:
    """List the registered pipelines, each with its last run.

    \b
    Examples:
      datamcp pipeline list
      datamcp pipeline list --json | jq '.[].pipeline_id'
    """  # noqa: D301  click's mark for text that is not re-wrapped
    with session().runtime() as runtime:
        found = runtime.pipelines.sync.list_pipelines()
        last = [_last_run(runtime, item.pipeline_id) for item in found]
    if as_json:
        print_json(found)
    else:
        show(pipelines_table(found, last, now=SystemClock().now()))


def _load_all(
    files: tuple[Path, ...], find: Finder | None
) -> list[tuple[Path, PipelineDefinition]]:
    """Return the definitions of files; raises InvalidPipelineError with the problems of all."""
    loaded: list[tuple[Path, PipelineDefinition]] = []
    wrong: list[InvalidPipelineError] = []
    for file in files:
        try:
            loaded.append((file, load(file, find=find)))
        except InvalidPipelineError as error:
            wrong.append(error)
    if len(wrong) > 1:
        problems = [
            Problem(
                f"{error.name}: {problem.path}" if problem.path else error.name, problem.message
            )
            for error in wrong
            for problem in error.problems
        ]
        raise InvalidPipelineError(f"files ({len(wrong)})", problems)
    if wrong:
        raise wrong[0]
    return loaded


def _last_run(runtime: "Runtime", pipeline_id: str) -> PipelineStatus | None:
    found = runtime.pipelines.sync.list_runs(pipeline_id=pipeline_id, limit=1)
    return found[0] if found else None
