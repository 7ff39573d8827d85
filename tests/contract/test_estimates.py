"""When a run will probably end, by what the ledger has of earlier ones, on both databases."""

from datetime import datetime, timedelta

import pytest
from support.exports import definition_of, export_of, step
from support.ledgers import LedgerOnHand
from support.run_rows import RunRows

from datamcp.pipelines.estimates import Estimates
from datamcp.pipelines.history_ledger import HistoryLedger
from datamcp.pipelines.status import PipelineStatus, RunState
from datamcp.tasks.states import State
from datamcp.testing import FakeClock

CHAIN = {"a": [], "b": ["a"]}


@pytest.fixture
def rows(alone: LedgerOnHand) -> RunRows:
    """Return runs on a ledger of their own."""
    return RunRows(alone)


def test_an_estimate_knows_earlier_runs(rows: RunRows) -> None:
    """For a minute it need not ask again; without any it knows nothing."""
    clock = FakeClock()
    estimates = Estimates(HistoryLedger(rows.at_hand.ledger.database), clock=clock)
    definition, status = definition_of(CHAIN), _running(clock.now())
    assert estimates.completion(status, definition) is None

    run_id = rows.start(CHAIN)
    rows.make(run_id, "a", seconds=30)
    rows.make(run_id, "b", seconds=60)
    rows.close(run_id)
    assert estimates.completion(status, definition) is None
    clock.advance(seconds=61)
    status = _running(clock.now())
    end = estimates.completion(status, definition)
    assert end is not None
    assert timedelta(seconds=90) <= end - clock.now() < timedelta(seconds=95)


def test_a_run_that_has_ended_is_not_estimated(rows: RunRows) -> None:
    """Its end is known."""
    estimates = Estimates(HistoryLedger(rows.at_hand.ledger.database), clock=FakeClock())
    assert estimates.completion(export_of(CHAIN).status, definition_of(CHAIN)) is None


def _running(now: datetime) -> PipelineStatus:
    """Return a run whose first step begins now."""
    steps = {"a": step(State.RUNNING, started_at=now), "b": step(State.SCHEDULED)}
    return export_of(CHAIN, steps, state=RunState.RUNNING).status
