import multiprocessing
from threading import Event, get_ident
from typing import Any

from support.eventually import eventually

from datamcp.tasks import soon
from datamcp.tasks.soon import Soon


def test_what_is_due_is_done_here_and_now() -> None:
    """No thread is needed for that."""
    where: list[int] = []
    Soon().after(0, lambda: where.append(get_ident()))
    assert where == [get_ident()]


def test_what_is_due_in_a_moment_is_done_in_order() -> None:
    """By one thread of the process, however it was asked."""
    done: list[str] = []
    threads: set[int] = set()

    def act(name: str) -> Any:
        return lambda: (done.append(name), threads.add(get_ident()))

    waiting = Soon()
    for name, seconds in (("third", 0.15), ("first", 0.01), ("second", 0.05)):
        waiting.after(seconds, act(name))
    eventually(lambda: len(done) == 3)
    assert done == ["first", "second", "third"]
    assert len(threads) == 1


def test_only_so_many_wait(monkeypatch: Any) -> None:
    """The others are left to beat."""
    monkeypatch.setattr(soon, "MOST", 2)
    done: list[int] = []
    waiting = Soon()
    for number in range(5):
        waiting.after(0.1, lambda number=number: done.append(number))
    waiting.after(0, lambda: done.append(-1))
    eventually(lambda: len(done) == 3)
    assert sorted(done) == [-1, 0, 1]


def test_a_child_process_has_a_thread_of_its_own() -> None:
    """What waits in the parent is the parent's."""
    waiting, done = Soon(), Event()
    waiting.after(0.01, done.set)
    assert done.wait(10)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        waiting.after(0.01, lambda: theirs.send("done"))
        Event().wait(10)

    process = context.Process(target=child)
    process.start()
    assert ours.poll(10)
    process.kill()
    process.join()
