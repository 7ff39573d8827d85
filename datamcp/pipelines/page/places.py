"""Where each box of a drawing stands, in pixels: from left to right, or downwards if that fits. Pure.

What waits for nothing, and is not waited for, stands in rows below the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.page.condense import Condensed
from datamcp.pipelines.page.layout import Edge, Layout, Point, Sizes, lay_out, path_of

WIDTH, HEIGHT = 188, 46  # of a box
ROOM = 1_160  # that a page has on a desktop
_MARGIN = 12  # around the drawing, and for what stands behind a box
_GAP = 20  # between boxes that have no edges
_IN_A_ROW = 5

_ACROSS = Sizes(along=WIDTH, across=HEIGHT, gap_along=56, gap_across=18)
_DOWN = Sizes(along=HEIGHT, across=WIDTH, gap_along=40, gap_across=20)


@dataclass(frozen=True, slots=True)
class Places:
    """The upper left corner of each box, and each edge as an SVG path."""

    boxes: Mapping[str, Point]
    edges: Mapping[Edge, str]
    width: float
    height: float


def place(found: Condensed) -> Places:
    """Return the places of all boxes, none over another, and of every edge."""
    joined = {name for edge in found.edges for name in edge}
    alone = [name for name in found.boxes if name not in joined]
    boxes: dict[str, Point] = {}
    edges: dict[Edge, str] = {}
    width, bottom = 0.0, 0.0
    if joined:
        layout, is_across = _laid_out(Graph.from_edges(_upstreams(found, joined)))

        def draw(point: Point) -> Point:
            x, y = point if is_across else point[::-1]
            return x + _MARGIN, y + _MARGIN

        boxes = {name: draw(at) for name, at in layout.boxes.items()}
        edges = {edge: path_of(points, draw) for edge, points in layout.edges.items()}
        width, bottom = (
            (layout.along, layout.across) if is_across else (layout.across, layout.along)
        )
        bottom += _GAP if alone else 0
    for number, name in enumerate(alone):
        row, column = divmod(number, _IN_A_ROW)
        boxes[name] = (
            _MARGIN + column * (WIDTH + _GAP),
            _MARGIN + bottom + row * (HEIGHT + _GAP),
        )
    right = max(x for x, _ in boxes.values()) + WIDTH
    low = max(y for _, y in boxes.values()) + HEIGHT
    return Places(boxes, edges, max(right, width) + _MARGIN, max(low, bottom) + _MARGIN)


def _upstreams(found: Condensed, joined: set[str]) -> Mapping[str, Sequence[str]]:
    above: dict[str, list[str]] = {name: [] for name in found.boxes if name in joined}
    for up, down in found.edges:
        above[down].append(up)
    return above


def _laid_out(graph: Graph) -> tuple[Layout, bool]:
    """Return the layout from left to right, unless only that from top to bottom fits."""
    across = lay_out(graph, _ACROSS)
    if across.along <= ROOM:
        return across, True
    down = lay_out(graph, _DOWN)
    return (down, False) if down.across <= ROOM else (across, True)
