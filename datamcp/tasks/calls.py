"""Nested calls: a task calls another one, and waits for it (protocol R19).

A call is a task like any other. What is special is the waiting: a slot that waits runs, by itself,
what was called below its own task and may start here. So a pool never waits for itself, nor do two
pools for each other, however few slots they have.

Its id follows from its caller, its type and its parameters: an attempt that is made anew finds what
the one before has called, in whatever order it calls now.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from threading import Event, Lock, Thread
from typing import Any

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable, CallDepthError, CallInterruptedError, TaskError
from datamcp.infra.transaction import OpenTransaction
from datamcp.tasks import loop, slots
from datamcp.tasks.call_ledger import CallLedger, Origin
from datamcp.tasks.enqueue import Enqueuer, hint_of, require_same
from datamcp.tasks.ledger import Claimed, Hint, NewTask, are_tasks
from datamcp.tasks.places import MAX_DEPTH
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Order, Slot
from datamcp.tasks.soon import Soon
from datamcp.tasks.states import FINAL, State
from datamcp.tasks.task import Task, TaskResult, data_of
from datamcp.tasks.waiter import Waiter
from datamcp.types import called_task_id

PATIENCE = 5.0  # seconds that a call waits for a slot before its caller takes in others' calls
HIGHEST = 8  # level of a slot from which on it takes in none

_LATE = 0.2  # seconds after a deadline at which nobody else will interrupt the caller any more
_LOOK = 0.5  # seconds between two looks whether a caller is to stop
_PAUSES = (0.05, 0.1, 0.2, 0.4)  # seconds between looks for what may start here; then:
_LONGEST = 1.0
_REMEMBERED = 100  # attempts of a caller whose calls the next one finds


before_waiting: ContextVar[Callable[[], None] | None] = ContextVar(
    "datamcp_before_waiting", default=None
)
"""What is to be done before a task waits: those that came with it have ended, and somebody may wait
for them (protocol R18)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What calls need of a process; one for all of its attempts.

    `look` returns the results of those of some tasks that have ended. `served` are the queues that
    this process works for; `run` runs a task in the slot of the calling thread, and tells whether
    it did. `is_leaving` tells whether this process was asked to end. `timeout_error` is what the
    pool raises in user code.
    """

    enqueuer: Enqueuer
    ledger: CallLedger
    waiter: Waiter[TaskResult]
    look: Callable[[Collection[str]], Mapping[str, TaskResult]]
    settler: Settler
    served: Callable[[], Collection[str]]
    run: Callable[[Hint, str], bool]
    is_leaving: Callable[[], bool]
    timeout_error: type[Exception]
    clock: Clock
    soon: Soon

    def calls(self, claimed: Claimed, agent_id: str, transaction: OpenTransaction) -> "Calls":
        """Return the calls of an attempt."""
        return Calls(self, claimed, agent_id, transaction)


class Calls:
    """The calls of one attempt. Safe to share between threads."""

    def __init__(
        self, exchange: Exchange, claimed: Claimed, agent_id: str, transaction: OpenTransaction
    ) -> None:
        """Take the parts, and whose calls they are; nothing is done before the first call."""
        self._exchange = exchange
        self._claimed = claimed
        self._agent_id = agent_id
        self._transaction = transaction
        self._slot = slots.current.get()
        self._lock, self._turn = Lock(), Lock()
        self._open: dict[str, Future[TaskResult]] = {}  # what is waited for, by id
        self._cancelled: set[str] = set()
        self._help: _Help | None = None
        self._numbers: Counter[tuple[str, str]] | None = None
        self._origin: Origin | None = None
        self._is_watched = False
        self._desk: ThreadPoolExecutor | None = None

    # For the capability.

    def call(self, task_type: str, parameters: Mapping[str, Any]) -> Any:
        """Call a task, wait for its end, and return its data; see `TaskContext.call`."""
        _require_no_loop(task_type)
        new, state, is_new = self._insert(task_type, parameters)
        with self._waiting_for(new.task_id) as answer:
            if state not in FINAL:
                self._begin(new, is_new=is_new)
            return data_of(self._result(new.task_id, answer))

    async def acall(self, task_type: str, parameters: Mapping[str, Any]) -> Any:
        """Call a task, and wait without holding up the event loop; see `TaskContext.acall`."""
        submit = partial(copy_context().run, self._submit, task_type, parameters)
        in_desk = asyncio.get_running_loop().run_in_executor(self._at_desk(), submit)
        task_id, answer = await in_desk
        try:
            return data_of(await asyncio.wrap_future(answer))
        finally:
            self._forget(task_id)

    def close(self) -> None:
        """Wait for nobody any more; return once nothing runs in this slot beside the caller."""
        if self._desk is None:
            return  # nothing was called on an event loop
        with self._lock:
            self._open.clear()
            helping = self._help
        self._desk.shutdown(wait=False, cancel_futures=True)
        if helping is None:
            return
        try:
            helping.end(self._exchange)
        finally:
            if self._slot is not None:
                self._slot.is_left = helping.is_at_work  # this process is to end meanwhile

    # A call is made.

    def _insert(self, task_type: str, parameters: Mapping[str, Any]) -> tuple[NewTask, State, bool]:
        """Write a call's row, or find it; return it, its state, and whether it is new."""
        if self._transaction.is_open:
            raise TaskError(
                f"{task_type} can't be called in a transaction: it would wait with locks held; "
                "call first, and let context.transaction() be the last thing"
            )
        task = Task(
            task_type=task_type, parameters=dict(parameters), priority=self._claimed.priority
        )
        new = self._exchange.enqueuer.check(task)
        origin = self._whence()
        if origin.depth >= MAX_DEPTH:
            raise CallDepthError(task_type, MAX_DEPTH)
        new = replace(
            new,
            task_id=self._id_of(new, origin),
            parent_id=self._claimed.task_id,
            root_id=self._claimed.root_id or self._claimed.task_id,
        )
        self._require_going_on(new.task_id)
        flush = before_waiting.get()
        if flush is not None:
            flush()
        inserted = self._exchange.ledger.insert(new, origin.depth + 1)
        require_same(inserted, new)
        if inserted.is_new:
            self._exchange.enqueuer.tell([hint_of(new)])
        return new, inserted.state, inserted.is_new

    def _whence(self) -> Origin:
        if self._origin is None:
            self._origin = self._exchange.ledger.origin(self._claimed.task_id)
        return self._origin

    def _id_of(self, new: NewTask, origin: Origin) -> str:
        """Return the id of a call: of an earlier attempt, unless that one failed, or a new one."""
        text = json.dumps(json.loads(new.parameters), sort_keys=True)
        with self._lock:
            if self._numbers is None:
                self._numbers = Counter()
            number = self._numbers[new.task_type, text]
            self._numbers[new.task_type, text] += 1
        attempt = self._claimed.attempt
        ids = [
            called_task_id(
                self._claimed.task_id, origin.epoch, earlier, new.task_type, text, number
            )
            for earlier in range(attempt, max(0, attempt - _REMEMBERED), -1)
        ]
        return choose(ids, self._exchange.ledger.states(ids) if attempt > 1 else {})

    def _begin(self, new: NewTask, *, is_new: bool) -> None:
        """Run a call here and now, where that can be; else send it."""
        is_here = new.queue in self._exchange.served()
        if not (is_here and self._take_turn(lambda: hint_of(new))) and is_new:
            self._exchange.enqueuer.send(new)

    # Waiting, in a thread.

    def _result(self, task_id: str, answer: "Future[TaskResult]") -> TaskResult:
        """Return how a call ended, once it has; work for it meanwhile, as far as that can be done."""
        self._require_going_on(task_id)
        found = self._exchange.look([task_id]).get(task_id)
        if found is not None:
            return found
        _link(self._exchange.waiter.future(task_id), answer, task_id)
        pauses = _pauses()
        while not answer.done():
            self._require_going_on(task_id)
            if self._assist():
                pauses = _pauses()
            else:
                wait([answer], self._until_deadline(next(pauses)))
        return answer.result()

    def _require_going_on(self, task_id: str) -> None:
        """Raise what ends the waiting for a call, if anything does."""
        reason = self._reason_to_stop()
        if reason is not None:
            raise reason(task_id)

    def _reason_to_stop(self) -> Callable[[str], Exception] | None:
        """Return what makes the error that ends the waiting; None if it goes on.

        Where the caller is cancelled, what it waits for is, too: nobody wants that any more.
        """
        slot, exchange = self._slot, self._exchange
        if slot is None:
            return None
        if slot.order is Order.CANCEL:
            self._cancel_calls()
        if slot.order is not Order.NONE:
            return CallInterruptedError
        until = slot.deadline
        is_late = until is not None and exchange.clock.monotonic() >= until + _LATE
        return (lambda _task_id: exchange.timeout_error()) if is_late else None

    def _cancel_calls(self) -> None:
        with self._lock:
            ids = self._open.keys() - self._cancelled
        if ids:
            self._exchange.settler.cancel(are_tasks(ids))
            self._cancelled |= ids

    def _until_deadline(self, pause: float) -> float:
        if self._slot is None or self._slot.deadline is None:
            return pause
        return max(0.0, min(pause, self._slot.deadline + _LATE - self._exchange.clock.monotonic()))

    # Waiting, on an event loop.

    def _at_desk(self) -> ThreadPoolExecutor:
        """Return the one thread that writes what is called from event loops."""
        with self._lock:
            if self._desk is None:
                self._desk = ThreadPoolExecutor(1, "datamcp-calls")
            return self._desk

    def _submit(
        self, task_type: str, parameters: Mapping[str, Any]
    ) -> "tuple[str, Future[TaskResult]]":
        """Make a call, and return its id and a future of its end."""
        new, state, is_new = self._insert(task_type, parameters)
        task_id, answer = new.task_id, self._wait_for(new.task_id)
        try:
            if is_new:
                self._exchange.enqueuer.send(new)
            if state in FINAL:
                answer.set_result(self._exchange.look([task_id])[task_id])
            else:
                _link(self._exchange.waiter.future(task_id), answer, task_id)
                self._have_help()
        except BaseException:
            self._forget(task_id)
            raise
        return task_id, answer

    def _have_help(self) -> None:
        """See to it that a thread runs what may start in this slot while the event loop waits."""
        if not self._exchange.served():
            return
        with self._lock:
            if self._help is None:
                self._help = _Help(self._assist, lambda: bool(self._open))
        self._help.wake()

    # What is waited for.

    @contextmanager
    def _waiting_for(self, task_id: str) -> "Iterator[Future[TaskResult]]":
        try:
            yield self._wait_for(task_id)
        finally:
            self._forget(task_id)

    def _wait_for(self, task_id: str) -> "Future[TaskResult]":
        answer: Future[TaskResult] = Future()
        with self._lock:
            self._open[task_id] = answer
            is_watched, self._is_watched = self._is_watched, True
        if not is_watched:
            self._exchange.soon.after(_LOOK, self._watch)
        return answer

    def _forget(self, task_id: str) -> None:
        with self._lock:
            answer = self._open.pop(task_id, None)
        if answer is not None:
            answer.cancel()

    def _watch(self) -> None:
        """Look now and then whether the caller is to stop: its own thread may be busy with a call."""
        with self._lock:
            waiting = dict(self._open)
            self._is_watched = bool(waiting)
        if not waiting:
            return
        with suppress(BackendUnavailable):  # the next look comes soon
            reason = self._reason_to_stop()
            if reason is not None:
                for task_id, answer in waiting.items():
                    _fail(answer, reason(task_id))
        self._exchange.soon.after(_LOOK, self._watch)

    # Working meanwhile.

    def _assist(self) -> bool:
        """Run one task that may start here and that is waited for; tell whether one ran."""
        try:
            queues = self._exchange.served()
            return bool(queues) and self._take_turn(partial(self._next, queues))
        except BackendUnavailable:
            return False

    def _take_turn(self, find: Callable[[], Hint | None]) -> bool:
        """Run a task in this slot, unless another thread of this attempt does that just now."""
        if self._slot is None or not self._turn.acquire(blocking=False):
            return False
        try:
            hint = find()
            return hint is not None and copy_context().run(self._run, self._slot, hint)
        finally:
            self._turn.release()

    def _run(self, slot: Slot, hint: Hint) -> bool:
        slots.current.set(slot)  # a thread that the capability has started does not know it
        return self._exchange.run(hint, self._agent_id)

    def _next(self, queues: Collection[str]) -> Hint | None:
        """Return what may start here: what this caller waits for first, then what others do.

        Those of others only where its own calls wait for a slot that nobody gives up: that one may
        be held by a caller that waits for a slot of this pool.
        """
        ledger, caller_id = self._exchange.ledger, self._claimed.task_id
        found = ledger.next_of(caller_id, queues)
        if found is not None or self._slot is None or self._slot.level >= HIGHEST:
            return found
        if not ledger.is_stuck(caller_id, PATIENCE):
            return None
        return ledger.next_of_others(queues, PATIENCE)


