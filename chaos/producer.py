"""Who enqueues: a client as it should be, which tries again what was not taken.

It notes what it asked for, and what it was answered. Everything else is judged from that.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from threading import Event, Thread
from time import monotonic
from typing import Self, TypeVar

import datamcp
from chaos.stage import PROCESSES, THREADS
from datamcp import Task
from datamcp.bootstrap.runtime import Runtime
from datamcp.errors import BackendUnavailable
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import State

T = TypeVar("T")

_TRIES = 20
_REST = 0.5  # seconds between two attempts
_PAUSE = 0.2  # seconds until what was not taken is tried again
_LOOK = 0.02  # seconds
_CANCELS = 0.1  # of all tasks
_SOON = 3.0  # seconds after which at most a cancel comes


@dataclass(slots=True)
class Order:
    """What was asked for: a task, how it has to end, and whether an effect has to be there."""

    key: str
    task_id: str
    ends: frozenset[State]
    has_effect: bool
    has_deed: bool = False
    """Whether its effect is had in the transaction of its success."""
    attempts: int | None = None
    """How many there have to be, if that can be told."""
    cancelled: bool | None = None
    """What a cancel was answered, if there was one and an answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task, how many of a hundred are of it, and how it ends if nobody cancels it."""

    name: str
    share: int
    capability: str
    ends: State
    seconds: tuple[float, float] | None = None
    attempts: int = _TRIES
    agents: tuple[str, ...] = (PROCESSES, PROCESSES, PROCESSES, THREADS)
    together: int = 1
    """How many are enqueued by one call."""


def kinds(lease: int) -> tuple[Kind, ...]:
    """Return the kinds of tasks: of no length, of some, and longer than a lease.

    The tiny ones come many at once, so that workers hand some to a slot together.
    """
    return (
        Kind("short", 50, "effect", State.SUCCEEDED, (0.0, 0.05)),
        Kind("transacting", 25, "deed", State.SUCCEEDED, (0.0, 0.1)),
        Kind("tiny", 1, "mark", State.SUCCEEDED, together=30),
        Kind("counting", 1, "tally", State.SUCCEEDED, together=30),
        Kind("middle", 13, "effect", State.SUCCEEDED, (0.3, 1.0)),
        Kind("long", 2, "effect", State.SUCCEEDED, (lease, 1.5 * lease)),
        Kind("failing", 8, "fail", State.FAILED, attempts=2),
        Kind("overrunning", 2, "overrun", State.TIMED_OUT, attempts=1, agents=(PROCESSES,)),
    )


class Producer:
    """A thread that enqueues tasks until it has enqueued all, and cancels some; in a `with`."""

    def __init__(
        self,
        settings: Mapping[str, str],
        tasks: int,
        *,
        lease: int,
        rng: Random,
        may_go_on: Callable[[int], bool] = lambda _done: True,
    ) -> None:
        """Take the settings, how many tasks, and what tells if the next may come yet."""
        self._settings = settings
        self._wanted = tasks
        self._rng = rng
        self._kinds = kinds(lease)
        self._may_go_on = may_go_on
        self._runtime: Runtime
        self._stopped = Event()
        self._cancels: list[tuple[float, str]] = []  # when, and the key
        self._thread = Thread(target=self._work, name="chaos-producer", daemon=True)
        self.orders: dict[str, Order] = {}
        self.refusals = 0
        """Calls that raised BackendUnavailable, and were made again."""
        self.slowest = 0.0
        """Seconds that the slowest call took."""
        self.by_kind: Counter[str] = Counter()
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        """Connect, and begin."""
        self._runtime = datamcp.connect(overrides=dict(self._settings))
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop, and wait for the end."""
        self._stopped.set()
        self._thread.join()
        self._runtime.close()

    @property
    def is_done(self) -> bool:
        """Whether everything has been asked for."""
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while len(self.orders) < self._wanted and not self._stopped.is_set():
                self._cancel_due(monotonic())
                if self._may_go_on(len(self.orders)):
                    self._enqueue()
                else:
                    self._stopped.wait(_LOOK)
            self._cancel_due(float("inf"))
        except BaseException as error:  # noqa: BLE001  whoever waits for this thread has to hear of it
            self.error = error

    def _enqueue(self) -> None:
        rng, number = self._rng, len(self.orders)
        (kind,) = rng.choices(self._kinds, [one.share for one in self._kinds])
        count = min(kind.together, self._wanted - number)
        keys = [f"key-{number + index}" for index in range(count)]
        seconds = {} if kind.seconds is None else {"seconds": round(rng.uniform(*kind.seconds), 3)}
        task = Task(
            task_type=f"{rng.choice(kind.agents)}.{kind.capability}",
            parameters=seconds,
            priority=rng.randrange(10),
            retry_policy=RetryPolicy(max_attempts=kind.attempts, delay=_REST, strategy="constant"),
        )
        new = [task.model_copy(update={"idempotency_key": key}) for key in keys]
        for key, task_id in zip(keys, self._insist(lambda: self._send(new)) or (), strict=False):
            self._note(key, task_id, kind)
            if rng.random() < _CANCELS:
                heapq.heappush(self._cancels, (monotonic() + rng.uniform(0, _SOON), key))

    def _send(self, new: Sequence[Task]) -> Sequence[str]:
        tasks = self._runtime.tasks
        return tasks.enqueue_many(new) if len(new) > 1 else [tasks.enqueue(new[0])]

    def _note(self, key: str, task_id: str, kind: Kind) -> None:
        self.orders[key] = Order(
            key,
            task_id,
            frozenset({kind.ends}),
            has_effect=kind.capability in {"effect", "mark"},
            has_deed=kind.capability in {"deed", "tally"},
            attempts=None if kind.ends is State.SUCCEEDED else kind.attempts,
        )
        self.by_kind[kind.name] += 1

    def _cancel_due(self, now: float) -> None:
        cancel = self._runtime.tasks.cancel
        while self._cancels and self._cancels[0][0] <= now and not self._stopped.is_set():
            _, key = heapq.heappop(self._cancels)
            order = self.orders[key]
            order.cancelled = self._insist(partial(cancel, order.task_id))

    def _insist(self, call: Callable[[], T]) -> T | None:
        """Call until it is taken; None if the run has ended before."""
        while not self._stopped.is_set():
            began = monotonic()
            try:
                return call()
            except BackendUnavailable:
                self.refusals += 1
            finally:
                self.slowest = max(self.slowest, monotonic() - began)
            self._stopped.wait(_PAUSE)
        return None
