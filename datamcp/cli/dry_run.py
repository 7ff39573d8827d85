"""`datamcp pipeline trigger --dry-run`: what a run would be, with nothing written."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel, Field

from datamcp.cli.output import counted, print_json
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.drawing import shortened
from datamcp.pipelines.gate import rule_of
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.preview import configuration_of, remarks

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime
    from datamcp.pipelines.new_run import NewStep

_MAX_SHOWN = 200  # characters of a value that a line shows


class DryStep(BaseModel):
    """A step as it would run; `configuration` keeps the references to what is known only then.

    `waits_for` are the steps before it. `gate` says when somebody looks whether it may start: open,
    once all of them have succeeded, without a look; last, once all have ended; each, with the end
    of each. `timeout` is seconds, null for as long as the run.
    """

    step_id: str
    processor: str
    queue: str
    waits_for: list[str]
    trigger_rule: str
    gate: str
    when: str | None
    map: dict[str, Any] | None
    max_attempts: int
    timeout: float | None
    configuration: dict[str, Any]
    remarks: list[str] = Field(exclude=True)


class DryRun(BaseModel):
    """What `pipeline trigger --dry-run` says: a run, and its steps in an order in which they may run."""

    pipeline_id: str
    version: str
    revision: int
    parameters: dict[str, Any]
    timeout: float | None
    deadline: float | None
    steps: list[DryStep]


def show_dry_run(
    runtime: "Runtime", pipeline_id: str, values: Mapping[str, Any], *, as_json: bool
) -> None:
    """Show what a run with these parameters would be; raises as `trigger_pipeline` does."""
    found = _dry_run(runtime, pipeline_id, values)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(_lines(found)))
        click.echo("nothing was written or sent", err=True)


def _dry_run(runtime: "Runtime", pipeline_id: str, values: Mapping[str, Any]) -> DryRun:
    pipelines = runtime.pipelines.sync
    new = pipelines.dry_run(pipeline_id, values)
    definition = pipelines.get_pipeline(pipeline_id, new.run.revision).definition
    parameters: dict[str, Any] = json.loads(new.run.parameters)
    rows = {step.step_id: step for step in new.steps}
    defined = {step.task_id: step for step in definition.steps}
    graph = Graph.of(definition)
    steps = [
        _dry_step(definition, defined[step_id], rows[step_id], graph, parameters)
        for step_id in graph.order
    ]
    return DryRun(
        pipeline_id=pipeline_id,
        version=new.run.version,
        revision=new.run.revision,
        parameters=parameters,
        timeout=new.run.timeout,
        deadline=new.run.deadline,
        steps=steps,
    )


def _dry_step(
    definition: PipelineDefinition,
    step: TaskDefinition,
    row: "NewStep",
    graph: Graph,
    parameters: Mapping[str, Any],
) -> DryStep:
    return DryStep(
        step_id=step.task_id,
        processor=step.processor,
        queue=row.queue,
        waits_for=list(graph.upstreams[step.task_id]),
        trigger_rule=rule_of(definition, step),
        gate=row.gate.name.lower(),
        when=step.when,
        map=None if step.map is None else step.map.model_dump(),
        max_attempts=row.max_attempts,
        timeout=row.timeout,
        configuration=configuration_of(step, parameters),
        remarks=list(remarks(definition, step, parameters)),
    )


def _lines(found: DryRun) -> Iterator[str]:
    yield (
        f"{found.pipeline_id}, version {found.version} (revision {found.revision}): "
        f"{counted(len(found.steps), 'step')}"
    )
    for name, value in found.parameters.items():
        yield f"  {name} = {_value(value)}"
    for place, step in enumerate(found.steps, 1):
        yield f"\n{place:>3}. {step.step_id}  {step.processor}  on queue {step.queue}"
        if step.waits_for:
            yield f"       after {', '.join(step.waits_for)}"
        for remark in step.remarks:
            yield f"       {shortened(remark, _MAX_SHOWN)}"
        for name, value in step.configuration.items():
            yield f"       {name} = {_value(value)}"


def _value(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), _MAX_SHOWN)
