"""Random graphs for property tests, and what is true of them by brute force."""

from collections.abc import Mapping
from itertools import product

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.tree import Gated, Parallel, Plan, Series, Step, parallel, series

Edges = dict[str, list[str]]


@st.composite
def dags(draw: DrawFn, max_steps: int = 14) -> Edges:
    """Return steps in any order of definition, each with its upstreams."""
    count = draw(st.integers(1, max_steps))
    names = [f"s{index}" for index in range(count)]
    edges = {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=4))
        if index
        else []
        for index, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


@st.composite
def series_parallel_trees(draw: DrawFn) -> Plan:
    """Return a tree without gates, its steps numbered from left to right."""
    shape = draw(
        st.recursive(
            st.none(),
            lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=2, max_size=4)),
            max_leaves=14,
        )
    )
    numbers = iter(range(10**6))

    def build(shape: object) -> Plan:
        match shape:
            case (bool(is_series), list(inner)):
                parts = [build(part) for part in inner]
                return series(parts) if is_series else parallel(parts)
        return Step(f"s{next(numbers):03}")

    return build(shape)


def edges_of(tree: Plan) -> Edges:
    """Return the graph that a tree without gates stands for."""
    edges: Edges = {}

    def walk(tree: Plan, before: tuple[str, ...]) -> tuple[str, ...]:
        match tree:
            case Step(step_id):
                edges[step_id] = [*before]
                return (step_id,)
            case Series(parts):
                for part in parts:
                    before = walk(part, before)
                return before
            case Parallel(branches):
                return tuple(end for branch in branches for end in walk(branch, before))
            case Gated():
                raise ValueError("a gate's edges are in the graph")

    walk(tree, ())
    return edges


def steps_of(tree: Plan) -> list[str]:
    """Return every step of a tree, from left to right."""
    match tree:
        case Step(step_id):
            return [step_id]
        case Series(plans) | Parallel(plans) | Gated(plans):
            return [step for plan in plans for step in steps_of(plan)]


def above(graph: Graph) -> Mapping[str, frozenset[str]]:
    """Return for each step all steps that it depends on, however indirectly."""
    found: dict[str, frozenset[str]] = {}
    for step in graph.order:
        ups = graph.upstreams[step]
        found[step] = frozenset(ups).union(*(found[up] for up in ups))
    return found


def reduced(graph: Graph) -> dict[str, set[str]]:
    """Return each step's upstreams without those that another upstream depends on."""
    before = above(graph)
    return {
        step: {up for up in ups if not any(up in before[other] for other in ups)}
        for step, ups in graph.upstreams.items()
    }


def layers(count: int, width: int) -> Edges:
    """Return layers of which each step waits for the whole layer before."""
    return {
        f"l{layer}.{place}": [f"l{layer - 1}.{other}" for other in range(width)] if layer else []
        for layer, place in product(range(count), range(width))
    }


def chain_of(count: int) -> Edges:
    """Return steps in a row."""
    return {f"s{index}": [f"s{index - 1}"] if index else [] for index in range(count)}


def fan(width: int) -> Edges:
    """Return steps side by side between a first and a last one."""
    middle = [f"s{index}" for index in range(width)]
    return {"first": [], **{step: ["first"] for step in middle}, "last": middle}


N_SHAPE: Edges = {"a": [], "b": [], "c": ["a", "b"], "d": ["b"]}
DIAMOND: Edges = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