class _Help:
    """A thread that works while an event loop waits. It ends when nothing is waited for."""

    def __init__(self, assist: Callable[[], bool], is_needed: Callable[[], bool]) -> None:
        self._assist = assist
        self._is_needed = is_needed
        self._lock = Lock()
        self._woken = Event()
        self._goes_on = False
        # Not `Thread.join`: in Python 3.11 one that a signal interrupts takes the thread for ended.
        self._ended = Event()
        self._ended.set()

    @property
    def is_at_work(self) -> bool:
        """Tell whether it has not ended."""
        return not self._ended.is_set()

    def wake(self) -> None:
        """Have it look at once."""
        self._woken.set()
        with self._lock:
            if self._goes_on:
                return
            self._goes_on, self._ended = True, Event()
            work = partial(copy_context().run, self._work, self._ended)
            Thread(target=work, name="datamcp-call", daemon=True).start()

    def end(self, exchange: Exchange) -> None:
        """Return once it has ended, or this process is to: what it runs has the caller's slot.

        Raises what the pool raises meanwhile of the caller's own time.
        """
        raised = None
        self._woken.set()
        while self.is_at_work and not exchange.is_leaving():
            try:
                self._ended.wait()
            except exchange.timeout_error as error:  # the pool will kill us in time
                raised = error
        if raised is not None:
            raise raised

    def _work(self, ended: Event) -> None:
        try:
            pauses = _pauses()
            while self._is_to_go_on():
                if self._assist():
                    pauses = _pauses()
                elif self._woken.wait(next(pauses)):
                    self._woken.clear()
                    pauses = _pauses()
        finally:
            with self._lock:
                self._goes_on = False
            loop.close()
            ended.set()

    def _is_to_go_on(self) -> bool:
        with self._lock:
            self._goes_on = self._is_needed()
            return self._goes_on


