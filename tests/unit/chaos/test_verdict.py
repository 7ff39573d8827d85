"""The judge of `chaos`: it finds what is wrong, and nothing else."""

from dataclasses import dataclass

import pytest

from chaos.producer import Order
from chaos.traces import Move
from chaos.verdict import Verdict, judge, percentile, recoveries
from chaos.world import Kill
from datamcp.tasks.states import State

SUCCESS = frozenset({State.SUCCEEDED})


@dataclass
class Row:
    """A task's row."""

    state: str
    attempt: int = 1
    losses: int = 0
    suspicions: int = 0
    error_code: str | None = None


def verdict_on(
    row: Row | None,
    *,
    cancelled: bool | None = None,
    effect: str | None = "a",
    moves: tuple[Move, ...] = (),
    deeds: int | None = None,
) -> Verdict:
    """Return what is said of one task that is to succeed, with an effect."""
    order = Order("key", "a", SUCCESS, has_effect=True, cancelled=cancelled)
    if deeds is not None:
        order.has_effect, order.has_deed = False, True
    rows = {} if row is None else {"a": row}
    effects = {} if effect is None else {"key": effect}
    return judge([order], rows, moves, effects, {"a": deeds or 0})


def move(was: str, became: str, at: float, agent_id: str = "agent") -> Move:
    """Return a move of the task."""
    return Move("a", was, became, agent_id, at)


def test_what_went_well_is_good() -> None:
    """It succeeded, once, with its effect."""
    verdict = verdict_on(Row("succeeded"), moves=(move("running", "succeeded", 1),))
    assert verdict.is_good


@pytest.mark.parametrize(
    ("trouble", "row", "told"),
    [
        ("lost", None, {}),
        ("lost", Row("failed", error_code="ValueError"), {"effect": None}),
        ("lost", Row("cancelled"), {"effect": None}),
        ("stuck", Row("running"), {}),
        ("stuck", Row("queued"), {}),
        ("effects_missing", Row("succeeded"), {"effect": None}),
        ("effects_doubled", Row("succeeded"), {"effect": "b"}),
        ("effects_missing", Row("succeeded"), {"deeds": 0}),
        ("effects_doubled", Row("succeeded"), {"deeds": 2}),
        ("effects_doubled", Row("cancelled"), {"deeds": 1, "cancelled": True}),
        ("cancel_broken", Row("succeeded"), {"cancelled": True}),
        ("cancel_broken", Row("failed"), {"cancelled": True}),
    ],
)
def test_what_is_wrong_is_found(trouble: str, row: Row | None, told: dict[str, object]) -> None:
    """Each trouble is counted where it belongs, and nowhere else."""
    verdict = verdict_on(row, **told)  # type: ignore[arg-type]
    assert {name for name, count in verdict.troubles().items() if count} == {trouble}


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_cancel_that_was_answered_may_have_worked(cancelled: bool) -> None:
    """Cancelled is right after a cancel, whatever it was answered: it may have been asked twice."""
    assert verdict_on(Row("cancelled"), cancelled=cancelled, effect=None).is_good


def test_three_deaths_are_a_rule_and_no_trouble() -> None:
    """A task whose processes were killed three times is counted by itself."""
    verdict = verdict_on(Row("failed", error_code="worker_lost"), effect=None)
    assert verdict.is_good
    assert verdict.quarantined == 1


@pytest.mark.parametrize(
    "second", [move("succeeded", "queued", 2), move("running", "succeeded", 2)]
)
def test_an_end_that_is_not_the_end_is_found(second: Move) -> None:
    """A final row never moves, and no row ends twice."""
    verdict = verdict_on(Row("succeeded"), moves=(move("running", "succeeded", 1), second))
    assert len(verdict.finished_twice) == 1


def test_a_recovery_is_counted_from_the_last_cause() -> None:
    """From the last kill before the loss until the task runs again."""
    kills = [Kill("worker", "agent", 1.0), Kill("child", "other", 4.0), Kill("stop", "agent", 9.0)]
    moves = [
        move("queued", "running", 0),
        move("running", "queued", 5),
        move("queued", "running", 7),
    ]
    assert recoveries(kills, moves) == {"worker": {"rescue": [4.0], "recovery": [6.0]}}


def test_what_nobody_took_is_no_recovery() -> None:
    """A task that went through without a loss says nothing."""
    moves = [move("queued", "running", 0), move("running", "succeeded", 5)]
    assert recoveries([Kill("worker", "agent", 1.0)], moves) == {}


def test_a_percentile_is_one_of_the_values() -> None:
    """The middle one, or the last."""
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3.0
