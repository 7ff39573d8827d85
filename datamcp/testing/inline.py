"""A worker on the caller's own thread: it takes messages from a mailbox, one after the other.

Each is handled as in a worker's process: Celery's request and tracer, our claim, attempt and
finish. No pool stands behind it, so nobody enforces a timeout.
"""

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import partial
from threading import Event, get_ident
from typing import Any, TypeVar

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery.exceptions import TaskPredicate
from kombu.utils.imports import symbol_by_name

from datamcp.bootstrap.runtime import Runtime
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.status import FINAL_RUN_STATES, RunState
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.reconcile import WINDOW
from datamcp.tasks.states import FINAL, WAITING, State
from datamcp.tasks.task import TaskResult
from datamcp.tasks.tasks import result_of
from datamcp.testing.app import MailboxCelery
from datamcp.testing.beside import beside_loop, closing_loop
from datamcp.testing.clock import FakeClock
from datamcp.testing.errors import NobodyRunsItError
from datamcp.testing.mailbox import Letter
from datamcp.testing.sequence import waiting
from datamcp.testing.watched import Raised

T = TypeVar("T")

NAME = "inline@test"
"""What such a worker calls itself: the `agent_id` of what it runs."""

_LOOK, _LOOKS = 0.05, 600  # seconds between two looks at what another worker runs, and how many


@dataclass(frozen=True, slots=True)
class Attempt:
    """A message that was handled: `result`, if the task ended by it; what was raised, if anything."""

    letter: Letter
    result: TaskResult | None
    raised: Raised | None


class InlineWorker:
    """Does what there is to do in a runtime without workers."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        app: MailboxCelery,
        clock: FakeClock,
        raised: MutableMapping[str, Raised],
    ) -> None:
        """Take the runtime, its app, the clock of its ledger, and where exceptions are kept."""
        self._runtime = runtime
        self._app = app
        self._raised = raised
        self._mailbox = app.mailbox
        self._ledger = TaskLedger(runtime.database, now=clock.sql)
        self._runs = PipelineLedger(runtime.database, now=clock.sql)
        self._publisher = BrokerPublisher(app)
        self._home = get_ident()

    def act(self, work: Callable[[], T]) -> T:
        """Let some work be done here, or beside the event loop that runs here.

        On the thread that made the worker, coroutines share an event loop from one call to the
        next; elsewhere none is left behind.
        """
        __tracebackhide__ = True
        if get_ident() == self._home:
            return beside_loop(work)
        return beside_loop(partial(closing_loop, work))

    def attempts(self, queue: str | None = None, *, wanted: str | None = None) -> Iterator[Attempt]:
        """Handle message after message, until nothing of the queue is due.

        The task `wanted` comes before all others.
        """
        self._sweep()
        unclaimed: set[str] = set()
        while (letter := self._next(queue, wanted, unclaimed)) is not None:
            attempt = self._handle(letter)
            if attempt is None:
                unclaimed.add(letter.task_id)
            else:
                unclaimed.clear()
                yield attempt

    def work_for(self, key: str) -> None:
        """Handle messages until a task or a run has ended.

        Raises NobodyRunsItError if it does not end by all that can be done now.
        """
        if not self._has_ended(key):
            self.act(partial(self._work_for, key))

    def _work_for(self, key: str) -> None:
        for _ in self.attempts(wanted=key):
            if self._has_ended(key):
                return
        looks = _LOOKS
        while looks and self._runs_elsewhere(key):  # a worker beside us has it
            looks -= 1
            Event().wait(_LOOK)
        if not self._has_ended(key):
            raise self._stuck(key)

    # The next message.

    def _next(self, queue: str | None, wanted: str | None, unclaimed: set[str]) -> Letter | None:
        letter = self._mailbox.take(queue, wanted=wanted)
        if letter is None and self._is_left(unclaimed):
            self._sweep()
            self._resend(queue, unclaimed)
            letter = self._mailbox.take(queue, wanted=wanted)
        return letter

    def _is_left(self, unclaimed: set[str]) -> bool:
        return not unclaimed.issuperset(waiting(self._runtime.database))

    def _sweep(self) -> None:
        """Let the reconciler send what has fallen due."""
        with self._mailbox.arranged([*waiting(self._runtime.database)]):
            self._runtime.reconciler.sweep()

    def _resend(self, queue: str | None, unclaimed: set[str]) -> None:
        """Send what is queued and has no message, but not again what could not be claimed."""
        states = waiting(self._runtime.database)
        queued = {task_id for task_id, state in states.items() if state is State.QUEUED}
        if queued <= unclaimed:
            return
        with self._mailbox.arranged([*states]):
            for name in self._runtime.types.queues() if queue is None else [queue]:
                if not self._mailbox.ready(name):
                    hints = self._ledger.queued_longer_than(name, 0, WINDOW + len(unclaimed))
                    left = [hint for hint in hints if hint.task_id not in unclaimed]
                    self._publisher.publish(left)

    # Its handling.

    def _handle(self, letter: Letter) -> Attempt | None:
        """Return the attempt that a message led to; None if it could not claim its task."""
        before = self._ledger.get(letter.task_id)
        self._raised.pop(letter.task_id, None)
        returned = self._perform(letter)
        after = self._ledger.get(letter.task_id)
        if after is None or (before is not None and before.fence == after.fence):
            _require_order(returned)
            return None
        result = result_of(after) if State(after.state) in FINAL else None
        return Attempt(letter, result, self._raised.pop(letter.task_id, None))

    def _perform(self, letter: Letter) -> Any:
        task = self._app.task_of(letter.task_type)
        request_class = symbol_by_name(task.Request)  # type: ignore[no-untyped-call]
        return request_class(letter.message, app=self._app, task=task, hostname=NAME).execute()

    # What the ledger says.

    def _has_ended(self, key: str) -> bool:
        """Tell whether a task or a run has ended; what comes later in a canvas is not there yet."""
        run = self._runs.run(key)
        if run is not None:
            return RunState(run.state) in FINAL_RUN_STATES
        task = self._ledger.get(key)
        return task is not None and State(task.state) in FINAL

    def _runs_elsewhere(self, key: str) -> bool:
        task = self._ledger.get(key)
        return task is not None and task.state == State.RUNNING and task.agent_id != NAME

    def _stuck(self, key: str) -> NobodyRunsItError:
        row = self._runs.run(key) or self._ledger.get(key)
        state, due = ("unknown", None) if row is None else (row.state, row.scheduled_at)
        if due is None or state not in WAITING:
            return NobodyRunsItError(key, state)
        return NobodyRunsItError(key, state, due.isoformat())


def _require_order(returned: Any) -> None:
    """Raise the error of a message that left no trace in the ledger: it is nobody's outcome."""
    if isinstance(returned, ExceptionInfo):
        wrapped = returned.exception
        error = wrapped.exc if isinstance(wrapped, ExceptionWithTraceback) else wrapped
        if not isinstance(error, TaskPredicate):
            raise error
