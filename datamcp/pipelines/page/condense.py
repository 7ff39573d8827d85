"""A graph with few enough boxes to be seen: steps that are alike become one box. Pure.

Instances of a mapped step always do. Where there are still too many boxes, steps that wait for the
same and are waited for by the same are put together, and so are rows; again and again, and at last
whole layers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.instances import instances_of
from datamcp.pipelines.page.layout import depths

MOST_BOXES = 100
MOST_EDGES = 500

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Box:
    """What one box stands for: a step, or several; `title` is what is written on it."""

    title: str
    steps: tuple[str, ...]
    is_mapped: bool = False


@dataclass(frozen=True, slots=True)
class Condensed:
    """Boxes by name, and the edges between them; `is_whole` tells that each step has its own.

    Instances of a mapped step have none of their own in any case.
    """

    boxes: Mapping[str, Box]
    edges: Sequence[Edge]
    is_whole: bool


def condense(
    steps: Iterable[str], edges: Iterable[Edge], most: int = MOST_BOXES, lines: int = MOST_EDGES
) -> Condensed:
    """Return so few boxes and edges that they can be drawn and seen."""
    known = list(steps)
    instances = instances_of(known)
    inner = {one for those in instances.values() for one in those}
    boxes = {
        step: Box(step, (step, *instances.get(step, ())), is_mapped=step in instances)
        for step in known
        if step not in inner
    }
    drawn = list(dict.fromkeys(edge for edge in edges if boxes.keys() >= set(edge)))
    whole = Condensed(boxes, drawn, is_whole=True)
    found = whole
    for smallest in (3, 2):
        before = 0
        while before != len(found.boxes):
            before = len(found.boxes)
            for put_together in (_twins, _rows):
                if _is_too_large(found, most, lines):
                    found = put_together(found, smallest)
    return _by_layers(found, most) if _is_too_large(found, most, lines) else found


def _is_too_large(found: Condensed, most: int, lines: int) -> bool:
    return len(found.boxes) > most or len(found.edges) > lines


def _twins(found: Condensed, smallest: int) -> Condensed:
    """Put boxes together that have the same upstreams and the same downstreams."""
    ups, downs = _around(found.edges)
    alike: dict[object, list[str]] = defaultdict(list)
    for name in found.boxes:
        alike[frozenset(ups[name]), frozenset(downs[name])].append(name)
    together = [names for names in alike.values() if len(names) >= smallest]
    return _merged(found, together, _alike_title)


def _rows(found: Condensed, smallest: int) -> Condensed:
    """Put boxes together that come one after the other, with nothing beside them."""
    ups, downs = _around(found.edges)

    def follower(name: str) -> str | None:
        below = downs[name]
        return below[0] if len(below) == 1 and len(ups[below[0]]) == 1 else None

    inner = {after for name in found.boxes if (after := follower(name)) is not None}
    together = []
    for name in found.boxes:
        if name not in inner:
            row: list[str] = [name]
            while (after := follower(row[-1])) is not None:
                row.append(after)
            together.append(row)
    return _merged(found, [row for row in together if len(row) >= smallest], _row_title)


def _by_layers(found: Condensed, most: int) -> Condensed:
    """Put the boxes of a layer together, or of several layers."""
    ups, _ = _around(found.edges)
    depth = depths(Graph.from_edges({name: ups[name] for name in found.boxes}))
    each = -(-(max(depth.values()) + 1) // most)
    layers: dict[int, list[str]] = defaultdict(list)
    for name in sorted(found.boxes, key=depth.__getitem__):
        layers[depth[name] // each].append(name)
    return _merged(found, list(layers.values()), _alike_title)


def _merged(
    found: Condensed, together: Sequence[Sequence[str]], title: Callable[[Sequence[Box]], str]
) -> Condensed:
    into = {name: names[0] for names in together for name in names}
    boxes: dict[str, Box] = {}
    members = {names[0]: names for names in together}
    for name, box in found.boxes.items():
        names = members.get(name)
        if names is not None:
            parts = [found.boxes[one] for one in names]
            steps = tuple(step for part in parts for step in part.steps)
            boxes[name] = Box(title(parts), steps) if len(parts) > 1 else box
        elif name not in into:
            boxes[name] = box
    edges = [(into.get(up, up), into.get(down, down)) for up, down in found.edges]
    return Condensed(
        boxes, list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1])), is_whole=False
    )


def _around(edges: Iterable[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    ups: dict[str, list[str]] = defaultdict(list)
    downs: dict[str, list[str]] = defaultdict(list)
    for up, down in edges:
        ups[down].append(up)
        downs[up].append(down)
    return ups, downs


def _alike_title(parts: Sequence[Box]) -> str:
    letters = zip(*(part.title for part in parts), strict=False)
    start = "".join(some[0] for some in takewhile(lambda some: len(set(some)) == 1, letters))
    start = start.rstrip("0123456789…")
    return f"{start}…" if start else f"{parts[0].title}, …"


def _row_title(parts: Sequence[Box]) -> str:
    return f"{parts[0].title} → {parts[-1].title}"
