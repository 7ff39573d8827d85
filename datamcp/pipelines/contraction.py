"""Every series-parallel part of a graph shrunk to one module. Pure.

Two rules are repeated until neither applies. *Run*: a module and its sole downstream, whose sole
upstream it is, become a series. *Twins*: modules with the same upstreams and the same downstreams
become a parallel. What began series-parallel ends as a single module; what remains apart is held
apart by an N. On a transitive reduction both rules only ever join what all other steps see alike,
so a join makes nobody wait.

Source: the reduction rules of J. Valdes, R. Tarjan and E. Lawler, "The recognition of series
parallel digraphs", 1982.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from datamcp.pipelines.reduction import Upstreams
from datamcp.pipelines.tree import Plan, Step, parallel, series


@dataclass(frozen=True, slots=True)
class Quotient:
    """What remains: modules, upstreams first, and for each the places of its upstreams."""

    modules: tuple[Plan, ...]
    upstreams: tuple[tuple[int, ...], ...]


def contract(steps: Sequence[str], upstreams: Upstreams) -> Quotient:
    """Return the modules of a transitive reduction; `steps` have upstreams first."""
    return _Contraction(steps, upstreams).run()


_Neighbours = tuple[frozenset[int], frozenset[int]]


class _Contraction:
    """Modules under way.

    A module is known by the place of its first member, to those above it, and of its last member,
    to those below it. So a run is joined without telling its neighbours.
    """

    def __init__(self, steps: Sequence[str], upstreams: Upstreams) -> None:
        self._branches: dict[int, list[tuple[int, Plan]]] = {
            place: [(place, Step(step))] for place, step in enumerate(steps)
        }
        self._above = [set(ups) for ups in upstreams]  # of a first: the lasts above
        self._below: list[set[int]] = [set() for _ in steps]  # of a last: the firsts below
        for place, ups in enumerate(upstreams):
            for up in ups:
                self._below[up].add(place)
        self._first = list(range(len(steps)))  # of a last
        self._last = list(range(len(steps)))  # of a first
        self._neighbours: dict[int, _Neighbours] = {}
        self._twins: dict[_Neighbours, int] = {}
        self._touched: dict[int, None] = {}  # firsts to look at again, in order

    def run(self) -> Quotient:
        self._touched = dict.fromkeys(self._branches)
        while self._touched:
            todo, self._touched = self._touched, {}
            for first in todo:
                if first in self._branches:
                    self._join_twin(self._join_run(first))
        return self._quotient()

    def _join_run(self, member: int) -> int:
        run = deque([member])
        while (up := self._sole_upstream(run[0])) is not None:
            run.appendleft(up)
        while (down := self._sole_downstream(run[-1])) is not None:
            run.append(down)
        if len(run) > 1:
            first, last = run[0], self._last[run[-1]]
            joined = (self._rank(first), series(self._tree(part) for part in run))
            for part in run:
                self._forget(part)
                del self._branches[part]
            self._branches[first] = [joined]
            self._last[first], self._first[last] = last, first
        return run[0]

    def _sole_upstream(self, first: int) -> int | None:
        above = self._above[first]
        if len(above) != 1:
            return None
        (last,) = above
        return self._first[last] if len(self._below[last]) == 1 else None

    def _sole_downstream(self, first: int) -> int | None:
        below = self._below[self._last[first]]
        if len(below) != 1:
            return None
        (down,) = below
        return down if len(self._above[down]) == 1 else None

    def _join_twin(self, first: int) -> None:
        self._forget(first)
        last = self._last[first]
        neighbours = (frozenset(self._above[first]), frozenset(self._below[last]))
        twin = self._twins.setdefault(neighbours, first)
        if twin == first:
            self._neighbours[first] = neighbours
            return
        self._branches[twin] += self._branches.pop(first)
        for up in self._above[first]:
            self._below[up].discard(first)
            self._touch(self._first[up])
        for down in self._below[last]:
            self._above[down].discard(last)
            self._touch(down)

    def _touch(self, first: int) -> None:
        self._forget(first)
        self._touched[first] = None

    def _forget(self, first: int) -> None:
        neighbours = self._neighbours.pop(first, None)
        if neighbours is not None:
            del self._twins[neighbours]

    def _rank(self, first: int) -> int:
        return min(rank for rank, _ in self._branches[first])

    def _tree(self, first: int) -> Plan:
        ranked = sorted(self._branches[first], key=itemgetter(0))
        return parallel(tree for _, tree in ranked)

    def _quotient(self) -> Quotient:
        # By their first members: what stands before one member of a module stands before all.
        firsts = sorted(self._branches, key=self._rank)
        place = {first: index for index, first in enumerate(firsts)}
        return Quotient(
            modules=tuple(self._tree(first) for first in firsts),
            upstreams=tuple(
                tuple(place[self._first[up]] for up in self._above[first]) for first in firsts
            ),
        )
