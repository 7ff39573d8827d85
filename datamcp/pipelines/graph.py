"""The graph of a pipeline: which step waits for which. Pure.

An edge comes from `input_sources`, from `dependencies`, or from a reference to another step's
output; the union of the three counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from types import MappingProxyType

from datamcp.errors import InvalidPipelineError, Problem
from datamcp.naming import did_you_mean
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.gate import is_early
from datamcp.pipelines.needs import needed

Upstreams = Mapping[str, Iterable[str]]
"""Each step in order of definition, with the steps that it waits for."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps and edges, without a cycle.

    `steps` are in order of definition. `order` has upstreams first and is stable: of the steps
    that may come next, the one defined first does.
    """

    steps: tuple[str, ...]
    upstreams: Mapping[str, tuple[str, ...]]
    downstreams: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]

    @classmethod
    def of(cls, definition: PipelineDefinition) -> "Graph":
        """Return the graph of a definition.

        Raises InvalidPipelineError for a step that is defined twice, one that does not exist,
        and every cycle.
        """
        count = Counter(step.task_id for step in definition.steps)
        twice = [Problem(step, "is defined twice") for step in count if count[step] > 1]
        if twice:
            raise InvalidPipelineError(definition.pipeline_id, twice)
        return cls.from_edges(upstreams_of(definition), name=definition.pipeline_id)

    @classmethod
    def from_edges(cls, upstreams: Upstreams, *, name: str = "graph") -> "Graph":
        """Return the graph of these edges; `name` is whom an error speaks of.

        Raises InvalidPipelineError for a step that does not exist and every cycle.
        """
        position = {step: index for index, step in enumerate(upstreams)}
        above = {step: tuple(dict.fromkeys(ups)) for step, ups in upstreams.items()}
        unknown = [
            Problem(step, f"unknown step {up!r}" + did_you_mean(up, position))
            for step, ups in above.items()
            for up in ups
            if up not in position
        ]
        problems = unknown or [Problem("", f"cycle: {show(cycle)}") for cycle in cycles(above)]
        if problems:
            raise InvalidPipelineError(name, problems)
        above = {step: tuple(sorted(ups, key=position.__getitem__)) for step, ups in above.items()}
        below = _turned(above)
        return cls(
            steps=tuple(above),
            upstreams=MappingProxyType(above),
            downstreams=MappingProxyType({step: tuple(downs) for step, downs in below.items()}),
            order=tuple(_ordered(above)),
        )


def upstreams_of(definition: PipelineDefinition) -> dict[str, list[str]]:
    """Return the steps that each step names as its upstreams, whether they exist or not.

    Those of `finally` wait for all that none of the others waits for.
    """
    above = {
        step.task_id: [
            *step.input_sources,
            *definition.dependencies.get(step.task_id, ()),
            *sorted(needed(definition, step)),
        ]
        for step in definition.steps
    }
    if definition.finally_:
        last = _last(definition, above)
        for step in definition.finally_:
            above[step.task_id] = [*above[step.task_id], *last]
    return above


def _last(definition: PipelineDefinition, above: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the steps after whose ends all but those of `finally` have ended."""
    is_waited_for = {
        up for step in definition.tasks if not is_early(step) for up in above[step.task_id]
    }
    return [step.task_id for step in definition.tasks if step.task_id not in is_waited_for]


def cycles(upstreams: Upstreams) -> list[tuple[str, ...]]:
    """Return cycles that have no step in common, each beginning with its first-defined step.

    Every cyclic graph has at least one; when those found are broken up there may be others.
    """
    position = {step: index for index, step in enumerate(upstreams)}
    left = {step: [up for up in ups if up in position] for step, ups in upstreams.items()}
    found = []
    while left := _without(left, set(_ordered(left))):
        cycle = _cycle(left)
        first = cycle.index(min(cycle, key=position.__getitem__))
        found.append((*cycle[first:], *cycle[:first]))
        left = _without(left, set(cycle))
    return found


def show(cycle: tuple[str, ...]) -> str:
    """Return a cycle as a path that ends where it began, such as `a -> b -> a`."""
    return " -> ".join((*cycle, cycle[0]))


def _ordered(upstreams: Upstreams) -> Iterator[str]:
    # Kahn's algorithm; the steps of a cycle, and all that follow one, never come up.
    position = {step: index for index, step in enumerate(upstreams)}
    steps = list(upstreams)
    waiting = {step: len(set(ups)) for step, ups in upstreams.items()}
    below = _turned(upstreams)
    ready = [position[step] for step, count in waiting.items() if not count]
    heapify(ready)
    while ready:
        step = steps[heappop(ready)]
        yield step
        for down in below[step]:
            waiting[down] -= 1
            if not waiting[down]:
                heappush(ready, position[down])


def _turned(upstreams: Upstreams) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {step: [] for step in upstreams}
    for step, ups in upstreams.items():
        for up in dict.fromkeys(ups):
            below[up].append(step)
    return below


def _without(upstreams: Upstreams, gone: set[str]) -> dict[str, list[str]]:
    return {
        step: [up for up in ups if up not in gone]
        for step, ups in upstreams.items()
        if step not in gone
    }


def _cycle(upstreams: Mapping[str, list[str]]) -> list[str]:
    # Every step here has an upstream here, so a walk upwards must come back to its own track.
    track: dict[str, None] = {}
    step = next(iter(upstreams))
    while step not in track:
        track[step] = None
        step = upstreams[step][0]
    walked = list(track)
    return walked[walked.index(step) :][::-1]
