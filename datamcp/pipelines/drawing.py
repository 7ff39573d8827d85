"""A pipeline as a picture: a Mermaid flowchart or a Graphviz digraph. Pure.

An edge along which data goes is solid: one from `input_sources`, or from a reference that becomes
a value. One that only says what comes first is dashed.

Source: mermaid.js.org, "Flowcharts", entity codes; graphviz.org, "The DOT Language", escString.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.references import edges

EdgeKind = Literal["data", "order"]

_MAX_LINE = 60  # characters of an expression or a list that a label shows

_UNWRITTEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MERMAID = {ord(sign): f"#{ord(sign)};" for sign in "#\"'&<>`\\;{}"} | {ord("\n"): "<br/>"}
_DOT = {ord("\\"): "\\\\", ord('"'): '\\"', ord("&"): "&amp;", ord("\n"): "\\n"}


@dataclass(frozen=True, slots=True)
class Node:
    """A step: its id, and the lines that tell about it."""

    step_id: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A step that waits for another one."""

    upstream: str
    downstream: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class Drawing:
    """What there is to draw; nodes come after those that they wait for."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def draw(definition: PipelineDefinition, graph: Graph) -> Drawing:
    """Return the nodes and edges of a pipeline; `graph` is its own."""
    steps = steps_of(definition)
    order = dict.fromkeys([*graph.order, *steps])
    return Drawing(
        title=definition.name or definition.pipeline_id,
        nodes=tuple(Node(step, tuple(_lines(steps.get(step)))) for step in order),
        edges=tuple(_edges(graph, steps)),
    )


def mermaid(drawing: Drawing) -> str:
    """Return a Mermaid flowchart, from top to bottom."""
    names = {node.step_id: f"n{index}" for index, node in enumerate(drawing.nodes)}
    arrows: dict[EdgeKind, str] = {"data": "-->", "order": "-.->"}
    lines = [f"---\ntitle: {json.dumps(_clean(drawing.title))}\n---\nflowchart TD"]
    for node in drawing.nodes:
        label = "\n".join((node.step_id, *node.lines))
        lines.append(f'  {names[node.step_id]}["{_clean(label).translate(_MERMAID)}"]')
    lines += [
        f"  {names[edge.upstream]} {arrows[edge.kind]} {names[edge.downstream]}"
        for edge in drawing.edges
    ]
    return "\n".join(lines) + "\n"


def dot(drawing: Drawing) -> str:
    """Return a digraph in Graphviz's language, from top to bottom."""
    title = _quoted(drawing.title)
    lines = [f"digraph {title} {{"]
    lines.append(f'  graph [label={title}, labelloc=t, rankdir=TB, fontname="sans-serif"]')
    lines.append('  node [shape=box, style=rounded, fontname="sans-serif"]')
    for node in drawing.nodes:
        label = "\n".join((node.step_id, *node.lines))
        lines.append(f"  {_quoted(node.step_id)} [label={_quoted(label)}]")
    for edge in drawing.edges:
        style = " [style=dashed]" if edge.kind == "order" else ""
        lines.append(f"  {_quoted(edge.upstream)} -> {_quoted(edge.downstream)}{style}")
    return "\n".join(lines) + "\n}\n"


def steps_of(definition: PipelineDefinition) -> Mapping[str, TaskDefinition]:
    """Return every step of a definition by its id, in whichever of its lists it stands."""
    lists = (getattr(definition, name) for name in type(definition).model_fields)
    return {
        step.task_id: step
        for items in lists
        if isinstance(items, tuple)
        for step in items
        if isinstance(step, TaskDefinition)
    }


def _edges(graph: Graph, steps: Mapping[str, TaskDefinition]) -> Iterator[Edge]:
    for step in graph.order:
        receives = _receives(steps[step]) if step in steps else set()
        for up in graph.upstreams[step]:
            yield Edge(up, step, "data" if up in receives else "order")


def _receives(step: TaskDefinition) -> set[str]:
    over = "" if step.map is None else step.map.over
    return {*step.input_sources, *edges([step.configuration, over])}


def _lines(step: TaskDefinition | None) -> Iterator[str]:
    if step is None:
        return
    yield step.processor
    if step.trigger_rule != "all_success":
        yield f"trigger_rule: {step.trigger_rule}"
    if step.when is not None:
        yield f"when: {shortened(step.when)}"
    if step.map is not None:
        yield f"map: {shortened(step.map.over)} as {step.map.as_}"


def shortened(text: str, most: int = _MAX_LINE) -> str:
    """Return a text on one line that is not too long and can be written anywhere."""
    line = " ".join(_clean(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _clean(text: str) -> str:
    return _UNWRITTEN.sub(" ", text)


def _quoted(text: str) -> str:
    return f'"{_clean(text).translate(_DOT)}"'
