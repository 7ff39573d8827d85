"""A plan in words: its tree line by line, its canvases, and how long and wide its graph is. Pure.

Nothing here is recursive: a plan may be as deep as its graph is long.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.plan import Unit
from datamcp.pipelines.tree import Gated, Parallel, Plan, Series, Step, steps_in

PartKind = Literal["step", "series", "parallel", "gated"]
UnitKind = Literal["step", "chain", "group", "chord"]


@dataclass(frozen=True, slots=True)
class Part:
    """A line of a plan's tree; `step_id` is empty for what has parts of its own, one deeper."""

    depth: int
    kind: PartKind
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A unit as it is sent: steps in a row, then rows side by side, then steps in a row again.

    A step and a chain have only `first`, a group only `branches`, a chord also `last`.
    """

    kind: UnitKind
    heads: tuple[str, ...]
    first: tuple[str, ...]
    branches: tuple[tuple[str, ...], ...]
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a graph goes: the level of each step, from 1, and one of its longest paths.

    Steps of a level do not wait for each other. `widest` is the first level with the most steps.
    """

    levels: dict[str, int]
    longest: tuple[str, ...]
    widest: int
    width: int


def outline(plan: Plan) -> Iterator[Part]:
    """Yield the parts of a plan, each before its own parts."""
    todo: list[tuple[int, Plan]] = [(0, plan)]
    while todo:
        depth, part = todo.pop()
        inner: tuple[Plan, ...] = ()
        match part:
            case Step(step_id):
                yield Part(depth, "step", step_id)
            case Series(inner):
                yield Part(depth, "series")
            case Parallel(inner):
                yield Part(depth, "parallel")
            case Gated(inner):
                yield Part(depth, "gated")
        todo += ((depth + 1, one) for one in reversed(inner))


def canvas_of(unit: Unit) -> Canvas:
    """Return a unit as it is sent."""
    parts = unit.tree.parts if isinstance(unit.tree, Series) else (unit.tree,)
    rows = next((part.branches for part in parts if isinstance(part, Parallel)), ())
    steps = [part.step_id if isinstance(part, Step) else "" for part in parts]
    place = steps.index("") if rows else len(steps)
    first, last = tuple(steps[:place]), tuple(steps[place + 1 :])
    branches = tuple(tuple(steps_in(row)) for row in rows)
    return Canvas(_kind(first, branches, last), unit.heads, first, branches, last)


def _kind(
    first: tuple[str, ...], branches: tuple[tuple[str, ...], ...], last: tuple[str, ...]
) -> UnitKind:
    if not branches:
        return "chain" if len(first) > 1 else "step"
    return "chord" if first or last else "group"


def extent(graph: Graph) -> Extent:
    """Return how long and how wide a graph is."""
    levels: dict[str, int] = {}
    before: dict[str, str] = {}
    for step in graph.order:
        ups = graph.upstreams[step]
        if ups:
            before[step] = max(ups, key=levels.__getitem__)
        levels[step] = levels[before[step]] + 1 if ups else 1
    path = [max(graph.order, key=levels.__getitem__)]
    while path[-1] in before:
        path.append(before[path[-1]])
    counts = Counter(levels.values())
    widest = max(sorted(counts), key=counts.__getitem__)
    return Extent(levels, tuple(reversed(path)), widest, counts[widest])
