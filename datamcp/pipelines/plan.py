"""How a graph is sent: compiled to a tree, and cut into what leaves as one Celery canvas. Pure.

The ledger releases every step; a canvas only carries the messages (protocol R12). So a plan may
cut anywhere without changing what waits for what, and it cuts so that no message grows with the
graph and no canvas has a shape that Celery runs wrongly.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from datamcp.pipelines.contraction import contract
from datamcp.pipelines.decomposition import decompose
from datamcp.pipelines.graph import Graph
from datamcp.pipelines.reduction import reduce
from datamcp.pipelines.tree import Gated, Parallel, Plan, Series, Step, parallel, series, steps_in

MAX_CHAIN = 16
MAX_HEADER = 256


@dataclass(frozen=True, slots=True)
class Unit:
    """What is sent as one canvas, once the steps in `heads` are released, all together.

    `tree` has one of three shapes: steps in a row; rows side by side; or steps, if any, then rows
    side by side, then at least one step (a chord and what follows its body). Whatever is not a
    head gets its message from the canvas.
    """

    heads: tuple[str, ...]
    tree: Plan


def compile_plan(graph: Graph) -> Plan:
    """Return the tree of a graph; no step waits in it for one that it does not depend on."""
    return decompose(contract(graph.order, reduce(graph)))


def units(
    plan: Plan,
    graph: Graph,
    *,
    chords: bool = True,
    max_chain: int = MAX_CHAIN,
    max_header: int = MAX_HEADER,
    alone: Collection[str] = (),
) -> tuple[Unit, ...]:
    """Cut a plan into units, in the order of their first heads; each step is in exactly one.

    No message carries more than `max_chain` steps, its own included, and no chord counts more
    than `max_header` branches. Without `chords`, the ledger alone joins. The steps of `alone` are
    units by themselves: somebody decides whether they start.
    """
    place = {step: index for index, step in enumerate(graph.order)}
    cutter = _Cutter(chords, max_chain, max_header, frozenset(alone))
    trees: list[Plan] = []
    todo = [plan]
    while todo:
        whole, rest = cutter.cut(todo.pop())
        trees += whole
        todo += rest
    found = (Unit(_heads(tree), tree) for tree in trees)
    return tuple(sorted(found, key=lambda unit: place[unit.heads[0]]))


Cut = tuple[list[Plan], list[Plan]]
"""Trees that may leave as they are, and plans that are still to be cut."""


@dataclass(frozen=True, slots=True)
class _Cutter:
    chords: bool
    max_chain: int
    max_header: int
    alone: frozenset[str]

    def cut(self, plan: Plan) -> Cut:
        match plan:
            case Step():
                return [plan], []
            case Series(parts) if self._is_any_alone(plan):
                return [], list(self._apart(parts))
            case Parallel(branches) if self._is_any_alone(plan):
                whole = [branch for branch in branches if not self._is_any_alone(branch)]
                rest = [branch for branch in branches if self._is_any_alone(branch)]
                return [], [*([parallel(whole)] if whole else []), *rest]
            case Gated(segments):
                return [], list(segments)
            case Parallel(branches):
                return self._cut_parallel(branches)
            case Series(parts):
                return self._cut_series(parts)

    def _is_any_alone(self, plan: Plan) -> bool:
        return bool(self.alone) and not self.alone.isdisjoint(steps_in(plan))

    def _apart(self, parts: Sequence[Plan]) -> Iterator[Plan]:
        """Yield parts by themselves that hold a step of `alone`, and rows of those in between."""
        for is_apart, group in groupby(parts, self._is_any_alone):
            some = list(group)
            yield from (some if is_apart else [series(some)])

    def _cut_parallel(self, branches: Sequence[Plan]) -> Cut:
        rows = [_row(branch) for branch in branches]
        starts = [series(row[: self.max_chain]) for row in rows if row]
        groups = [
            parallel(starts[start : start + self.max_header])
            for start in range(0, len(starts), self.max_header)
        ]
        ends = [series(row[self.max_chain :]) for row in rows if len(row) > self.max_chain]
        nested = [branch for branch, row in zip(branches, rows, strict=True) if not row]
        return groups, ends + nested

    def _cut_series(self, parts: tuple[Plan, ...]) -> Cut:
        lead = _leading_steps(parts[: self.max_chain + 1])
        is_long = lead > self.max_chain
        end = self.max_chain if is_long else self._end_of_chord(parts, lead) or lead
        if end:
            return _as_series(parts[:end]), _as_series(parts[end:])
        return [], [parts[0], *_as_series(parts[1:])]

    def _end_of_chord(self, parts: tuple[Plan, ...], lead: int) -> int:
        # Where a chord ends that has its header at `lead`; 0 if it must not be one.
        header = parts[lead] if lead < len(parts) else None
        if not self.chords or not isinstance(header, Parallel):
            return 0
        rows = [_row(branch) for branch in header.branches]
        if not all(rows) or len(rows) > self.max_header:
            return 0
        # What stands before a chord carries all of it; a step of its header, its own row.
        sizes = [len(row) for row in rows]
        room = self.max_chain - (lead + sum(sizes) if lead else max(sizes))
        body = _leading_steps(parts[lead + 1 : lead + 1 + max(room, 0)])
        return lead + 1 + body if body else 0


def _as_series(parts: tuple[Plan, ...]) -> list[Plan]:
    return [Series(parts)] if len(parts) > 1 else [*parts]


def _row(plan: Plan) -> tuple[Plan, ...]:
    # The steps of a plan that is a row of steps; nothing for any other.
    parts = plan.parts if isinstance(plan, Series) else (plan,)
    return parts if all(isinstance(part, Step) for part in parts) else ()


def _leading_steps(parts: Sequence[Plan]) -> int:
    return sum(1 for _ in takewhile(lambda part: isinstance(part, Step), parts))


def _heads(tree: Plan) -> tuple[str, ...]:
    match tree:
        case Step(step_id):
            return (step_id,)
        case Series(parts):
            return _heads(parts[0])
        case Parallel(plans) | Gated(plans):
            return tuple(head for plan in plans for head in _heads(plan))
