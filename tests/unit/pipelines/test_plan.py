from collections.abc import Iterator
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from support.dags import (
    DIAMOND,
    N_SHAPE,
    Edges,
    above,
    chain_of,
    dags,
    edges_of,
    fan,
    layers,
    reduced,
    series_parallel_trees,
    steps_of,
)

from datamcp.pipelines.graph import Graph
from datamcp.pipelines.plan import MAX_CHAIN, MAX_HEADER, Unit, compile_plan, units
from datamcp.pipelines.tree import Gated, Parallel, Plan, Series, Step


def plan_of(edges: Edges) -> Plan:
    """Return the tree of some edges."""
    return compile_plan(Graph.from_edges(edges))


def units_of(edges: Edges, *, chords: bool = True, max_chain: int = 16) -> tuple[Unit, ...]:
    """Return the units of some edges, with headers of at most four."""
    graph = Graph.from_edges(edges)
    return units(compile_plan(graph), graph, chords=chords, max_chain=max_chain, max_header=4)


def predecessors(tree: Plan) -> dict[str, tuple[str, ...]]:
    """Return what Celery waits for before it sends each step of a canvas."""
    return {step: tuple(ups) for step, ups in edges_of(tree).items()}


def finishes(edges: Edges, found: tuple[Unit, ...], seconds: dict[str, int]) -> dict[str, int]:
    """Return when each step ends if it starts with its message, and never before its release."""
    graph = Graph.from_edges(edges)
    waits_for = {
        step: graph.upstreams[step] if step in unit.heads else ups
        for unit in found
        for step, ups in predecessors(unit.tree).items()
    }
    done: dict[str, int] = {}
    for step in graph.order:
        released = max((done[up] for up in graph.upstreams[step]), default=0)
        arrived = max((done[up] for up in waits_for[step]), default=0)
        assert arrived >= released, f"{step}'s message comes too early, and is acknowledged away"
        done[step] = arrived + seconds[step]
    return done


def critical_path(edges: Edges, seconds: dict[str, int]) -> dict[str, int]:
    """Return when each step ends at the earliest."""
    done: dict[str, int] = {}
    for step in Graph.from_edges(edges).order:
        done[step] = max((done[up] for up in edges[step]), default=0) + seconds[step]
    return done


def pairs(tree: Plan) -> Iterator[tuple[type[Plan], str, str]]:
    """Yield every two steps with the kind of the smallest part that holds both."""
    match tree:
        case Series(plans) | Parallel(plans) | Gated(plans):
            for one, other in combinations(plans, 2):
                for first in steps_of(one):
                    for second in steps_of(other):
                        yield type(tree), first, second
            for plan in plans:
                yield from pairs(plan)


def is_row(plan: Plan) -> bool:
    """Tell whether a plan is steps in a row."""
    parts = plan.parts if isinstance(plan, Series) else (plan,)
    return all(isinstance(part, Step) for part in parts)


def largest_message(tree: Plan) -> int:
    """Return how many steps the largest message of a canvas carries."""
    parts = tree.parts if isinstance(tree, Series) else (tree,)
    rows = [len(steps_of(row)) for p in parts if isinstance(p, Parallel) for row in p.branches]
    steps = sum(isinstance(part, Step) for part in parts)
    is_led = isinstance(parts[0], Step)
    return steps + (sum(rows) if is_led else max(rows, default=0))


class TestTree:
    @given(dags())
    def test_says_what_the_graph_says(self, edges: Edges) -> None:
        """Steps in series depend on each other, steps in parallel do not; each is there once."""
        graph = Graph.from_edges(edges)
        tree, before = compile_plan(graph), above(graph)
        assert sorted(steps_of(tree)) == sorted(edges)
        for kind, one, other in pairs(tree):
            if kind is Series:
                assert one in before[other]
            elif kind is Parallel:
                assert one not in before[other]
                assert other not in before[one]

    @given(series_parallel_trees())
    def test_of_a_series_parallel_graph_has_no_gate(self, tree: Plan) -> None:
        """A graph made of series and parallels is taken apart into the same again."""
        assert plan_of(edges_of(tree)) == tree

    def test_of_an_n_is_gated(self) -> None:
        """Where c waits for a and b, and d for b alone, only the graph knows the order."""
        assert plan_of(N_SHAPE) == Gated((Step("a"), Step("b"), Step("c"), Step("d")))

    def test_gates_only_what_is_held_apart_by_an_n(self) -> None:
        """What stands before, after and inside of an N keeps its shape."""
        edges = {
            "start": [],
            "a1": ["start"],
            "a2": ["a1"],
            "b": ["start"],
            "c": ["a2", "b"],
            "d1": ["b"],
            "d2": ["b"],
            "end": ["c", "d1", "d2"],
        }
        first, gate, last = plan_of(edges).parts  # type: ignore[union-attr]
        assert (first, last) == (Step("start"), Step("end"))
        assert set(gate.segments) == {
            Series((Step("a1"), Step("a2"))),
            Step("b"),
            Step("c"),
            Parallel((Step("d1"), Step("d2"))),
        }

    def test_forgets_edges_that_follow_from_others(self) -> None:
        """A shortcut past a step changes nothing."""
        shortcut = plan_of({"a": [], "b": ["a"], "c": ["a", "b"]})
        assert shortcut == Series((Step("a"), Step("b"), Step("c")))


