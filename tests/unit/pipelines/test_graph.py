import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import Edges, dags

from datamcp.errors import InvalidPipelineError
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.graph import Graph, cycles


@given(dags())
def test_order_respects_every_edge(edges: Edges) -> None:
    """Every step stands once in the order, after all of its upstreams."""
    graph = Graph.from_edges(edges)
    place = {step: index for index, step in enumerate(graph.order)}
    assert sorted(graph.order) == sorted(edges)
    assert all(place[up] < place[step] for step, ups in edges.items() for up in ups)


@given(dags())
def test_downstreams_mirror_upstreams(edges: Edges) -> None:
    """A step is a downstream of exactly its upstreams."""
    graph = Graph.from_edges(edges)
    mirrored = {(up, step) for up, downs in graph.downstreams.items() for step in downs}
    assert mirrored == {(up, step) for step, ups in edges.items() for up in ups}


@given(dags(), st.data())
def test_every_cycle_is_refused(edges: Edges, data: st.DataObject) -> None:
    """An edge back from a step to one that it depends on is told as a path of real edges."""
    graph = Graph.from_edges(edges)
    end = data.draw(st.sampled_from(graph.order))
    start = end
    while graph.upstreams[start] and data.draw(st.booleans()):
        start = data.draw(st.sampled_from(graph.upstreams[start]))
    closed = {**edges, start: [*edges[start], end]}
    for cycle in cycles(closed):
        assert all(
            up in closed[step] for up, step in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
        )
    with pytest.raises(InvalidPipelineError, match="cycle: "):
        Graph.from_edges(closed)


def test_steps_that_may_come_next_keep_their_order() -> None:
    """Of the steps that are ready, the one defined first comes first."""
    graph = Graph.from_edges({"z": [], "b": ["y"], "y": [], "a": ["z"]})
    assert graph.order == ("z", "y", "b", "a")


def test_cycle_is_shown_as_a_path() -> None:
    """A cycle is shown from its first-defined step back to it, downstream."""
    with pytest.raises(InvalidPipelineError) as caught:
        Graph.from_edges({"x": ["c"], "a": ["c"], "b": ["a"], "c": ["b"]})
    assert [problem.message for problem in caught.value.problems] == ["cycle: a -> b -> c -> a"]


def test_cycles_apart_are_all_found() -> None:
    """Two cycles without a common step are both told, and a step may wait for itself."""
    assert cycles({"a": ["b"], "b": ["a"], "c": ["c", "a"]}) == [("a", "b"), ("c",)]


def test_unknown_upstream_is_named_with_a_suggestion() -> None:
    """An edge from a step that does not exist is refused."""
    with pytest.raises(
        InvalidPipelineError, match=r"unknown step 'fligts'; did you mean 'flights'"
    ):
        Graph.from_edges({"flights": [], "report": ["fligts"]})


def test_edges_of_a_definition_are_the_union_of_its_three_sources() -> None:
    """Inputs, dependencies and references all make edges, each pair once."""
    definition = PipelineDefinition.model_validate(
        {
            "pipeline_id": "p",
            "tasks": [
                {"task_id": "a", "processor": "x.y"},
                {"task_id": "b", "processor": "x.y"},
                {"task_id": "c", "processor": "x.y"},
                {
                    "task_id": "d",
                    "processor": "x.y",
                    "input_sources": ["a"],
                    "configuration": {"deep": [{"er": "at ${outputs.c.path} of ${outputs.a}"}]},
                },
            ],
            "dependencies": {"d": ["b", "a"]},
        }
    )
    assert Graph.of(definition).upstreams["d"] == ("a", "b", "c")


def test_step_defined_twice_is_refused() -> None:
    """A graph can't be made of two steps of one name."""
    task = {"task_id": "a", "processor": "x.y"}
    definition = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": [task, task]})
    with pytest.raises(InvalidPipelineError, match="a: is defined twice"):
        Graph.of(definition)
