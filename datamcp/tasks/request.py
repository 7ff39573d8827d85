"""A message in a worker's main process: when it is acknowledged, and what ends outside of a child."""

from contextlib import suppress
from time import monotonic
from typing import Any

from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import Ignore, InvalidTaskError
from celery.worker.request import Request
from celery.worker.state import task_ready

from datamcp.errors import BackendUnavailable
from datamcp.tasks.ledger import Death, Deferred, Settled, is_batch_of, is_claim, is_task
from datamcp.tasks.lost import bury
from datamcp.tasks.outcome import Cancel, TimedOut, settle
from datamcp.tasks.publish import BATCH, HINT, TIMEOUT_GRACE, transport_of
from datamcp.tasks.queues import DEFAULT, our_priority
from datamcp.tasks.slots import Order
from datamcp.tasks.states import State
from datamcp.tasks.watch import event_of
from datamcp.types import new_token

FENCE = "datamcp_fence"
"""The header under which the main process tells a child the fence of its claim."""


_CANVAS = {"callbacks": list, "errbacks": list, "chain": list, "chord": dict}
"""What else a message may carry beside its arguments, by Celery's names."""


class LeftToLedger(Ignore):  # type: ignore[misc]
    """The ledger has decided what becomes of the task: Celery has nothing more to do with it.

    `state` is what the ledger says, if it is known and somebody is to be told.
    """

    def __init__(self, state: State | None) -> None:
        """Take the state."""
        super().__init__(state)
        self.state = state


