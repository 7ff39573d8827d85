"""`datamcp pipeline plan`: how a file would be run, as text, a picture or data."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from datamcp.cli.output import counted, json_option, print_json
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.deliveries import expand
from datamcp.pipelines.drawing import Edge, dot, draw, mermaid, shortened, steps_of
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.loader import load
from datamcp.pipelines.outline import Canvas, Extent, Part, canvas_of, extent, outline
from datamcp.pipelines.plan import compile_plan, units

_MAX_SHOWN = 12  # steps of a row, or rows side by side, that a line shows


class PlannedStep(BaseModel):
    """A step of a plan; `level` is how many steps stand on the longest way to it, its own too."""

    step_id: str
    level: int
    processor: str
    trigger_rule: str
    when: str | None
    map: dict[str, Any] | None


class Planned(BaseModel):
    """What `pipeline plan` says of a file, in the order in which steps may run.

    `plan` has a line of the tree for each part, with its depth; `units` are what leaves as one
    canvas. `critical_path` is one of the longest paths; of all levels, `widest_level` has the most
    steps, `width` of them.
    """

    pipeline_id: str
    version: str
    steps: list[PlannedStep]
    edges: list[Edge]
    plan: list[Part]
    units: list[Canvas]
    levels: int
    critical_path: list[str]
    widest_level: int
    width: int


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a Mermaid flowchart.")
@click.option("--dot", "form", flag_value="dot", help="Print a digraph for Graphviz.")
@click.option(
    "--no-chords", is_flag=True, help="Plan for a broker whose result backend can't count."
)
@json_option
def plan(file: Path, form: str | None, no_chords: bool, as_json: bool) -> None:
    """Show how the pipeline in FILE would be run, without database or broker.

    The tree says what comes one after the other (series), what runs side by side (parallel), and
    where only the ledger knows the order (gated). Below it stands what would be sent to Celery:
    steps, chains, groups and chords; a → b is one after the other, [a | b] side by side.

    In a picture, data goes along solid lines; a dashed one only says what comes first. Mermaid
    draws up to 500 edges, unless its own configuration allows more.

    \b
    Examples:
      datamcp pipeline plan flights.yaml
      datamcp pipeline plan flights.yaml --dot | dot -Tsvg > flights.svg
      datamcp pipeline plan flights.yaml --mermaid > flights.mmd
      datamcp pipeline plan flights.yaml --json | jq .critical_path
    """  # noqa: D301  click's mark for text that is not re-wrapped
    if form and as_json:
        raise click.UsageError(f"--{form} is a picture, no JSON; give one of the two")
    definition = expand(load(file)).definition
    graph = Graph.of(definition)
    if form:
        picture = draw(definition, graph)
        click.echo(mermaid(picture) if form == "mermaid" else dot(picture), nl=False)
        return
    planned = _planned(definition, graph, chords=not no_chords)
    if as_json:
        print_json(planned)
    else:
        click.echo("\n".join(_lines(planned)))


def _planned(definition: PipelineDefinition, graph: Graph, *, chords: bool) -> Planned:
    tree = compile_plan(graph)
    size = extent(graph)
    return Planned(
        pipeline_id=definition.pipeline_id,
        version=definition.version,
        steps=_steps(definition, graph, size),
        edges=list(draw(definition, graph).edges),
        plan=list(outline(tree)),
        units=[canvas_of(unit) for unit in units(tree, graph, chords=chords)],
        levels=len(size.longest),
        critical_path=list(size.longest),
        widest_level=size.widest,
        width=size.width,
    )


def _steps(definition: PipelineDefinition, graph: Graph, size: Extent) -> list[PlannedStep]:
    found = steps_of(definition)
    return [
        PlannedStep(
            step_id=name,
            level=size.levels[name],
            processor=step.processor,
            trigger_rule=step.trigger_rule,
            when=step.when,
            map=None if step.map is None else step.map.model_dump(),
        )
        for name, step in ((name, found[name]) for name in graph.order)
    ]


def _lines(planned: Planned) -> Iterator[str]:
    yield (
        f"{planned.pipeline_id}, version {planned.version}: "
        f"{counted(len(planned.steps), 'step')}, {counted(len(planned.edges), 'edge')}"
    )
    yield (
        f"critical path: {counted(planned.levels, 'level')}, {_row(planned.critical_path)}; "
        f"widest: level {planned.widest_level}, {counted(planned.width, 'step')}"
    )
    yield "\nplan"
    notes = {step.step_id: _note(step) for step in planned.steps}
    for part in planned.plan:
        yield "  " * (part.depth + 1) + (part.step_id + notes.get(part.step_id, "") or part.kind)
    count = len(planned.units)
    yield f"\n{count:,} {'canvas' if count == 1 else 'canvases'}"
    width = max(len(unit.kind) for unit in planned.units)
    for unit in planned.units:
        yield f"  {unit.kind:<{width}}  {_canvas(unit)}"


def _note(step: PlannedStep) -> str:
    rule = "" if step.trigger_rule == "all_success" else f"  {step.trigger_rule}"
    when = "" if step.when is None else f"  when {shortened(step.when)}"
    mapped = (
        "" if step.map is None else f"  for each {step.map['as']} of {shortened(step.map['over'])}"
    )
    return rule + when + mapped


def _canvas(unit: Canvas) -> str:
    rows = _cut([_row(branch) for branch in unit.branches])
    branches = [f"[{' | '.join(rows)}]"] if rows else []
    return " → ".join(filter(None, (_row(unit.first), *branches, _row(unit.last))))


def _row(steps: Sequence[str]) -> str:
    return " → ".join(_cut(steps))


def _cut(names: Sequence[str]) -> list[str]:
    if len(names) <= _MAX_SHOWN:
        return [*names]
    hidden = len(names) - _MAX_SHOWN + 1
    return [*names[: _MAX_SHOWN - 2], f"… {hidden:,} more", names[-1]]
