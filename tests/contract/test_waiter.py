import os
import signal
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest
from support.eventually import eventually

from datamcp.clock import SystemClock
from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.tasks.notify import NullNotifier, PollingListener, RedisListener, RedisNotifier
from datamcp.tasks.ports import Notifier
from datamcp.tasks.waiter import Listener, Waiter
from datamcp.telemetry import Telemetry

NEVER = 3600.0  # seconds until a waiter looks by itself
SOON = 10.0  # seconds in which anything happens that should


class Board:
    """What is finished, as a ledger would know it; it remembers every look."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.finished: dict[str, str] = {}
        self.looks: list[set[str]] = []
        self.error: Exception | None = None

    def look(self, keys: Collection[str]) -> Mapping[str, str]:
        """Return what is finished among these."""
        self.looks.append(set(keys))
        if self.error is not None:
            raise self.error
        return {key: self.finished[key] for key in keys if key in self.finished}

    def has_been_asked(self, key: str) -> bool:
        """Tell whether a look was for this key."""
        return any(key in keys for keys in self.looks)


MakeWaiter = Callable[..., Waiter[str]]


@pytest.fixture
def board() -> Board:
    """Return a board with nothing on it."""
    return Board()


@pytest.fixture
def make_waiter(board: Board) -> Iterator[MakeWaiter]:
    """Return what makes a waiter on the board; all are closed after the test."""
    waiters = []

    def make(listener: Listener, look_again: float = NEVER) -> Waiter[str]:
        waiter = Waiter(
            listener=listener,
            look=board.look,
            clock=SystemClock(),
            telemetry=Telemetry(),
            look_again=look_again,
        )
        waiters.append(waiter)
        return waiter

    yield make
    for waiter in waiters:
        waiter.close()


class ListenerContract:
    """What every way of hearing notices has to do for a waiter."""

    @pytest.fixture
    def notifier(self) -> Iterator[Notifier]:
        """Have the other end."""
        raise NotImplementedError

    @pytest.fixture
    def listener(self) -> Listener:
        """Return the listener."""
        raise NotImplementedError

    @pytest.fixture
    def waiter(self, listener: Listener, make_waiter: MakeWaiter) -> Waiter[str]:
        """Return a waiter that never looks without being told."""
        return make_waiter(listener)

    def test_hears_what_is_finished_later(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """A future is resolved once its key is finished and announced."""
        future = waiter.future("a")
        eventually(lambda: board.has_been_asked("a"))
        assert not future.done()
        board.finished["a"] = "done"
        notifier.announce(["a"])
        assert future.result(SOON) == "done"

    def test_finds_what_was_finished_before(self, board: Board, waiter: Waiter[str]) -> None:
        """Nobody announces it again: the waiter looks when it begins to listen."""
        board.finished["a"] = "done"
        assert waiter.future("a").result(SOON) == "done"

    def test_never_misses_a_notice(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """Whether it comes before, while or after a caller begins to wait, the answer arrives."""

        def finish(key: str) -> None:
            board.finished[key] = key
            notifier.announce([key])

        keys = [f"key-{number}" for number in range(300)]
        with ThreadPoolExecutor(4) as threads:
            futures = []
            for number, key in enumerate(keys):
                early = number % 3 == 0
                if early:
                    threads.submit(finish, key)
                futures.append(waiter.future(key))
                if not early:
                    threads.submit(finish, key)
            assert [future.result(SOON) for future in futures] == keys

    def test_resolves_all_who_wait_for_one_key(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """Each caller has a future of its own."""
        futures = [waiter.future("a") for _ in range(10)]
        board.finished["a"] = "done"
        notifier.announce(["a"])
        assert [future.result(SOON) for future in futures] == ["done"] * 10

    def test_may_be_asked_from_many_threads(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """Callers begin to wait at once, while others are answered."""
        keys = [f"key-{number}" for number in range(200)]
        board.finished = dict(zip(keys, keys, strict=True))

        def wait(key: str) -> str:
            notifier.announce([key])
            return waiter.future(key).result(SOON)

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(wait, keys)) == keys

    def test_may_be_asked_for_a_key_again(self, board: Board, waiter: Waiter[str]) -> None:
        """An answer that was given is given again to whoever comes later."""
        board.finished["a"] = "done"
        assert waiter.future("a").result(SOON) == "done"
        assert waiter.future("a").result(SOON) == "done"

    def test_who_gives_up_does_not_disturb_who_waits(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """Of two futures one is cancelled, the other is resolved."""
        given_up, kept = waiter.future("a"), waiter.future("a")
        with pytest.raises(FutureTimeoutError):
            given_up.result(0)
        assert given_up.cancel()
        board.finished["a"] = "done"
        notifier.announce(["a"])
        assert kept.result(SOON) == "done"

    def test_finds_what_nobody_announced(
        self, board: Board, listener: Listener, make_waiter: MakeWaiter
    ) -> None:
        """A lost notice costs time only: every so often the waiter looks by itself."""
        future = make_waiter(listener, look_again=0.1).future("a")
        eventually(lambda: board.has_been_asked("a"))
        board.finished["a"] = "done"
        assert future.result(SOON) == "done"

    def test_forgets_what_nobody_waits_for(
        self, board: Board, listener: Listener, make_waiter: MakeWaiter
    ) -> None:
        """After the last caller has given up, the key is looked for no more."""
        waiter = make_waiter(listener, look_again=0.05)
        given_up, kept = waiter.future("given up"), waiter.future("kept")
        eventually(lambda: board.has_been_asked("given up"))
        given_up.cancel()
        eventually(lambda: board.looks[-1] == {"kept"})
        assert not kept.done()

    def test_a_forked_child_waits_for_itself(
        self, board: Board, notifier: Notifier, waiter: Waiter[str]
    ) -> None:
        """With a thread and a connection of its own, and none of the futures of its parent."""
        ours = waiter.future("ours")
        eventually(lambda: board.has_been_asked("ours"))
        board.finished["theirs"] = "done"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads, and a fork
            pid = os.fork()
        if not pid:
            is_done = waiter.future("theirs").result(SOON) == "done"
            os._exit(0 if is_done and board.looks[-1] == {"theirs"} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        board.finished["ours"] = "done"
        notifier.announce(["ours"])
        assert ours.result(SOON) == "done"

    @pytest.mark.parametrize("error", [BackendUnavailable("database", "away"), ValueError("odd")])
    def test_looks_again_after_a_look_that_failed(
        self, board: Board, listener: Listener, make_waiter: MakeWaiter, error: Exception
    ) -> None:
        """No error ends the waiting of everybody in the process."""
        board.error = error
        future = make_waiter(listener, look_again=0.05).future("a")
        eventually(lambda: len(board.looks) > 1)
        board.finished["a"] = "done"
        board.error = None
        assert future.result(SOON) == "done"

    def test_cancels_the_futures_that_are_open_when_it_closes(self, waiter: Waiter[str]) -> None:
        """Nobody waits for a waiter that is gone, neither from before nor from after."""
        before = waiter.future("a")
        waiter.close()
        after = waiter.future("b")
        for future in (before, after):
            with pytest.raises(CancelledError):
                future.result(SOON)

    def test_holds_one_thread_however_many_wait(self, waiter: Waiter[str]) -> None:
        """Waiting costs a future, not a thread."""
        waiter.future("a")
        before = threading.active_count()
        futures: list[Future[str]] = [waiter.future(f"key-{number}") for number in range(1000)]
        assert threading.active_count() <= before
        assert not any(future.done() for future in futures)


class TestRedisListener(ListenerContract):
    @pytest.fixture
    def notifier(self, redis_url: str, key_prefix: str) -> Iterator[RedisNotifier]:
        """Have the end that publishes."""
        notifier = RedisNotifier(redis_url, key_prefix, Telemetry())
        yield notifier
        notifier.close()

    @pytest.fixture
    def listener(self, redis_url: str, key_prefix: str) -> RedisListener:
        """Return the end that subscribes."""
        return RedisListener(redis_url, key_prefix)

    def test_does_not_poll(self, board: Board, notifier: Notifier, waiter: Waiter[str]) -> None:
        """From beginning to end the ledger is asked twice: when listening begins, and when told."""
        future = waiter.future("a")
        eventually(lambda: board.looks)
        notifier.announce(["somebody else's"])
        board.finished["a"] = "done"
        notifier.announce(["a"])
        assert future.result(SOON) == "done"
        assert board.looks == [{"a"}, {"a"}]

    def test_tells_of_a_notice_that_is_lost(self) -> None:
        """A Redis that is away is no error for who has finished something."""
        lost = []
        telemetry = Telemetry(lambda event, fields: lost.append((event, fields["count"])))
        notifier = RedisNotifier("redis://127.0.0.1:1/0", "x:", telemetry)
        notifier.announce(["a", "b"])
        notifier.close()
        assert lost == [("notice.lost", 2)]

    def test_finds_results_while_redis_is_away(self, board: Board, make_waiter: MakeWaiter) -> None:
        """Then the waiter looks for itself."""
        future = make_waiter(RedisListener("redis://127.0.0.1:1/0", "x:"), 0.1).future("a")
        eventually(lambda: board.has_been_asked("a"))
        board.finished["a"] = "done"
        assert future.result(SOON) == "done"

    def test_listens_again_once_redis_is_back(self, board: Board, make_waiter: MakeWaiter) -> None:
        """A restart of Redis costs nothing but the notices of meanwhile, and those are looked up."""
        with EmbeddedValkey() as valkey:
            waiter = make_waiter(RedisListener(valkey.redis_url, "x:"))
            first, second = waiter.future("first"), waiter.future("second")
            eventually(lambda: board.has_been_asked("second"))
            assert valkey.pid is not None
            os.kill(valkey.pid, signal.SIGKILL)
            board.finished["first"] = "done"
            valkey.restart()
            assert first.result(SOON) == "done"
            board.finished["second"] = "done"
            notifier = RedisNotifier(valkey.redis_url, "x:", Telemetry())
            notifier.announce(["second"])
            notifier.close()
            assert second.result(SOON) == "done"
            waiter.close()


class TestPollingListener(ListenerContract):
    @pytest.fixture
    def notifier(self) -> NullNotifier:
        """Return the end that tells nobody."""
        return NullNotifier()

    @pytest.fixture
    def listener(self) -> PollingListener:
        """Return the one that asks for a look at everything, often."""
        return PollingListener(interval=0.01)
