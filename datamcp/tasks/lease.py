"""Keeping leases: a worker's main process renews what its slots work on, and passes on orders.

It names exactly the claims that the slot table shows. The answer tells which of them are still in
force, and which somebody wants ended (protocol R6, R9). A slot is told first; a process that does
not end then is ended, as long as its slot still shows that claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from datamcp.clock import Clock
from datamcp.tasks.ledger import Lease
from datamcp.tasks.slots import Held, Order, SlotTable
from datamcp.telemetry import Telemetry

LOOK = 1.0  # seconds between two looks: how soon a cancel is noticed
RENEWALS = 4  # in the length of a lease
PATIENCE = 3.0  # seconds that a task has to end by itself once it was told
KILL = 4.0  # seconds more, after which its process is killed


class Leases(Protocol):
    """The claims of one worker in the ledger."""

    lease: float

    def renew(self, agent_id: str, fences: list[str]) -> list[Lease]:
        """Renew those of these claims that are in force; return them."""
        ...

    def to_be_cancelled(self, agent_id: str) -> set[tuple[str, str]]:
        """Return the claims whose end somebody asked for, each as task id and fence."""
        ...


class Force(Protocol):
    """What can be done to a slot that does not do as it is told."""

    def is_alive(self, pid: int) -> bool:
        """Tell whether a process still works for this worker."""
        ...

    def end(self, held: Held, *, at_once: bool) -> None:
        """End the process that works on a claim; `at_once` without any chance to tidy up."""
        ...

    def overdue(self, held: Held) -> None:
        """Do what is to be done, at this look, about a claim whose time is up."""
        ...


@dataclass(slots=True)
class _Told:
    """When a claim was given its order, and what was done since."""

    at: float
    is_ended: bool = False


class Keeper:
    """Keeps the leases of one worker. `look` is called every `LOOK` seconds, by one thread."""

    def __init__(
        self,
        agent_id: str,
        *,
        table: SlotTable,
        leases: Leases,
        force: Force,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the worker's name, its slots, and who can be asked and told."""
        self._agent_id = agent_id
        self._table = table
        self._leases = leases
        self._force = force
        self._clock = clock
        self._telemetry = telemetry
        self._renewed_at = float("-inf")
        self._told: dict[str, _Told] = {}  # by fence and task

    def look(self) -> None:
        """Renew if it is time, pass on what the ledger says; raises BackendUnavailable."""
        held = [one for one in self._table.held() if self._force.is_alive(one.pid)]
        shown = {_key(one) for one in held}
        self._told = {key: told for key, told in self._told.items() if key in shown}
        try:
            if held:
                self._ask(held)
        finally:
            # What was told before holds, whether or not the database answers now.
            self._enforce(held)

    def _ask(self, held: list[Held]) -> None:
        now = self._clock.monotonic()
        if now - self._renewed_at < self._leases.lease / RENEWALS:
            asked = self._leases.to_be_cancelled(self._agent_id)
            cancelled = [one for one in held if (one.task_id, one.fence) in asked]
            self._order(cancelled, Order.CANCEL)
            return
        renewed = self._leases.renew(self._agent_id, sorted({one.fence for one in held}))
        self._renewed_at = now
        in_force = {f"{one.fence}{one.task_id}": one for one in renewed}
        lost = [one for one in held if _key(one) not in in_force]
        cancelled = [
            one for one in held if _key(one) in in_force and in_force[_key(one)].cancel_requested
        ]
        self._order(cancelled, Order.CANCEL)
        self._order(lost, Order.STOP)

    def _order(self, claims: Sequence[Held], order: Order) -> None:
        for held in claims:
            if _key(held) not in self._told and self._table.tell(held, order):
                self._told[_key(held)] = _Told(self._clock.monotonic())
                self._telemetry.emit(
                    "task.told_to_stop", task_id=held.task_id, order=order.name.lower()
                )

    def _enforce(self, held: list[Held]) -> None:
        now = self._clock.monotonic()
        for one in held:
            if one.deadline is not None and now > one.deadline and one in self._table:
                self._force.overdue(one)
            told = self._told.get(_key(one))
            if told is None or now - told.at < PATIENCE or one not in self._table:
                continue
            at_once = now - told.at >= PATIENCE + KILL
            if at_once or not told.is_ended:
                self._force.end(one, at_once=at_once)
                told.is_ended = True


def _key(held: Held) -> str:
    return f"{held.fence}{held.task_id}"
