import asyncio
import os
import signal
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

import pytest

from datamcp.tasks import loop
from datamcp.tasks.loop import settle_awaitable

who: ContextVar[str] = ContextVar("who")


class Interrupt(BaseException):
    """What a pool raises in the middle of user code, such as a time limit."""


@pytest.fixture(autouse=True)
def _own_loop() -> Iterator[None]:
    """Leave no event loop behind."""
    yield
    loop.close()


async def ask() -> str:
    """Return who calls, as the coroutine sees it."""
    await asyncio.sleep(0)
    return who.get()


def test_a_plain_value_passes_as_it_is() -> None:
    """A capability that is not async has nothing to be run."""
    assert settle_awaitable(3) == 3


def test_each_coroutine_sees_the_context_of_its_own_caller() -> None:
    """What was set before a call holds inside of it, also on a loop that is used again."""
    seen = []
    for name in ("first", "second"):
        token = who.set(name)
        seen.append(settle_awaitable(ask()))
        who.reset(token)
    assert seen == ["first", "second"]


def test_calls_share_one_loop() -> None:
    """A client that belongs to a loop can be kept by the agent from one task to the next."""

    async def here() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert settle_awaitable(here()) is settle_awaitable(here())


def test_an_error_comes_out_as_it_was_raised() -> None:
    """The loop goes on after it."""

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        settle_awaitable(fail())
    who.set("next")
    assert settle_awaitable(ask()) == "next"


@pytest.fixture
def _strikes() -> Iterator[None]:
    """Have an alarm that raises Interrupt, as a pool's time limit does."""

    def strike(_signum: int, _frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, strike)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_strikes")
def test_an_interrupted_coroutine_does_not_go_on() -> None:
    """A time limit that strikes while the loop waits ends the coroutine, not just the waiting."""
    went_on = []

    async def work() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            await asyncio.sleep(0.1)
            went_on.append("work")
        finally:
            went_on.append("clean-up")

    with pytest.raises(Interrupt):
        settle_awaitable(work())
    settle_awaitable(asyncio.sleep(0.2))
    assert went_on == ["clean-up"]


def test_a_forked_child_has_a_loop_of_its_own() -> None:
    """The parent's loop is not touched, whatever state it is in."""
    who.set("parent")
    settle_awaitable(ask())
    pid = os.fork()
    if pid == 0:  # pragma: no cover  another process
        who.set("child")
        os._exit(0 if settle_awaitable(ask()) == "child" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert settle_awaitable(ask()) == "parent"
