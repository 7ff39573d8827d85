"""How a run ends follows from its steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.pipelines.status import FINAL_RUN_STATES, RUN_TRANSITIONS, RunState, run_state
from datamcp.tasks.states import FAILURES, FINAL, State

counts = st.dictionaries(st.sampled_from(State), st.integers(0, 5))


@given(counts, st.booleans())
def test_a_run_ends_when_all_its_steps_have(steps: dict[State, int], cancelled: bool) -> None:
    """As long as one step may still change, the run goes on."""
    is_open = any(count for state, count in steps.items() if state not in FINAL)

    assert (run_state(steps, cancel_requested=cancelled) is None) == is_open


@given(st.dictionaries(st.sampled_from(sorted(FINAL)), st.integers(1, 5)))
def test_a_failure_is_never_hidden(steps: dict[State, int]) -> None:
    """A run with a failed step fails, whatever else went well."""
    ended = run_state(steps, cancel_requested=False)

    assert (ended is RunState.FAILED) == bool(set(steps) & {*FAILURES, State.CANCELLED})


def test_a_cancelled_run_is_cancelled_even_if_a_step_failed() -> None:
    """What was asked for is what the run is called."""
    steps = {State.FAILED: 1, State.CANCELLED: 2}

    assert run_state(steps, cancel_requested=True) is RunState.CANCELLED


@pytest.mark.parametrize("state", sorted(FINAL_RUN_STATES))
def test_final_run_states_never_change(state: RunState) -> None:
    """There is no way out of an ended run."""
    assert RUN_TRANSITIONS[state] == frozenset()
