from collections.abc import Sequence
from typing import Any

import pytest

from datamcp.errors import BackendUnavailable
from datamcp.tasks.bunch import FLUSH, Bunch
from datamcp.tasks.ledger import Claimed
from datamcp.tasks.outcome import Done
from datamcp.tasks.statements import BatchEnd


class Ledger:
    """Notes what a bunch writes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.ended: list[list[str]] = []
        self.returned = 0
        self.has_steps: list[bool] = []
        self.refuses: set[str] = set()
        self.is_away = False

    def finish_many(self, _fence: str, ends: Sequence[BatchEnd], *, has_steps: bool) -> set[str]:
        """Note what has ended."""
        self._require()
        self.ended.append([end.task_id for end in ends])
        self.has_steps.append(has_steps)
        return self.refuses.intersection(end.task_id for end in ends)

    def give_back(self, *_: Any) -> None:
        """Count what goes back."""
        self._require()
        self.returned += 1

    def _require(self) -> None:
        if self.is_away:
            raise BackendUnavailable("database", "away")


class Bench:
    """A bunch of three tasks, and its time."""

    def __init__(self) -> None:
        """Begin."""
        self.now = 100.0
        self.ledger = Ledger()
        claims = [claim("a"), claim("b", "run"), claim("c")]
        self.bunch = Bunch(
            claims,
            fence="f",
            agent_id="lab@here",
            settler=self.ledger,  # type: ignore[arg-type]
            budget=1.0,
            clock=lambda: self.now,
        )

    def run(self, task_id: str) -> None:
        """Run one of them."""
        claimed = self.bunch.take(task_id)
        assert claimed is not None
        self.bunch.end(claimed, Done("1"), self.now)


@pytest.fixture
def bench() -> Bench:
    """Have a bunch."""
    return Bench()


def claim(task_id: str, run_id: str | None = None) -> Claimed:
    """Return a claim."""
    values: dict[str, Any] = dict.fromkeys(Claimed.__dataclass_fields__)
    return Claimed(**{**values, "task_id": task_id, "run_id": run_id, "fence": "f"})


def test_all_ends_are_written_together(bench: Bench) -> None:
    """At the latest when all have ended; nothing goes back."""
    for task_id in "abc":
        bench.run(task_id)
    assert bench.ledger.ended == []
    bench.bunch.close()
    assert bench.ledger.ended == [["a", "b", "c"]]
    assert bench.ledger.has_steps == [True]
    assert bench.ledger.returned == 0


def test_what_has_ended_is_written_beside_what_runs(bench: Bench) -> None:
    """Once it is old enough, and not sooner."""
    bench.run("a")
    bench.bunch.look()
    assert bench.ledger.ended == []
    bench.bunch.take("b")
    bench.now += 2 * FLUSH
    bench.bunch.look()
    assert bench.ledger.ended == [["a"]]
    assert bench.ledger.has_steps == [False]


def test_what_has_not_begun_goes_back_when_there_is_no_time_left(bench: Bench) -> None:
    """It can't be begun after that; what runs goes on."""
    bench.bunch.take("a")
    bench.bunch.look()
    assert bench.ledger.returned == 0
    bench.now += 1.1
    bench.bunch.look()
    bench.bunch.look()
    assert bench.ledger.returned == 1
    assert bench.bunch.take("b") is None


def test_a_task_begins_once(bench: Bench) -> None:
    """However often messages name it: its claim is still in force, and could be made again."""
    bench.run("a")
    assert bench.bunch.take("a") is None
    assert "a" in bench.bunch
    assert "d" not in bench.bunch


def test_nothing_begins_late_though_nobody_has_looked(bench: Bench) -> None:
    """Its lease may have run out: another worker may have it."""
    bench.run("a")
    bench.now += 60
    assert bench.bunch.take("b") is None
    assert bench.ledger.returned == 1


def test_a_claim_that_was_lost_is_told(bench: Bench) -> None:
    """So is what could not be written at all."""
    bench.ledger.refuses = {"a"}
    bench.run("a")
    bench.run("b")
    bench.bunch.flush()
    assert bench.bunch.lost == {"a"}
    bench.run("c")
    bench.ledger.is_away = True
    bench.bunch.look()
    with pytest.raises(BackendUnavailable):
        bench.bunch.close()
    assert bench.bunch.lost == {"a", "c"}
    bench.ledger.is_away = False
    bench.bunch.flush()
    assert bench.bunch.lost == {"a"}


def test_large_results_do_not_wait(bench: Bench) -> None:
    """They would fill the memory."""
    claimed = bench.bunch.take("a")
    assert claimed is not None
    bench.bunch.end(claimed, Done("x" * 2_000_000), bench.now)
    assert bench.ledger.ended == [["a"]]
