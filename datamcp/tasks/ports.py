"""What the task engine needs from others, as the smallest interfaces that will do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from datamcp.infra.database import Connection
from datamcp.processors.processor import Output
from datamcp.tasks.context import TaskContext
from datamcp.tasks.ledger import Claimed, Hint, Settled
from datamcp.tasks.limit import Limit
from datamcp.tasks.places import NOBODY, Freed
from datamcp.tasks.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a handler: the checked parameters, and what the task knows of itself."""

    parameters: Any
    context: TaskContext
    inputs: Mapping[str, Output]  # of a step: the outputs of its upstreams, by step id


@dataclass(frozen=True, slots=True)
class TaskType:
    """What can be run under one name: where, with which parameters, by what.

    Either `handler` runs it, or `celery_task`: a task of the user's own, an object of Celery's.
    """

    name: str
    queue: str
    parameters: "Accepts"
    handler: Callable[[Call], Any] | None = None
    timeout: float | None = None  # seconds, where the task itself says nothing
    description: str = ""
    celery_task: Any = None
    max_attempts: int = 1  # of a Celery task; 0: no limit
    retry_policy: RetryPolicy | None = None  # where the task itself says nothing
    also_on: Collection[str] = ()  # other queues that its workers serve
    limit: Limit | None = None
    batch: int = 1  # tasks that may travel together
    is_async: bool = False  # it runs on an event loop

    @property
    def may_run_for_ever(self) -> bool:
        """Tell whether an attempt has no timeout where nothing is said of it, as in Celery."""
        return self.celery_task is not None


class Accepts(Protocol):
    """Knows what a task type takes, and keeps it as JSON text."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the parameters."""
        ...

    def dump(self, values: Mapping[str, Any]) -> str:
        """Check values by name, and return them as text; raises InvalidParametersError."""
        ...

    def dump_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Check the arguments of a Python call, likewise."""
        ...

    def load(self, text: str) -> Any:
        """Return what the text holds, as the task takes it; raises InvalidParametersError."""
        ...

    def parse(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return values for words from a command line."""
        ...


class TaskTypes(Protocol):
    """Knows every task type of this installation."""

    def resolve(self, name: str) -> TaskType:
        """Return a task type; raise UnknownTaskTypeError for any other name."""
        ...

    def served_by(self, queue: str) -> Sequence[TaskType]:
        """Return the task types of a queue."""
        ...

    def queues(self) -> Sequence[str]:
        """Return the names of all queues."""
        ...


class Room(Protocol):
    """Knows whether there is room in a queue (protocol R16)."""

    def require(self, queue: str, count: int = 1, *, wait: float = 0.0) -> None:
        """Wait up to `wait` seconds for room for so many tasks; raise QueueFullError."""
        ...


class Publisher(Protocol):
    """Sends hints to the broker."""

    def publish(self, hints: Sequence[Hint]) -> None:
        """Send each hint to its queue; raise BackendUnavailable, within a bound, if it can't."""
        ...


class Notifier(Protocol):
    """Tells whoever waits that something is finished."""

    def announce(self, keys: Collection[str]) -> None:
        """Wake up those who wait for these ids. May be lost: waiters look for themselves too."""
        ...


class Answers(Protocol):
    """Tells the callers of plain Celery calls of ends that Celery does not see (protocol R14)."""

    def answer(self, settled: Sequence[Settled]) -> None:
        """Answer those of these tasks that are plain calls."""
        ...


class Continuation(Protocol):
    """What follows a step that is settled: the run it belongs to (protocol R12)."""

    def inputs(self, claimed: Claimed) -> tuple[str, Mapping[str, Output]]:
        """Return a step's parameters as JSON, references resolved, and its upstreams' outputs."""
        ...

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> "FollowUp":
        """Release or end what depends on these steps, in the transaction that settled them."""
        ...

    def carry_on(self, follow_up: "FollowUp", *, is_carried: bool) -> None:
        """Send what was released, after the commit, as far as no canvas carries it."""
        ...


@dataclass(frozen=True, slots=True)
class Released:
    """A step that was released, and the message that tells of it."""

    step_id: str
    hint: Hint


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What an end led to: steps released, by run; runs that are finished now; places given up.

    `undecided` are runs in which somebody has to decide what follows, and `limits` the keys of
    limits among steps that somebody has left.
    """

    released: Mapping[str, Sequence[Released]]  # by run id
    finished_runs: Sequence[str] = ()
    freed: Freed = NOBODY
    undecided: Sequence[str] = ()
    limits: Sequence[str] = ()

    @property
    def is_to_be_carried_on(self) -> bool:
        """Whether a run has more to do after the commit."""
        return bool(self.released or self.finished_runs or self.undecided or self.limits)


NOTHING = FollowUp({})
