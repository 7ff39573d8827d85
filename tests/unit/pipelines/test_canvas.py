import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from celery import Celery, Signature, signals
from celery.canvas import _chain, _chord, group
from hypothesis import given
from support.dags import DIAMOND, Edges, chain_of, dags, edges_of, fan, series_parallel_trees

from datamcp.pipelines.canvas import to_canvas
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.plan import compile_plan, units
from datamcp.pipelines.tree import Gated, Parallel, Series, Step

APP = Celery(broker="memory://", backend="cache+memory://", set_as_current=False)


def signature(step_id: str) -> Signature:
    """Return the message of a step."""
    return APP.signature("x.y", immutable=True, task_id=step_id)


def canvases(edges: Edges) -> list[Signature]:
    """Return the canvases of some edges."""
    graph = Graph.from_edges(edges)
    return [to_canvas(unit.tree, signature) for unit in units(compile_plan(graph), graph)]


def inside(canvas: Signature) -> list[Signature]:
    """Return the signatures of which a canvas is made, a chord's body last."""
    match canvas:
        case _chord():
            return [*canvas.tasks, canvas.body]
        case _chain() | group():
            return list(canvas.tasks)
    return []


def all_of(canvas: Signature) -> Iterator[Signature]:
    """Yield a canvas and everything within."""
    yield canvas
    for part in inside(canvas):
        yield from all_of(part)


def shape(canvas: Signature) -> Any:
    """Return a canvas as task ids in nested lists that begin with the kind."""
    parts = inside(canvas)
    kind = type(canvas).__name__.strip("_")
    return [kind, *map(shape, parts)] if parts else canvas.options["task_id"]


def test_diamond_is_a_chord_behind_a_step() -> None:
    """What runs side by side and joins becomes a chord; what follows, a chain."""
    (canvas,) = canvases(DIAMOND)
    assert shape(canvas) == ["chain", "a", ["chord", "b", "c", "d"]]


def test_rows_are_chains() -> None:
    """The header of a chord may hold chains, and its body may be one."""
    rows = Parallel((Series((Step("a"), Step("b"))), Step("c")))
    canvas = to_canvas(Series((rows, Step("d"), Step("e"))), signature)
    assert shape(canvas) == ["chord", ["chain", "a", "b"], "c", ["chain", "d", "e"]]


def test_gate_has_no_canvas() -> None:
    """What only the ledger may send is refused."""
    with pytest.raises(ValueError, match="a gate has no canvas"):
        to_canvas(Gated((Step("a"), Step("b"))), signature)


@given(dags() | series_parallel_trees().map(edges_of))
def test_groups_are_never_adjacent(edges: Edges) -> None:
    """Nowhere does a group or chord follow another, nor is one a chord's body."""
    wide = group | _chord
    for canvas in canvases(edges):
        for part in all_of(canvas):
            if isinstance(part, _chain):
                links = pairwise(part.tasks)
                assert not any(
                    isinstance(one, wide) and isinstance(two, wide) for one, two in links
                )
                assert not any(isinstance(link, wide) for link in part.tasks[:-1])
            if isinstance(part, _chord):
                assert not any(isinstance(inner, wide) for inner in all_of(part.body))


@given(dags() | series_parallel_trees().map(edges_of))
def test_every_message_is_the_callbacks_own(edges: Edges) -> None:
    """Each step's signature arrives once, immutable, with the id that it was given."""
    leaves = [part for canvas in canvases(edges) for part in all_of(canvas) if not inside(part)]
    assert sorted(leaf.options["task_id"] for leaf in leaves) == sorted(edges)
    assert all(leaf.immutable for leaf in leaves)


@pytest.mark.parametrize(
    "edges", [chain_of(500), fan(200), fan(3000)], ids=["chain", "chord", "fan"]
)
def test_messages_do_not_grow_with_the_graph(edges: Edges) -> None:
    """No message that leaves is larger than a handful of steps."""
    sizes = []

    def measure(body: Any, headers: Any, **_: Any) -> None:
        sizes.append(len(json.dumps(body)) + len(json.dumps(headers, default=str)))

    signals.before_task_publish.connect(measure)
    try:
        for canvas in canvases(edges):
            canvas.apply_async()
    finally:
        signals.before_task_publish.disconnect(measure)
    assert max(sizes) < 8_000
