import multiprocessing
from collections.abc import Callable
from threading import Event, get_ident

import pytest
from support.eventually import eventually

from datamcp.tasks.patrol import Patrol


def test_work_is_looked_at_while_it_goes_on() -> None:
    """Again and again, by another thread; not after."""
    looks: list[int] = []

    def look() -> None:
        looks.append(get_ident())

    watching, other = Patrol(0.001), Event()
    with watching.over(look):
        eventually(lambda: len(looks) > 2)
    seen = len(looks)
    with watching.over(other.set):
        assert other.wait(10)
        other.clear()
        assert other.wait(10)
    assert len(looks) <= seen + 1
    assert get_ident() not in looks


def test_many_works_have_one_thread() -> None:
    """However many begin."""
    seen: set[tuple[str, int]] = set()
    watching = Patrol(0.001)

    def look(name: str) -> Callable[[], None]:
        return lambda: seen.add((name, get_ident()))

    with watching.over(look("first")), watching.over(look("second")):
        eventually(lambda: {name for name, _ in seen} == {"first", "second"})
    assert len({thread for _, thread in seen}) == 1


def test_it_sleeps_without_work_and_wakes_for_more() -> None:
    """Idle processes cost nothing."""
    watching = Patrol(0.001)
    with watching.over(lambda: None):
        pass
    eventually(lambda: not watching.is_awake)
    again = Event()
    with watching.over(again.set):
        assert again.wait(10)
        assert watching.is_awake


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_fails_stops_no_other_work() -> None:
    """What begins next has a thread again."""

    def fail() -> None:
        raise ValueError("on purpose")

    watching, seen = Patrol(0.001), Event()
    with watching.over(fail):
        eventually(lambda: not watching.is_awake)
    with watching.over(seen.set):
        assert seen.wait(10)


def test_a_child_process_has_a_thread_of_its_own() -> None:
    """That of the parent stays there."""
    watching, done = Patrol(0.001), Event()
    with watching.over(done.set):
        assert done.wait(10)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        with watching.over(lambda: theirs.send("seen")):
            Event().wait(10)

    process = context.Process(target=child)
    process.start()
    assert ours.poll(10)
    process.kill()
    process.join()
