"""The modules of a graph as one tree. Pure, and without recursion: a graph may be deep.

Modules that fall apart into components run side by side. Those that can be cut so that all
before the cut comes before all after it run in series. The rest is gated.

Source: the decomposition of a partial order into parallel, series and prime parts (T. Gallai,
"Transitiv orientierbare Graphen", 1967).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from datamcp.pipelines.contraction import Quotient
from datamcp.pipelines.reduction import ancestors
from datamcp.pipelines.tree import Gated, Plan, parallel, series

Members = list[int]
"""Places of modules in the quotient, upstreams first."""


def decompose(quotient: Quotient) -> Plan:
    """Return the tree of all modules."""
    splitter = _Splitter(quotient)
    todo = [list(range(len(quotient.modules)))]
    splits: list[_Split] = []
    inner: list[range] = []
    for members in todo:
        split = splitter.split(members)
        splits.append(split)
        inner.append(range(len(todo), len(todo) + len(split.parts)))
        todo += split.parts
    trees: dict[int, Plan] = {}
    for index in reversed(range(len(splits))):
        within = [trees.pop(part) for part in inner[index]]
        trees[index] = splits[index].join(within or splits[index].modules)
    return trees[0]


@dataclass(frozen=True, slots=True)
class _Split:
    """How members are joined: those of each part first or, without parts, as they are."""

    join: Callable[[Iterable[Plan]], Plan]
    parts: Sequence[Members] = ()
    modules: Sequence[Plan] = ()


def _gated(modules: Iterable[Plan]) -> Plan:
    return Gated(tuple(modules))


class _Splitter:
    def __init__(self, quotient: Quotient) -> None:
        self._modules = quotient.modules
        self._above = ancestors(quotient.upstreams)
        self._neighbours: list[Members] = [[*ups] for ups in quotient.upstreams]
        for place, ups in enumerate(quotient.upstreams):
            for up in ups:
                self._neighbours[up].append(place)

    def split(self, members: Members) -> _Split:
        modules = [self._modules[member] for member in members]
        if len(modules) == 1:
            return _Split(series, modules=modules)
        if len(parts := self._components(members)) > 1:
            return _Split(parallel, parts)
        if len(parts := self._blocks(members)) > 1:
            return _Split(series, parts)
        return _Split(_gated, modules=modules)

    def _components(self, members: Members) -> list[Members]:
        left = set(members)
        return [self._component(member, left) for member in members if member in left]

    def _component(self, member: int, left: set[int]) -> Members:
        left.discard(member)
        found = [member]
        for one in found:
            near = [other for other in self._neighbours[one] if other in left]
            left.difference_update(near)
            found += near
        return sorted(found)

    def _blocks(self, members: Members) -> list[Members]:
        before = sum(1 << member for member in members)
        shared = before
        cuts = [len(members)]
        for index in range(len(members) - 1, 0, -1):
            before &= ~(1 << members[index])
            shared &= self._above[members[index]]
            if before & ~shared == 0:
                cuts.append(index)
        return [members[start:end] for start, end in pairwise([0, *reversed(cuts)])]
