"""The watchdog: it sees a worker that has stalled, and no other."""

from hypothesis import given
from hypothesis import strategies as st

from datamcp.tasks.watchdog import LOOK, STALLED, Remedy, Sight, Watchdog

IDLE = Sight(waiting=3, running=0, received=7)


def looks(watchdog: Watchdog, sights: list[Sight]) -> list[Remedy]:
    """Return what is to be done at each of some looks, one after the other."""
    return [watchdog.look(sight, number * LOOK) for number, sight in enumerate(sights)]


def test_a_stalled_worker_is_connected_anew_and_then_ended() -> None:
    """Each remedy gets its time."""
    found = looks(Watchdog(), [IDLE] * 40)
    acts = [
        (number * LOOK, remedy) for number, remedy in enumerate(found) if remedy is not Remedy.NONE
    ]
    (first, second, *_) = acts
    assert first[1] is Remedy.RECONNECT
    assert second[1] is Remedy.END
    assert STALLED <= first[0] <= STALLED + 2 * LOOK
    assert second[0] - first[0] == STALLED


def test_a_worker_that_goes_on_is_forgiven() -> None:
    """After a connection that helped, the next stall is a first one again."""
    again = Sight(waiting=3, running=0, received=8)
    found = looks(Watchdog(), [IDLE] * 10 + [again] * 10)
    assert found.count(Remedy.RECONNECT) == 2
    assert Remedy.END not in found


@given(
    st.lists(
        st.sampled_from([Sight(0, 0, 7), Sight(5, 1, 7), Sight(5, 2, 9), Sight(0, 2, 7)]),
        max_size=60,
    )
)
def test_who_works_or_has_nothing_to_do_is_left_alone(sights: list[Sight]) -> None:
    """However long a task takes, and however long the queue is behind it."""
    assert set(looks(Watchdog(), sights)) <= {Remedy.NONE}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_who_takes_messages_is_left_alone(steps: list[int]) -> None:
    """Even if none is seen running: they are short. A rest has to last before it counts."""
    sights: list[Sight] = []
    for received, step in enumerate(steps):
        sights += [Sight(5, 0, received)] * (step + 1)
    assert set(looks(Watchdog(), sights)) == {Remedy.NONE}


def test_what_could_not_be_looked_at_does_not_count() -> None:
    """While the broker is away, nobody can take messages."""
    watchdog = Watchdog()
    watchdog.look(IDLE, 0.0)
    watchdog.look(IDLE, 5.0)
    watchdog.forget()
    assert watchdog.look(IDLE, 100.0) is Remedy.NONE
