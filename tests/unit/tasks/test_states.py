from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.states import FAILURES, FINAL, TRANSITIONS, WAITING, State, may_move

states = st.sampled_from(State)


def walk(start: State, wishes: list[State]) -> list[State]:
    """Return the states of a task that is asked to make these moves and obeys the table."""
    passed = [start]
    for wish in wishes:
        if may_move(passed[-1], wish):
            passed.append(wish)
    return passed


def reachable(start: State) -> set[State]:
    """Return every state that some sequence of moves leads to."""
    found, open_ends = {start}, [start]
    while open_ends:
        new = TRANSITIONS[open_ends.pop()] - found
        found |= new
        open_ends += new
    return found


@given(states, st.lists(states, max_size=30))
def test_no_sequence_of_events_leaves_the_table(start: State, wishes: list[State]) -> None:
    """Whatever is asked for, each move made is one of the table's, and a final state is the last."""
    passed = walk(start, wishes)
    assert all(after in TRANSITIONS[before] for before, after in pairwise(passed))
    assert not FINAL & set(passed[:-1])


@given(st.sampled_from(sorted(FINAL)), states)
def test_a_final_state_never_moves(final: State, wish: State) -> None:
    """Nothing, not even the same state again, follows a final one."""
    assert not may_move(final, wish)


def test_every_state_is_waiting_running_or_final() -> None:
    """The three kinds of state are disjoint and cover all."""
    assert set(TRANSITIONS) == set(State)
    assert {*WAITING, State.RUNNING, *FINAL} == set(State)
    assert len(WAITING) + 1 + len(FINAL) == len(State)
    assert FAILURES < FINAL


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    """A task begins scheduled or queued; from there it can get anywhere, and from anywhere to an end."""
    assert reachable(State.SCHEDULED) == set(State)
    assert all(reachable(state) & FINAL for state in State)


def test_whatever_has_not_ended_can_be_cancelled() -> None:
    """A cancel never finds a state that it may not end."""
    assert all(may_move(state, State.CANCELLED) for state in {*WAITING, State.RUNNING})
