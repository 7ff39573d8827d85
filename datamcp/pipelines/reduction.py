"""The graph without the edges that follow from others. Pure.

Sets of steps are Python integers, one bit for each step: with ten thousand steps the whole
reachability takes twelve megabytes and a fraction of a second.
"""

from collections.abc import Sequence

from datamcp.pipelines.graph import Graph

Upstreams = list[list[int]]
"""For each step, by its place in `Graph.order`, the places of the steps that it waits for."""


def reduce(graph: Graph) -> Upstreams:
    """Return the transitive reduction: a step names no upstream that another one waits for."""
    place = {step: index for index, step in enumerate(graph.order)}
    above: list[int] = []
    reduced: Upstreams = []
    for step in graph.order:
        kept, covered = [], 0
        # An upstream can only be covered by one that comes later, so the latest go first.
        for up in sorted((place[name] for name in graph.upstreams[step]), reverse=True):
            if not covered >> up & 1:
                kept.append(up)
                covered |= above[up] | 1 << up
        above.append(covered)
        reduced.append(kept)
    return reduced


def ancestors(upstreams: Sequence[Sequence[int]]) -> list[int]:
    """Return for each place the set of all places before it; upstreams must come first."""
    above: list[int] = []
    for ups in upstreams:
        covered = 0
        for up in ups:
            covered |= above[up] | 1 << up
        above.append(covered)
    return above
