"""Decisions about random graphs: every step once, after its upstreams, and whoever ended first."""

import random
from collections.abc import Collection, Mapping
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from support.dags import Edges, dags

from datamcp.pipelines.board import Board, Slip, reach
from datamcp.pipelines.compiled import Compiled
from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition, TriggerRule
from datamcp.pipelines.gate import Gate, Verdict
from datamcp.tasks.states import State

OWN = (State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED)
EARLY = {"one_success", "one_failed"}


class Run:
    """The steps of a run as a ledger would keep them, without one."""

    def __init__(self, edges: Edges, rules: Mapping[str, TriggerRule]) -> None:
        """Take what waits for what, and by which rule."""
        tasks = [
            TaskDefinition(task_id=name, processor="lab.work", trigger_rule=rules[name])
            for name in edges
        ]
        definition = PipelineDefinition(
            pipeline_id="p",
            tasks=tasks,
            dependencies={name: tuple(ups) for name, ups in edges.items()},
        )
        self.compiled = Compiled(definition, 1, chords=True)
        self.graph = self.compiled.graph
        self.ended: dict[str, State] = {}
        self.started: list[str] = []
        self.judged: list[str] = []
        self.waiting = {
            name: Slip(
                step_id=name,
                task_id=name,
                gate=self.compiled.gates[name],
                left=len(ups),
                unsuccessful=0,
                is_undecided=not ups,
            )
            for name, ups in self.graph.upstreams.items()
        }

    def decide(self) -> None:
        """Decide what there is to decide, as one transaction would."""
        undecided = [name for name, slip in self.waiting.items() if slip.is_undecided]
        locked = [self.waiting[name] for name in reach(self.compiled, undecided) & {*self.waiting}]
        board = Board(self.compiled, locked, self._ended)
        while (slip := board.next()) is not None:
            match board.verdict(slip):
                case Verdict.WAIT:
                    slip.is_undecided = False
                    continue
                case Verdict.GO:
                    self.started.append(slip.step_id)
                    board.start(slip)
                case Verdict.SKIP:
                    board.end(slip, State.SKIPPED, counts_as_success=False)
                    self.ended[slip.step_id] = State.SKIPPED
                case Verdict.FAIL:
                    assert board.cause(slip, set(State) - {State.SUCCEEDED, State.SKIPPED})
                    board.end(slip, State.UPSTREAM_FAILED, counts_as_success=False)
                    self.ended[slip.step_id] = State.UPSTREAM_FAILED
            self._note(slip.step_id)

    def end(self, step_id: str, state: State) -> None:
        """End a step that was started, as the ledger's statement does."""
        self.ended[step_id] = state
        for name in self.graph.downstreams[step_id]:
            slip = self.waiting.get(name)
            if slip is not None:
                slip.left -= 1
                slip.unsuccessful += state is not State.SUCCEEDED
                slip.is_undecided = slip.left <= 0 or slip.gate == Gate.EACH

    def _note(self, step_id: str) -> None:
        self.judged.append(step_id)
        del self.waiting[step_id]
        if self.compiled.rule_of(step_id) not in EARLY:
            assert all(up in self.ended for up in self.graph.upstreams[step_id])

    def _ended(self, step_ids: Collection[str]) -> Mapping[str, State]:
        return {name: self.ended[name] for name in step_ids if name in self.ended}


@st.composite
def runs(draw: DrawFn) -> tuple[Edges, dict[str, TriggerRule], dict[str, State]]:
    """Return a graph, the rule of each step, and how each would end if it were run."""
    edges = draw(dags())
    rule = st.sampled_from(["all_success", *get_args(TriggerRule)])
    own = st.sampled_from([State.SUCCEEDED, *OWN])
    return edges, {name: draw(rule) for name in edges}, {name: draw(own) for name in edges}


def played(
    edges: Edges, rules: Mapping[str, TriggerRule], own: Mapping[str, State], chance: Any
) -> Run:
    """Return a run in which steps end one by one in some order, or some of them before a decision."""
    run = Run(edges, rules)
    run.decide()
    going = list(run.started)
    while going:
        for _ in range(chance.randint(1, len(going))):
            name = going.pop(chance.randrange(len(going)))
            run.end(name, own[name])
        before = len(run.started)
        run.decide()
        going += run.started[before:]
    return run


@given(runs(), st.integers(), st.integers())
def test_the_order_of_ends_changes_nothing(
    made: tuple[Edges, dict[str, TriggerRule], dict[str, State]], one: int, other: int
) -> None:
    """Every step is judged once, in each order, and ends alike."""
    edges, rules, own = made
    first = played(edges, rules, own, random.Random(one))
    second = played(edges, rules, own, random.Random(other))
    for run in (first, second):
        assert sorted(run.judged) == sorted(edges)
        assert not run.waiting
    assert first.ended == second.ended
    assert sorted(first.started) == sorted(second.started)


@given(runs())
def test_reach_is_what_depends_on_it(
    made: tuple[Edges, dict[str, TriggerRule], dict[str, State]],
) -> None:
    """And nothing else; one of many belongs to what it is made from."""
    edges, rules, _ = made
    run = Run(edges, rules)
    for name in edges:
        found = reach(run.compiled, [name])
        assert all(
            (step in found) == (step == name or any(up in found for up in ups))
            for step, ups in edges.items()
        )
        assert reach(run.compiled, [f"{name}[3]"]) == {f"{name}[3]"} | found


def test_one_that_has_started_is_not_looked_at_again() -> None:
    """Though more of its upstreams end in the same turn."""
    rules: dict[str, TriggerRule] = {"a": "all_done", "b": "one_failed", "z": "one_success"}
    run = Run({"a": [], "b": [], "z": ["a", "b"]}, rules)
    slips = list(run.waiting.values())
    board = Board(run.compiled, slips, lambda _ids: {})
    looked = []
    while (slip := board.next()) is not None:
        looked.append(slip.step_id)
        if slip.step_id == "z":
            board.start(slip)
        else:
            board.end(slip, State.SUCCEEDED, counts_as_success=True)
    assert looked == ["a", "b", "z"]
    assert not board.changed


def test_those_that_were_kept_out_are_looked_at_once_more() -> None:
    """When somebody has left."""
    run = Run({"a": [], "b": []}, {"a": "all_done", "b": "all_done"})
    slips = list(run.waiting.values())
    board = Board(run.compiled, slips, lambda _ids: {})
    for slip in slips:
        assert board.next() is slip
        slip.is_undecided = False
    assert board.next() is None
    board.put_up(slips[:1])
    assert board.next() is slips[0]
