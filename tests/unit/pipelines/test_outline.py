from hypothesis import given
from support.dags import (
    DIAMOND,
    N_SHAPE,
    Edges,
    above,
    chain_of,
    dags,
    edges_of,
    fan,
    series_parallel_trees,
    steps_of,
)

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.outline import Canvas, Part, canvas_of, extent, outline
from datamcp.pipelines.plan import compile_plan, units
from datamcp.pipelines.tree import Plan


def canvases(edges: Edges) -> list[Canvas]:
    """Return what would be sent for some edges."""
    graph = Graph.from_edges(edges)
    return [canvas_of(unit) for unit in units(compile_plan(graph), graph)]


def test_the_outline_of_a_diamond() -> None:
    """Parts stand below what holds them, one deeper."""
    assert [*outline(compile_plan(Graph.from_edges(DIAMOND)))] == [
        Part(0, "series"),
        Part(1, "step", "a"),
        Part(1, "parallel"),
        Part(2, "step", "b"),
        Part(2, "step", "c"),
        Part(1, "step", "d"),
    ]


def test_the_outline_of_a_gate() -> None:
    """What only the graph can order stands below a gate."""
    parts = [*outline(compile_plan(Graph.from_edges(N_SHAPE)))]
    assert [part.kind for part in parts] == ["gated", *["step"] * 4]


@given(series_parallel_trees())
def test_an_outline_has_every_step_in_order(tree: Plan) -> None:
    """From left to right, as in the tree."""
    assert [part.step_id for part in outline(tree) if part.kind == "step"] == steps_of(tree)


def test_canvases_of_each_kind() -> None:
    """A step, a chain, a group and a chord."""
    assert canvases({"a": []}) == [Canvas("step", ("a",), ("a",), (), ())]
    assert canvases(chain_of(2)) == [Canvas("chain", ("s0",), ("s0", "s1"), (), ())]
    group = Canvas("group", ("a", "b"), (), (("a", "c"), ("b",)), ())
    assert canvases({"a": [], "b": [], "c": ["a"]}) == [group]
    chord = Canvas("chord", ("a",), ("a",), (("b",), ("c",)), ("d",))
    assert canvases(DIAMOND) == [chord]


@given(dags())
def test_canvases_have_every_step_once(edges: Edges) -> None:
    """In what is first, in a branch, or in what is last."""
    found = [
        step
        for canvas in canvases(edges)
        for row in (canvas.first, *canvas.branches, canvas.last)
        for step in row
    ]
    assert sorted(found) == sorted(edges)


@given(dags())
def test_levels_come_one_after_the_other(edges: Edges) -> None:
    """A step is above all that it waits for, and the longest path is as long as there are levels."""
    graph = Graph.from_edges(edges)
    size = extent(graph)
    for step, ups in edges.items():
        assert size.levels[step] == 1 + max((size.levels[up] for up in ups), default=0)
    assert len(size.longest) == max(size.levels.values())
    assert all(
        up in graph.upstreams[step]
        for up, step in zip(size.longest, size.longest[1:], strict=False)
    )
    assert size.width == max(
        list(size.levels.values()).count(level) for level in set(size.levels.values())
    )
    before = above(graph)
    level = [step for step in edges if size.levels[step] == size.widest]
    assert len(level) == size.width
    assert all(one not in before[other] for one in level for other in level)


@given(series_parallel_trees())
def test_the_first_of_the_widest_levels_is_named(tree: Plan) -> None:
    """Of several with the same number of steps."""
    size = extent(Graph.from_edges(edges_of(tree)))
    counts = [list(size.levels.values()).count(level + 1) for level in range(len(size.longest))]
    assert counts.index(max(counts)) + 1 == size.widest


def test_deep_and_wide() -> None:
    """Neither needs recursion."""
    deep = Graph.from_edges(chain_of(10_000))
    assert len(extent(deep).longest) == 10_000
    wide = extent(Graph.from_edges(fan(10_000)))
    assert (len(wide.longest), wide.widest, wide.width) == (3, 2, 10_000)
