"""What has to hold at the end of a run, judged from the ledger and from what was noted. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chaos.producer import Order
from chaos.traces import Move
from chaos.world import Kill
from datamcp.tasks.states import FINAL, State

_FINAL = frozenset(str(state) for state in FINAL)
_SHOWN = 20  # ids of each kind of trouble


class Row(Protocol):
    """What is judged of a task's row."""

    state: str
    attempt: int
    losses: int
    suspicions: int
    error_code: str | None


@dataclass(slots=True)
class Verdict:
    """What was found; each list holds ids of tasks, or a line about each. All are to be empty."""

    lost: list[str] = field(default_factory=list)
    """Taken in, and not there, or ended in another way than they have to."""
    stuck: list[str] = field(default_factory=list)
    """Not ended."""
    finished_twice: list[str] = field(default_factory=list)
    """Ended more than once, or changed after their end."""
    effects_missing: list[str] = field(default_factory=list)
    """Succeeded, and their effect is not there."""
    effects_doubled: list[str] = field(default_factory=list)
    """Had an effect again that is had once, or under another task's key."""
    cancel_broken: list[str] = field(default_factory=list)
    """Ended in another way than cancelled after a cancel was answered True."""
    other: list[str] = field(default_factory=list)
    """Anything else: processes that are left, keys, code that ran."""
    quarantined: int = 0
    """Tasks that failed because three processes died with them (no trouble: it is the rule)."""

    @property
    def is_good(self) -> bool:
        """Whether all holds."""
        return not any(self.troubles().values())

    def troubles(self) -> dict[str, int]:
        """Return how many of each kind were found."""
        return {name: len(found) for name, found in self._lists().items()}

    def shown(self) -> dict[str, list[str]]:
        """Return the first of each kind that was found."""
        return {name: found[:_SHOWN] for name, found in self._lists().items() if found}

    def _lists(self) -> dict[str, list[str]]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "quarantined"}


def judge(
    orders: Iterable[Order],
    rows: Mapping[str, Row],
    moves: Sequence[Move],
    effects: Mapping[str, str],
    deeds: Mapping[str, int],
) -> Verdict:
    """Return what is wrong with the tasks of a run."""
    verdict = Verdict()
    for order in orders:
        row = rows.get(order.task_id)
        if row is None:
            verdict.lost.append(f"{order.task_id}: there is no row")
        elif row.state in _FINAL:
            _judge_end(verdict, order, row, effects.get(order.key))
            _judge_deed(verdict, order, row, deeds.get(order.task_id, 0))
    verdict.stuck = [f"{one}: {row.state}" for one, row in rows.items() if row.state not in _FINAL]
    verdict.finished_twice = _finished_twice(moves)
    return verdict


def _judge_end(verdict: Verdict, order: Order, row: Row, effect: str | None) -> None:
    state = State(row.state)
    ended = f"{order.task_id}: {row.state}, {row.error_code}, attempt {row.attempt}"
    if order.cancelled and state is not State.CANCELLED:
        verdict.cancel_broken.append(ended)
    elif state is State.CANCELLED:
        if order.cancelled is None:
            verdict.lost.append(ended)
    elif _is_quarantined(row):
        verdict.quarantined += 1
    elif state not in order.ends:
        verdict.lost.append(ended)
    elif order.attempts not in {None, row.attempt}:
        verdict.other.append(f"{ended}, not {order.attempts}")
    if effect not in {None, order.task_id}:
        verdict.effects_doubled.append(f"{order.key}: by {effect}, not by {order.task_id}")
    if state is State.SUCCEEDED and order.has_effect and effect is None:
        verdict.effects_missing.append(ended)


def _judge_deed(verdict: Verdict, order: Order, row: Row, count: int) -> None:
    """Look for what commits with a success: once for a success, and else not at all."""
    wanted = int(order.has_deed and row.state == State.SUCCEEDED)
    if count < wanted:
        verdict.effects_missing.append(f"{order.task_id}: {row.state}, without its transaction")
    elif count > wanted:
        verdict.effects_doubled.append(f"{order.task_id}: {row.state}, {count} transactions")


def _is_quarantined(row: Row) -> bool:
    return row.state == State.FAILED and row.error_code == "worker_lost"


def _finished_twice(moves: Iterable[Move]) -> list[str]:
    ended: set[str] = set()
    found = []
    for move in moves:
        if move.was in _FINAL or (move.became in _FINAL and move.task_id in ended):
            found.append(f"{move.task_id}: {move.was} to {move.became}")
        if move.became in _FINAL:
            ended.add(move.task_id)
    return found


def recoveries(kills: Sequence[Kill], moves: Iterable[Move]) -> dict[str, dict[str, list[float]]]:
    """Return, by kind of kill, how long (s) after it tasks that were lost were queued and ran again.

    A task is lost if its row went back to the queue without an end of its attempt; the last kill of
    its worker, or of the database, before that was the cause.
    """
    waiting: dict[str, Kill] = {}
    found: dict[str, dict[str, list[float]]] = {}
    for move in moves:
        if move.was == State.RUNNING and move.became == State.QUEUED:
            cause = _cause(kills, move)
            if cause is not None:
                times = found.setdefault(cause.kind, {"rescue": [], "recovery": []})
                times["rescue"].append(move.at - cause.at)
                waiting[move.task_id] = cause
        elif move.task_id in waiting and (move.became == State.RUNNING or move.became in _FINAL):
            cause = waiting.pop(move.task_id)
            found[cause.kind]["recovery"].append(move.at - cause.at)
    return found


def _cause(kills: Sequence[Kill], move: Move) -> Kill | None:
    before = [
        kill for kill in kills if kill.agent_id in {None, move.agent_id} and kill.at <= move.at
    ]
    return before[-1] if before else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median and the largest of some seconds, and how many there are."""
    if not values:
        return {"count": 0}
    return {
        "count": len(values),
        "p50": round(percentile(values, 0.5), 2),
        "max": round(max(values), 2),
    }
