"""Which steps of a run are to be looked at, and what an end means for those that wait. Pure.

The ledger locks the rows and writes what was decided; in between they are slips on a board.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any

from datamcp.pipelines.compiled import Compiled, base_of
from datamcp.pipelines.gate import Gate, Verdict, judge
from datamcp.tasks.states import State

Ended = Callable[[Collection[str]], Mapping[str, State]]
"""Returns the states of those of some steps that have ended; what is forgiven is a success."""


@dataclass(slots=True)
class Slip:
    """A step that waits, as its row says."""

    step_id: str
    task_id: str
    gate: int
    left: int
    unsuccessful: int
    is_undecided: bool
    awaits: str | None = None
    map_index: int | None = None
    since: datetime | None = None  # when it began to wait for what it awaits
    timeout: float | None = None
    element: Any = None  # of one of many: what it is made from
    limit_key: str | None = None  # of the limit that it is under, or waits for
    is_changed: bool = field(default=False, compare=False)


class Board:
    """The slips of a run that something may be decided about."""

    def __init__(self, compiled: Compiled, slips: Iterable[Slip], ended: Ended) -> None:
        """Take the slips, and what tells how other steps have ended."""
        self._compiled = compiled
        self._slips = {slip.step_id: slip for slip in slips}
        self._ended = ended
        self._states: dict[str, State] = {}
        self._asked: set[str] = set()
        self._todo = [self._place(slip) for slip in self._slips.values() if slip.is_undecided]
        heapify(self._todo)

    def next(self) -> Slip | None:
        """Take the next slip that is to be looked at, upstreams first; None if none is left."""
        while self._todo:
            slip = self._slips.get(heappop(self._todo)[-1])
            if slip is not None and slip.is_undecided:
                return slip
        return None

    def verdict(self, slip: Slip) -> Verdict:
        """Return what the step's rule says of how its upstreams have ended."""
        upstreams = self._compiled.upstreams_of(slip.step_id)
        if slip.map_index is not None:
            return Verdict.GO
        rule = self._compiled.rule_of(slip.step_id)
        if rule == "all_success" and not slip.unsuccessful:
            return Verdict.WAIT if slip.left else Verdict.GO
        ended = self._states_of(upstreams)
        states = [ended[name] for name in upstreams if name in ended]
        return judge(rule, states, len(upstreams) - len(states))

    def cause(self, slip: Slip, wanted: Collection[State]) -> str:
        """Return which upstream it was that ended in one of some states; the first defined."""
        upstreams = self._compiled.upstreams_of(slip.step_id)
        ended = self._states_of(upstreams)
        return next((name for name in upstreams if ended.get(name) in wanted), "")

    def end(self, slip: Slip, state: State, *, counts_as_success: bool) -> None:
        """Note an end, and count it for the steps that wait for this one."""
        slip.is_undecided = False
        self._slips.pop(slip.step_id, None)
        self._states[slip.step_id] = State.SUCCEEDED if counts_as_success else state
        for name in self._below(slip):
            below = self._slips.get(name)
            if below is None or (below.awaits is None) == (slip.map_index is not None):
                continue  # what it awaits are the ends of what it was made to, and nothing else
            below.left -= 1
            below.unsuccessful += not counts_as_success
            below.is_changed = True
            is_looked_at = below.left <= 0 or (below.gate == Gate.EACH and below.awaits is None)
            if not below.is_undecided and is_looked_at:
                below.is_undecided = True
                heappush(self._todo, self._place(below))

    def start(self, slip: Slip) -> None:
        """Take down the slip of a step that starts: whatever ends now does not concern it."""
        slip.is_undecided = False
        self._slips.pop(slip.step_id, None)

    def put_up(self, slips: Iterable[Slip]) -> None:
        """Have slips looked at once more."""
        for slip in slips:
            slip.is_undecided = True
            heappush(self._todo, self._place(slip))

    def add(self, slips: Iterable[Slip]) -> None:
        """Put up slips of steps that are new, to be looked at."""
        for slip in slips:
            self._slips[slip.step_id] = slip
            heappush(self._todo, self._place(slip))

    @property
    def changed(self) -> list[Slip]:
        """The slips that still wait, and whose row is to be written."""
        return [slip for slip in self._slips.values() if slip.is_changed]

    def _below(self, slip: Slip) -> Iterable[str]:
        if slip.map_index is not None:
            return (base_of(slip.step_id),)
        return self._compiled.graph.downstreams[slip.step_id]

    def _states_of(self, step_ids: Collection[str]) -> Mapping[str, State]:
        unknown = [one for one in step_ids if one not in self._asked and one not in self._states]
        if unknown:
            self._asked.update(unknown)
            self._states = {**self._ended(unknown), **self._states}
        return self._states

    def _place(self, slip: Slip) -> tuple[int, int, str]:
        place = self._compiled.place[base_of(slip.step_id)]
        return place, -1 if slip.map_index is None else slip.map_index, slip.step_id


def reach(compiled: Compiled, step_ids: Iterable[str]) -> set[str]:
    """Return some steps, and all that depend on them: what a decision about them may end, too."""
    found = set(step_ids)
    todo = list(found)
    while todo:
        step_id = todo.pop()
        base = base_of(step_id)
        below = (base,) if base != step_id else compiled.graph.downstreams[base]
        for name in below:
            if name not in found:
                found.add(name)
                todo.append(name)
    return found