class LedgerRequest(Request):  # type: ignore[misc]
    """A message in the worker's main process.

    A hint is acknowledged once the pool has taken it, when the app's `intake` says so: from then on
    the ledger owns the task (protocol R5). A plain message is acknowledged when it is done, so that
    it can't be lost before it is adopted (R14); one with a time to come is adopted at once, too.
    The fence of the coming claim is made here, so that this process can name the claim of a child
    that dies.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read the message, and make a fence for it.

        Raises InvalidTaskError for one that can't be read: the worker drops it, and lives.
        """
        try:
            super().__init__(*args, **kwargs)
            self._require_sense()
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
            raise InvalidTaskError(f"not a task's message: {error}") from error
        self.fence = new_token()
        self._request_dict[FENCE] = self.fence
        self._eta = None  # the row waits for it, not this process
        self._shares = False

    def _require_sense(self) -> None:
        """Read what is read later as well, where whatever raises would end this process.

        Raises TypeError, ValueError or LookupError.
        """
        if not isinstance(self.id, str):
            raise TypeError(f"its id is {type(self.id).__name__}")
        if "\0" in self.id:
            raise ValueError("its id has a NUL in it")
        soft, hard = self.time_limits
        for limit in (soft, hard):
            if not isinstance(limit, int | float | None):
                raise TypeError(f"a time limit is {type(limit).__name__}")
        embed = self._payload[2]
        if not isinstance(embed, dict | None):
            raise TypeError(f"its canvas is {type(embed).__name__}")
        for name, kind in _CANVAS.items():
            if embed and not isinstance(embed.get(name), kind | None):
                raise TypeError(f"its {name} is {type(embed[name]).__name__}")
        if "stamped_headers" in self._request_dict:
            self.stamps  # noqa: B018  reads them

    @property
    def is_hint(self) -> bool:
        """Tell whether the message names a row, and carries nothing else."""
        return HINT in self._request_dict

    @property
    def is_in_ledger(self) -> bool:
        """Tell whether nothing is lost with the message: it names a row, or a slot has claimed one."""
        mine = (self.id, self.fence)
        held = self._app.slots.held
        return self.is_hint or any((one.task_id, one.fence) == mine for one in held())

    @property
    def urgency(self) -> int:
        """The priority of the message, by our name of it."""
        number = self._delivery_info["priority"]
        if not isinstance(number, int):
            return DEFAULT
        return our_priority(number, transport_of(self._app))

    @property
    def may_share_a_slot(self) -> bool:
        """Tell whether the task may be claimed and ended together with others of its type.

        Not where Celery has more to do with its end than to hear of it.
        """
        embed = self._payload[2]
        return (
            self.is_hint
            and self._task.may_share_a_slot
            and bool(self._ignore_result)
            and BATCH not in self._request_dict
            and not any(self.time_limits)
            and not any((embed or {}).values())
        )

    @property
    def entry(self) -> tuple[Any, ...]:
        """What a process of the pool is told of the message."""
        return (
            self._type,
            self.id,
            self._request_dict,
            self._body,
            self._content_type,
            self._content_encoding,
        )

    def share(self, fence: str) -> None:
        """Be claimed with others, under one fence."""
        self.fence = self._request_dict[FENCE] = fence
        self._shares = True

    def withdraw(self) -> Any:
        """Leave the message, as no slot had room for it; return it, to be given back."""
        task_ready(self)
        self.acknowledged = True
        return self.message

    def revoked(self) -> bool:
        """Cancel in the ledger, too, what Celery's own commands or Flower have revoked."""
        is_revoked = bool(super().revoked())
        if is_revoked:
            self._cancel()
        return is_revoked

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the attempt at once; the ledger is told first, so that this is a cancel (R9)."""
        self._cancel()
        pile = self._app.slots.find(self.fence)
        if self._shares and not any(held.task_id == self.id for held in pile[:1]):
            return  # its process runs another one; this one has ended, or ends as cancelled
        for held in pile:
            self._app.slots.tell(held, Order.CANCEL)  # what runs inside of it is not to blame
        super().terminate(pool, signal)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Tell the intake: a slot of the pool has the message."""
        super().on_accepted(pid, time_accepted)
        self._app.intake.accept(self)

    def acknowledge(self) -> None:
        """Acknowledge the message, as its task has ended here."""
        self._app.intake.end(self)
        super().acknowledge()

    def let_go(self) -> None:
        """Acknowledge the message of a task that goes on."""
        super().acknowledge()

    def forget_message(self) -> None:
        """Leave the message alone: the connection that brought it is gone."""
        self.acknowledged = True

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or throw it away."""
        self._app.intake.end(self)
        super().reject(requeue)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Record what the child could not, because it is gone."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        match error:
            case Terminated():
                self._task.settler.finish(self.id, self.fence, settle(Cancel()))
            case WorkerLostError() | SystemExit() if not self._already_revoked:
                self._give_back()
                return None
            case SystemExit():
                self._task.settler.finish(self.id, self.fence, settle(Cancel()))
        outcome = super().on_failure(exc_info, *args, **kwargs)
        if isinstance(error, LeftToLedger):
            self._announce(error.state)
        return outcome

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record the timeout of a child that has to be killed; tell Celery's hooks of a last one."""
        if soft:
            super().on_timeout(soft, timeout)
            return
        outcome = TimedOut(self.time_limits[1] or timeout)
        match self._task.settler.conclude(self.id, self.fence, outcome).after:
            case Settled(state=State.TIMED_OUT):
                self._recall()
                super().on_timeout(soft, timeout)
                return
            case Settled(state=ended):
                state: State | None = ended
            case Deferred() as deferred:
                state = State.RETRYING
                self._task.settler.resume(deferred)
            case None:
                state = None
        task_ready(self)
        self.acknowledge()
        self._announce(state)

    def _recall(self) -> None:
        """Get the arguments, for hooks that run in this process: a hint has none."""
        if self.is_hint:
            self._args, self._kwargs = self._task.arguments_of(self.id)
            self._request_dict.update(args=self._args, kwargs=self._kwargs)

    def _cancel(self) -> None:
        with suppress(BackendUnavailable):  # its row stays; a revoke holds for its next message
            self._task.settler.cancel(is_task(self.id))

    def _give_back(self) -> None:
        task_ready(self)
        settler, pile = self._task.settler, self._app.slots.find(self.fence)
        if len(pile) > 1:
            bury(pile, settler, now=monotonic(), grace=TIMEOUT_GRACE)
        if BATCH in self._request_dict:
            # Whoever it was: the next time each of them runs alone.
            settler.give_back(is_batch_of(self.hostname, self.fence), Death.EXPLAINED)
            self.acknowledge()
            return
        queued = settler.give_back(is_claim(self.id, self.fence), Death.ALONE)
        state = State.QUEUED if queued else self._task.executor.state_of(self.id)
        if state is None and not self.is_hint:
            self.reject(requeue=True)  # it was not adopted yet
        else:
            self.acknowledge()
        self._announce(state)

    def bury_all(self) -> None:
        """Return to the queue what was claimed together with this one, in a process that is gone."""
        settler, pile = self._task.settler, self._app.slots.find(self.fence)
        with suppress(BackendUnavailable):  # else their leases run out
            bury(pile, settler, now=monotonic(), grace=TIMEOUT_GRACE)
            settler.give_back(is_batch_of(self.hostname, self.fence), Death.EXPLAINED)

    def on_left(self) -> None:
        """Hear that the process is gone that was to run this one with others."""
        if not self._already_revoked:
            task_ready(self)
            self.acknowledge()
            self._announce(State.QUEUED)

    def _announce(self, state: State | None) -> None:
        event = event_of(state)
        if event is not None:
            self.send_event(event.type, **event.fields)
