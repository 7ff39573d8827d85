from hypothesis import given
from support.dags import Edges, above, dags, reduced

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.reduction import ancestors, reduce


@given(dags())
def test_only_edges_that_follow_from_others_are_dropped(edges: Edges) -> None:
    """The reduction is what brute force finds, and reaches as far as the graph."""
    graph = Graph.from_edges(edges)
    found = reduce(graph)
    assert {
        step: {graph.order[up] for up in ups} for step, ups in zip(graph.order, found, strict=True)
    } == reduced(graph)
    sets = [
        {graph.order[place] for place in range(len(edges)) if mask >> place & 1}
        for mask in ancestors(found)
    ]
    assert dict(zip(graph.order, sets, strict=True)) == above(graph)
