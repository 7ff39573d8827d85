"""Where the boxes of a graph stand: in layers, each below those that it waits for. Pure.

Layers by longest path; an edge that passes layers has a point in each of them. The order within
layers comes from barycentres, the places from the mean of the neighbours, pushed apart as little
as possible (Sugiyama, Tagawa, Toda 1981; the last by isotonic regression).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from datamcp.pipelines.graph import Graph

_SWEEPS = 8  # over all layers, for their order and again for their places
_MOST_POINTS = 4_000  # of edges that pass layers; more are drawn straight

Edge = tuple[str, str]
Point = tuple[float, float]

_Bend = tuple[str, str, int]
"""The point of an edge in a layer that it passes."""

_Node = str | _Bend


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large things are: of a box and between boxes, along the layers' sequence and across."""

    along: float
    across: float
    gap_along: float
    gap_across: float
    gap_point: float = 14.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where boxes begin, and which points an edge goes through: (along, across) each.

    An edge's points come in pairs: where it enters and where it leaves a layer.
    """

    boxes: Mapping[str, Point]
    edges: Mapping[Edge, Sequence[Point]]
    along: float
    across: float


def lay_out(graph: Graph, sizes: Sizes) -> Layout:
    """Return the places of all boxes, none over another, and of every edge."""
    depth = depths(graph)
    layers, links = _layers(graph, depth)
    layers = _ordered(layers, links)
    centres = _centres(layers, links, sizes)
    pitch = sizes.along + sizes.gap_along

    def is_in(node: _Node) -> float:
        return (node[2] if isinstance(node, tuple) else depth[node]) * pitch

    edges: dict[Edge, list[Point]] = {}
    for up, down in _edges(graph):
        nodes = [up, *_points(up, down, depth), down]
        middle = [node for node in nodes[1:-1] if node in centres]
        track = [(is_in(up) + sizes.along, centres[up])]
        for node in middle:
            track += [(is_in(node), centres[node]), (is_in(node) + sizes.along, centres[node])]
        edges[up, down] = [*track, (is_in(down), centres[down])]
    boxes = {step: (is_in(step), centres[step] - sizes.across / 2) for step in graph.steps}
    across = max(centres.values()) + sizes.across / 2
    return Layout(boxes, edges, max(depth.values()) * pitch + sizes.along, across)


def depths(graph: Graph) -> dict[str, int]:
    """Return the layer of each step, from 0; what begins stands right above what waits for it."""
    depth: dict[str, int] = {}
    for step in graph.order:
        depth[step] = max((depth[up] + 1 for up in graph.upstreams[step]), default=0)
    for step in graph.steps:
        below = graph.downstreams[step]
        if below and not graph.upstreams[step]:
            depth[step] = min(depth[down] for down in below) - 1
    return depth


def _edges(graph: Graph) -> list[Edge]:
    return [(up, down) for down in graph.steps for up in graph.upstreams[down]]


def _points(up: str, down: str, depth: Mapping[str, int]) -> list[_Bend]:
    return [(up, down, layer) for layer in range(depth[up] + 1, depth[down])]


_Links = Mapping[_Node, list[_Node]]


def _layers(
    graph: Graph, depth: Mapping[str, int]
) -> tuple[list[list[_Node]], tuple[_Links, _Links]]:
    """Return the nodes of each layer, and the neighbours of each node above and below."""
    layers: list[list[_Node]] = [[] for _ in range(max(depth.values()) + 1)]
    above: dict[_Node, list[_Node]] = defaultdict(list)
    below: dict[_Node, list[_Node]] = defaultdict(list)
    for step in graph.order:
        layers[depth[step]].append(step)
    edges = _edges(graph)
    passing = sum(depth[down] - depth[up] - 1 for up, down in edges)
    for up, down in edges:
        points = _points(up, down, depth) if passing <= _MOST_POINTS else []
        for point in points:
            layers[point[2]].append(point)
        nodes: list[_Node] = [up, *points, down]
        for first, second in pairwise(nodes):
            below[first].append(second)
            above[second].append(first)
    return layers, (above, below)


def _ordered(layers: list[list[_Node]], links: tuple[_Links, _Links]) -> list[list[_Node]]:
    """Return the layers in an order with few crossings: the best that some sweeps find."""
    best, fewest = layers, _crossings(layers, links[1])
    now = layers
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        neighbours = links[sweep % 2]
        now = _swept(now, neighbours, from_top=sweep % 2 == 0)
        crossings = _crossings(now, links[1])
        if crossings < fewest:
            best, fewest = now, crossings
    return best


def _swept(layers: list[list[_Node]], neighbours: _Links, *, from_top: bool) -> list[list[_Node]]:
    order = range(len(layers)) if from_top else range(len(layers) - 1, -1, -1)
    swept = [list(layer) for layer in layers]
    place: dict[_Node, float] = {node: n for layer in layers for n, node in enumerate(layer)}
    for number in order:
        centre = {node: _mean(neighbours, node, place) for node in swept[number]}
        swept[number].sort(key=centre.__getitem__)
        place.update((node, float(n)) for n, node in enumerate(swept[number]))
    return swept


def _mean(neighbours: _Links, node: _Node, place: Mapping[_Node, float]) -> float:
    around = neighbours.get(node)
    return sum(place[one] for one in around) / len(around) if around else place[node]


def _crossings(layers: Sequence[Sequence[_Node]], below: _Links) -> int:
    """Count the crossings between layers, by a Fenwick tree."""
    total = 0
    for first, second in pairwise(layers):
        place = {node: n for n, node in enumerate(second)}
        ends = [
            end
            for node in first
            for end in sorted(place[one] for one in below.get(node, ()) if one in place)
        ]
        tree = [0] * (len(second) + 1)
        for seen, end in enumerate(ends):
            total += seen - _up_to(tree, end + 1)
            _add(tree, end + 1)
    return total


def _up_to(tree: Sequence[int], index: int) -> int:
    total = 0
    while index:
        total += tree[index]
        index -= index & -index
    return total


def _add(tree: list[int], index: int) -> None:
    while index < len(tree):
        tree[index] += 1
        index += index & -index


def _centres(
    layers: Sequence[Sequence[_Node]], links: tuple[_Links, _Links], sizes: Sizes
) -> dict[_Node, float]:
    """Return the place across of the middle of each node; the first box begins at 0."""
    offsets = {node: at for layer in layers for node, at in _offsets(layer, sizes)}
    centres = dict(offsets)
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        for layer in layers if is_down else layers[::-1]:
            wanted = [_mean(links[0 if is_down else 1], node, centres) for node in layer]
            free = (want - offsets[node] for want, node in zip(wanted, layer, strict=True))
            for node, at in zip(layer, _rising(free), strict=True):
                centres[node] = at + offsets[node]
    first = min(centres[node] for layer in layers for node in layer if isinstance(node, str))
    lowest = min(first - sizes.across / 2, *centres.values())
    return {node: at - lowest for node, at in centres.items()}


def _offsets(layer: Sequence[_Node], sizes: Sizes) -> Iterable[tuple[_Node, float]]:
    """Yield how far from the layer's beginning each node is where they stand close together."""
    at, last = 0.0, 0.0
    for number, node in enumerate(layer):
        is_box = isinstance(node, str)
        half = sizes.across / 2 if is_box else 0.0
        if number:
            gap = sizes.gap_across if is_box and last else sizes.gap_point
            at += last + gap + half
        else:
            at = half
        last = half
        yield node, at


def _rising(values: Iterable[float]) -> list[float]:
    """Return the nearest values (least squares) that never fall: pool adjacent violators."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, size = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            before, many = blocks.pop()
            total, size = total + before, size + many
        blocks.append((total, size))
    return [total / size for total, size in blocks for _ in range(size)]


Draw = Callable[[Point], Point]
"""Turns (along, across) into (x, y)."""


def path_of(points: Sequence[Point], draw: Draw) -> str:
    """Return the smooth line through an edge's points, as an SVG path."""
    first = draw(points[0])
    said = [f"M{first[0]:.0f} {first[1]:.0f}"]
    for number, (start, end) in enumerate(pairwise(points)):
        x, y = draw(end)
        if number % 2:  # within a layer
            said.append(f"L{x:.0f} {y:.0f}")
            continue
        half = (start[0] + end[0]) / 2
        first, second = draw((half, start[1])), draw((half, end[1]))
        said.append(
            f"C{first[0]:.0f} {first[1]:.0f} {second[0]:.0f} {second[1]:.0f} {x:.0f} {y:.0f}"
        )
    return "".join(said)