class TestUnits:
    @given(dags(), st.booleans(), st.integers(1, 16))
    def test_hold_every_step_once(self, edges: Edges, chords: bool, max_chain: int) -> None:
        """Every step is in exactly one unit."""
        found = units_of(edges, chords=chords, max_chain=max_chain)
        assert sorted(step for unit in found for step in steps_of(unit.tree)) == sorted(edges)

    @given(dags(), st.booleans(), st.integers(1, 16), st.data())
    def test_make_nobody_wait(
        self, edges: Edges, chords: bool, max_chain: int, data: st.DataObject
    ) -> None:
        """With enough workers each step ends on its critical path, whatever the steps take."""
        seconds = {step: data.draw(st.integers(0, 20)) for step in edges}
        found = units_of(edges, chords=chords, max_chain=max_chain)
        assert finishes(edges, found, seconds) == critical_path(edges, seconds)

    @given(series_parallel_trees(), st.integers(1, 8), st.data())
    def test_of_series_and_parallels_make_nobody_wait(
        self, tree: Plan, max_chain: int, data: st.DataObject
    ) -> None:
        """The same holds where chords abound."""
        edges = edges_of(tree)
        seconds = {step: data.draw(st.integers(0, 20)) for step in edges}
        found = units_of(edges, max_chain=max_chain)
        assert finishes(edges, found, seconds) == critical_path(edges, seconds)

    @given(dags() | series_parallel_trees().map(edges_of))
    def test_begin_with_steps_released_together(self, edges: Edges) -> None:
        """All heads of a unit wait for the same steps, so one transaction releases them."""
        kept = reduced(Graph.from_edges(edges))
        for unit in units_of(edges):
            assert len({frozenset(kept[head]) for head in unit.heads}) == 1
            is_carried = predecessors(unit.tree)
            assert all((step in unit.heads) == (not ups) for step, ups in is_carried.items())

    @given(dags() | series_parallel_trees().map(edges_of), st.booleans(), st.integers(1, 8))
    def test_have_one_of_three_shapes(self, edges: Edges, chords: bool, max_chain: int) -> None:
        """A row, rows side by side, or a chord; never two groups in a row, nothing nested."""
        for unit in units_of(edges, chords=chords, max_chain=max_chain):
            parts = unit.tree.parts if isinstance(unit.tree, Series) else (unit.tree,)
            groups = [part for part in parts if not isinstance(part, Step)]
            assert len(groups) <= 1
            for group in groups:
                assert isinstance(group, Parallel)
                assert 2 <= len(group.branches) <= 4
                assert all(is_row(branch) for branch in group.branches)
                assert len(parts) == 1 or (chords and isinstance(parts[-1], Step))
            assert largest_message(unit.tree) <= max_chain

    def test_of_a_diamond_are_one_canvas(self) -> None:
        """A diamond leaves whole, as a step and a chord."""
        (unit,) = units_of(DIAMOND)
        assert unit.heads == ("a",)
        assert unit.tree == Series((Step("a"), Parallel((Step("b"), Step("c"))), Step("d")))

    def test_without_chords_join_by_gate(self) -> None:
        """Where the result backend can't count, the last step is sent by the ledger."""
        found = units_of(DIAMOND, chords=False)
        assert [unit.heads for unit in found] == [("a",), ("b", "c"), ("d",)]

    def test_of_an_n_leave_one_by_one(self) -> None:
        """In a→c, b→c, b→d the step d does not wait for a."""
        found = units_of(N_SHAPE)
        seconds = {"a": 100, "b": 1, "c": 1, "d": 1}
        assert finishes(N_SHAPE, found, seconds)["d"] == 2
        assert [unit.heads for unit in found] == [("a",), ("b",), ("c",), ("d",)]

    def test_of_layers_are_never_adjacent_groups(self) -> None:
        """Ten fully connected layers of ten are ten canvases, each one group."""
        graph = Graph.from_edges(layers(10, 10))
        found = units(compile_plan(graph), graph)
        assert [len(unit.heads) for unit in found] == [10] * 10
        assert all(isinstance(unit.tree, Parallel) for unit in found)

    def test_of_a_long_chain_are_short_chains(self) -> None:
        """A chain of fifty leaves in pieces, so that its messages do not grow with it."""
        graph = Graph.from_edges(chain_of(50))
        found = units(compile_plan(graph), graph)
        assert [len(steps_of(unit.tree)) for unit in found] == [16, 16, 16, 2]
        assert MAX_CHAIN == 16

    def test_of_a_wide_fan_are_groups_and_a_gate(self) -> None:
        """A thousand side by side leave in groups; the step that joins them is sent alone."""
        graph = Graph.from_edges(fan(1000))
        first, *groups, last = units(compile_plan(graph), graph)
        assert first.heads == ("first",)
        assert last.heads == ("last",)
        assert max(len(group.heads) for group in groups) == MAX_HEADER
        assert sum(len(group.heads) for group in groups) == 1000

    def test_put_a_chord_behind_its_first_step_only_while_it_is_small(self) -> None:
        """What stands before a chord carries all of it, so a wide one leaves by itself."""
        graph = Graph.from_edges(fan(100))
        found = units(compile_plan(graph), graph)
        assert [len(unit.heads) for unit in found] == [1, 100]
        assert steps_of(found[1].tree)[-1] == "last"