def choose(ids: Sequence[str], states: Mapping[str, State]) -> str:
    """Return under which id a call is made, of those that it has in this attempt and earlier ones.

    `ids` begin with that of this attempt. What another attempt has called is found if it succeeded,
    or has not ended; what failed there is called anew.
    """
    if ids[0] in states:
        return ids[0]
    found = (one for one in ids if one in states)
    is_good = (one for one in found if states[one] not in FINAL or states[one] is State.SUCCEEDED)
    return next(is_good, ids[0])


def _pauses() -> Iterator[float]:
    """Yield seconds between two looks for what may start here."""
    return chain(_PAUSES, repeat(_LONGEST))


def _require_no_loop(task_type: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise TaskError(
        f"{task_type} can't be called by `call` on an event loop, which would stand still; "
        "use `await self.context.acall(...)`"
    )


def _link(ended: "Future[TaskResult]", answer: "Future[TaskResult]", task_id: str) -> None:
    """Have the end of a call answer it; and whoever does not want the answer any more not wait."""

    def pass_on(ended: "Future[TaskResult]") -> None:
        if ended.cancelled():
            _fail(answer, CallInterruptedError(task_id))
            return
        with suppress(InvalidStateError):
            answer.set_result(ended.result())

    ended.add_done_callback(pass_on)
    answer.add_done_callback(lambda _answer: ended.cancel())


def _fail(answer: "Future[TaskResult]", error: Exception) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
