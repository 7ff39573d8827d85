"""Where boxes and edges stand, of any graph."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import Edges, dags, fan, layers

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.page.condense import condense
from datamcp.pipelines.page.layout import Sizes, depths, lay_out, path_of
from datamcp.pipelines.page.places import HEIGHT, WIDTH, place

SIZES = Sizes(along=100, across=40, gap_along=50, gap_across=10)


def lines_of(edges: Edges) -> list[tuple[str, str]]:
    """Return the edges of a graph."""
    return [(up, name) for name, ups in edges.items() for up in ups]


@given(dags())
def test_no_box_is_over_another(edges: Edges) -> None:
    """Nor nearer to it than the gap, and none is outside of the drawing."""
    layout = lay_out(Graph.from_edges(edges), SIZES)
    assert set(layout.boxes) == set(edges)
    for (x1, y1), (x2, y2) in combinations(layout.boxes.values(), 2):
        apart = abs(x1 - x2) >= 100 + 50 - 1e-6 or abs(y1 - y2) >= 40 + 10 - 1e-6
        assert apart
    for x, y in layout.boxes.values():
        assert -1e-6 <= x <= layout.along - 100 + 1e-6
        assert -1e-6 <= y <= layout.across - 40 + 1e-6


@given(dags())
def test_every_edge_is_drawn_once_and_forwards(edges: Edges) -> None:
    """From the end of one box to the beginning of the other."""
    graph = Graph.from_edges(edges)
    layout = lay_out(graph, SIZES)
    assert sorted(layout.edges) == sorted(lines_of(edges))
    for (up, down), points in layout.edges.items():
        assert points[0] == (layout.boxes[up][0] + 100, layout.boxes[up][1] + 20)
        assert points[-1] == (layout.boxes[down][0], layout.boxes[down][1] + 20)
        along = [point[0] for point in points]
        assert along == sorted(along)


@given(dags())
def test_no_edge_passes_through_a_box(edges: Edges) -> None:
    """Where it passes a layer, it has a place of its own there."""
    layout = lay_out(Graph.from_edges(edges), SIZES)
    for points in layout.edges.values():
        for x, y in points[1:-1]:
            for left, top in layout.boxes.values():
                assert not (left <= x <= left + 100 and top < y < top + 40)


@given(dags())
def test_steps_stand_after_those_that_they_wait_for(edges: Edges) -> None:
    """A step that waits for nothing stands right before the first that waits for it."""
    graph = Graph.from_edges(edges)
    depth = depths(graph)
    assert min(depth.values()) == 0
    for up, down in lines_of(edges):
        assert depth[up] < depth[down]
    for name in edges:
        if not graph.upstreams[name] and graph.downstreams[name]:
            assert depth[name] == min(depth[down] for down in graph.downstreams[name]) - 1


def test_crossings_that_need_not_be_are_undone() -> None:
    """Two pairs, defined crosswise."""
    graph = Graph.from_edges({"a": [], "b": [], "x": ["b"], "y": ["a"]})
    boxes = lay_out(graph, SIZES).boxes
    assert (boxes["a"][1] < boxes["b"][1]) == (boxes["y"][1] < boxes["x"][1])


def test_a_row_is_straight() -> None:
    """So is what leads to the middle of several."""
    boxes = lay_out(Graph.from_edges(fan(3)), SIZES).boxes
    assert boxes["first"][1] == boxes["last"][1] == sorted(boxes[f"s{n}"][1] for n in range(3))[1]


def test_a_path_is_smooth_between_layers_and_straight_within() -> None:
    """The first and the last point are those of the edge."""
    points = [(0.0, 0.0), (10.0, 5.0), (20.0, 5.0), (30.0, 0.0)]
    assert path_of(points, lambda point: point) == "M0 0C5 0 5 5 10 5L20 5C25 5 25 0 30 0"
    assert path_of(points[::3], lambda point: point[::-1]) == "M0 0C0 15 0 15 0 30"


@given(dags(), st.integers(2, 12), st.integers(1, 20))
def test_condensing_keeps_every_step_once(edges: Edges, most: int, lines: int) -> None:
    """In a box, with edges that still go forwards, and in no more boxes than were asked for."""
    found = condense(edges, lines_of(edges), most, lines)
    assert len(found.boxes) <= most or found.is_whole
    steps = [step for box in found.boxes.values() for step in box.steps]
    assert sorted(steps) == sorted(edges)
    above: dict[str, list[str]] = {name: [] for name in found.boxes}
    for up, down in found.edges:
        above[down].append(up)
    Graph.from_edges(above)
    owner = {step: name for name, box in found.boxes.items() for step in box.steps}
    joined = {(owner[up], owner[down]) for up, down in lines_of(edges)}
    assert set(found.edges) == {edge for edge in joined if edge[0] != edge[1]}


@given(dags())
def test_a_small_graph_is_drawn_as_it_is(edges: Edges) -> None:
    """Each step has a box, and each edge a line."""
    found = condense(edges, lines_of(edges))
    assert found.is_whole
    assert {name: box.steps for name, box in found.boxes.items()} == {s: (s,) for s in edges}
    assert sorted(found.edges) == sorted(lines_of(edges))


@pytest.mark.parametrize(
    ("edges", "boxes"),
    [(fan(300), 3), (layers(3, 60), 3), ({f"s{n}": [] for n in range(200)}, 1)],
)
def test_what_is_alike_is_one_box(edges: Edges, boxes: int) -> None:
    """No more of it is put together than has to be."""
    assert len(condense(edges, lines_of(edges)).boxes) == boxes


def test_instances_are_in_the_box_of_their_step() -> None:
    """However few they are."""
    steps = ["a", "m", "m[0]", "m[1]", "lonely[3]"]
    found = condense(steps, [("a", "m")])
    assert found.boxes["m"].steps == ("m", "m[0]", "m[1]")
    assert found.boxes["m"].is_mapped
    assert set(found.boxes) == {"a", "m", "lonely[3]"}


@given(dags(), st.integers(0, 12))
def test_no_two_places_overlap(edges: Edges, alone: int) -> None:
    """Also of steps that have no edges."""
    every = {**edges, **{f"alone{n}": [] for n in range(alone)}}
    places = place(condense(every, lines_of(every)))
    assert set(places.boxes) == set(every)
    assert set(places.edges) == set(lines_of(every))
    for (x1, y1), (x2, y2) in combinations(places.boxes.values(), 2):
        assert abs(x1 - x2) >= WIDTH or abs(y1 - y2) >= HEIGHT
    for x, y in places.boxes.values():
        assert 0 <= x <= places.width - WIDTH
        assert 0 <= y <= places.height - HEIGHT