class TestAlone:
    """Steps about which somebody decides are sent by themselves."""

    @given(dags() | series_parallel_trees().map(edges_of), st.data())
    def test_are_units_by_themselves(self, edges: Edges, data: st.DataObject) -> None:
        """Every step is in exactly one unit, and no canvas holds one of these."""
        alone, found = self._cut(edges, data)
        assert sorted(step for unit in found for step in steps_of(unit.tree)) == sorted(edges)
        for unit in found:
            held = steps_of(unit.tree)
            assert alone.isdisjoint(held) or len(held) == 1
            assert unit.heads == tuple(held) or alone.isdisjoint(held)

    @given(dags() | series_parallel_trees().map(edges_of), st.data())
    def test_leave_the_others_in_shapes_that_celery_runs(
        self, edges: Edges, data: st.DataObject
    ) -> None:
        """Never two groups in a row, nothing nested; and all heads are released together."""
        _, found = self._cut(edges, data)
        kept = reduced(Graph.from_edges(edges))
        for unit in found:
            parts = unit.tree.parts if isinstance(unit.tree, Series) else (unit.tree,)
            groups = [part for part in parts if not isinstance(part, Step)]
            assert len(groups) <= 1
            assert all(
                isinstance(group, Parallel) and all(is_row(one) for one in group.branches)
                for group in groups
            )
            assert not groups or len(parts) == 1 or isinstance(parts[-1], Step)
            assert len({frozenset(kept[head]) for head in unit.heads}) == 1

    @given(dags() | series_parallel_trees().map(edges_of), st.data())
    def test_make_nobody_wait(self, edges: Edges, data: st.DataObject) -> None:
        """No message comes before its step is released, and none later than it could."""
        seconds = {step: data.draw(st.integers(0, 20)) for step in edges}
        _, found = self._cut(edges, data)
        assert finishes(edges, found, seconds) == critical_path(edges, seconds)

    def _cut(self, edges: Edges, data: st.DataObject) -> tuple[set[str], tuple[Unit, ...]]:
        alone = data.draw(st.sets(st.sampled_from(sorted(edges))))
        graph = Graph.from_edges(edges)
        chords = data.draw(st.booleans())
        plan = compile_plan(graph)
        return alone, units(plan, graph, chords=chords, max_header=4, alone=alone)


class TestSize:
    def test_ten_thousand_in_a_row(self) -> None:
        """A deep graph needs no recursion."""
        graph = Graph.from_edges(chain_of(10_000))
        assert len(units(compile_plan(graph), graph)) == 625

    def test_ten_thousand_side_by_side(self) -> None:
        """A wide graph is a matter of a moment."""
        graph = Graph.from_edges(fan(10_000))
        assert len(units(compile_plan(graph), graph)) == 42

    def test_thousands_of_levels_within_each_other(self) -> None:
        """A graph that is deep by nesting needs no recursion either."""
        edges = chain_of(3000)
        edges |= {f"b{index}": [f"s{index}"] for index in range(3000)}
        edges |= {f"z{index}": [f"b{index}", f"z{index + 1}"] for index in range(2999)}
        edges["z2999"] = ["b2999"]
        graph = Graph.from_edges(edges)
        found = units(compile_plan(graph), graph)
        assert sum(len(edges_of(unit.tree)) for unit in found) == 9000
