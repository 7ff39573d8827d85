"""What each slot of a worker is working on: a table that all processes of the worker share.

Whoever runs a task writes its slot's entry (`hold`), before the user's code starts and after the
end. The worker's main process reads all entries: it renews the leases of exactly these claims, and
answers with an order (protocol R6). An entry is one writer's; it may be read while it is written,
so a number that is odd meanwhile tells the reader to look again.

A task that waits for another may run it in its own slot (R19). So a slot has a pile of entries: at
level 0 what its message named, above that what is run for it. The pile is read from below, up to
the first empty entry: a slot that runs one task costs its reader no more than that.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from mmap import mmap
from threading import Lock
from time import monotonic

CAPACITY = 1024  # slots, unless a worker begins with more
LEVELS = 24  # claims that one slot shows at most: one, and those that run for it

_ENTRY = struct.Struct("<QqddQ")  # number, pid, since, deadline, length of the text
_TEXT = 1100  # bytes: the fence, and an id of 255 characters at most four bytes long
_FENCE = 32
_SIZE = 1152
_ORDER_AT = _SIZE - 8  # written by others than the entry's writer
_ORDER = struct.Struct("@Q")  # the number of the entry that is meant, and what it is told
_KINDS = 4  # of orders, at most
_ALONE = struct.Struct("<QQ")  # behind the entries: one more than the slot alone, its number
_FOR_EVER = float("inf")
_TRIES = 100


class Order(IntEnum):
    """What a slot is told to do with its task."""

    NONE = 0
    CANCEL = 1
    """Somebody asked for it."""
    STOP = 2
    """The claim is no longer in force, or its time is up: nothing that it does counts."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that a slot is working on.

    `since` and `deadline` are seconds of the monotonic clock, which all processes of a machine
    share; `pid` is the process that runs it. `level` is 0, or higher for what runs inside of
    another claim of the slot.
    """

    slot: int
    task_id: str
    fence: str
    pid: int
    since: float
    deadline: float | None
    order: Order
    number: int = field(default=0, compare=False)
    """Which of all entries of its slot, and level, this is."""
    level: int = 0


class SlotTable:
    """The entries of one worker. Make it before the first fork; every process then has it."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Take how many slots there may be."""
        self.capacity = capacity
        self._alone_at = capacity * LEVELS * _SIZE
        self._memory = mmap(-1, self._alone_at + _ALONE.size)  # what is never written takes no room
        self._taken: set[int] = set()
        self._lock = Lock()

    @contextmanager
    def slot(self, number: int | None) -> Iterator["Slot"]:
        """Lend a slot: the one of this number, or any that no thread of this process has."""
        if number is not None:
            yield Slot(self, number % self.capacity)
            return
        with self._lock:
            number = next(one for one in range(self.capacity) if one not in self._taken)
            self._taken.add(number)
        try:
            yield Slot(self, number)
        finally:
            self._taken.discard(number)

    def held(self) -> list[Held]:
        """Return what all slots are working on: slot by slot, each from below."""
        return [held for slot in range(self.capacity) for held in self.pile(slot)]

    def pile(self, slot: int) -> list[Held]:
        """Return what one slot is working on, from below."""
        found: list[Held] = []
        held = self._read(slot)
        while held is not None:
            found.append(held)
            held = self._read(slot, len(found)) if len(found) < LEVELS else None
        return found

    def find(self, fence: str) -> list[Held]:
        """Return the pile at whose bottom is a claim; empty if none is."""
        piles = (self.pile(slot) for slot in range(self.capacity))
        return next((pile for pile in piles if pile and pile[0].fence == fence), [])

    def __contains__(self, held: object) -> bool:
        """Tell whether a slot still works on a claim."""
        if not isinstance(held, Held):
            return False
        now = self._read(held.slot, held.level)
        return now is not None and (now.fence, now.task_id) == (held.fence, held.task_id)

    def tell(self, held: Held, order: Order) -> bool:
        """Give a slot an order for the claim that it works on; tell whether it still does.

        What the slot begins meanwhile is not meant: an order names its entry.
        """
        if held not in self:
            return False
        where = self._start(held.slot, held.level) + _ORDER_AT
        _ORDER.pack_into(self._memory, where, held.number * _KINDS + order)
        return True

    def write(
        self, slot: int, level: int, pid: int, since: float, deadline: float, text: bytes
    ) -> None:
        """Write an entry; no text empties it. For the entry's own writer alone."""
        start = self._start(slot, level)
        number = _ENTRY.unpack_from(self._memory, start)[0] | 1
        _ENTRY.pack_into(self._memory, start, number, pid, since, deadline, len(text))
        self._memory[start + _ENTRY.size : start + _ENTRY.size + len(text)] = text
        _ENTRY.pack_into(self._memory, start, number + 1, pid, since, deadline, len(text))

    def clear(self, slot: int) -> None:
        """Empty all entries of a slot, whoever wrote them."""
        for level in range(LEVELS):
            if not level or self._read(slot, level) is not None:
                self.write(slot, level, 0, 0.0, 0.0, b"")

    def order_of(self, slot: int, level: int = 0) -> Order:
        """Return what a slot was told of what it works on now, at a level."""
        start = self._start(slot, level)
        return self._order(start, self._number(start))

    def alone(self) -> int | None:
        """Return the slot that has this worker for itself, if one has."""
        above, number = _ALONE.unpack_from(self._memory, self._alone_at)
        if (
            not above
            or self._number(self._start(above - 1)) != number
            or self._read(above - 1) is None
        ):
            return None
        return int(above) - 1

    def be_alone(self, slot: int, *, wanted: bool) -> None:
        """Note that a slot has this worker for itself for what it holds now, or no longer has.

        With whatever is written into its entry next, that is over: so it is, too, if its process
        dies, and another one takes the slot.
        """
        mark = (slot + 1, self._number(self._start(slot))) if wanted else (0, 0)
        _ALONE.pack_into(self._memory, self._alone_at, *mark)

    def _start(self, slot: int, level: int = 0) -> int:
        """Return where an entry begins: all of level 0 come first, then those of each slot."""
        if not level:
            return slot * _SIZE
        return (self.capacity + slot * (LEVELS - 1) + level - 1) * _SIZE

    def _number(self, start: int) -> int:
        return int(_ENTRY.unpack_from(self._memory, start)[0])

    def _order(self, start: int, number: int) -> Order:
        told = _ORDER.unpack_from(self._memory, start + _ORDER_AT)[0]
        meant, order = divmod(told, _KINDS)
        return Order(order) if meant == number else Order.NONE

    def _read(self, slot: int, level: int = 0) -> Held | None:
        start = self._start(slot, level)
        for _ in range(_TRIES):
            number, pid, since, deadline, length = _ENTRY.unpack_from(self._memory, start)
            if not length:
                return None
            text = self._memory[start + _ENTRY.size : start + _ENTRY.size + length]
            if number % 2 == 0 and _ENTRY.unpack_from(self._memory, start)[0] == number:
                return Held(
                    slot,
                    text[_FENCE:].decode(),
                    text[:_FENCE].decode().rstrip(),
                    pid,
                    since,
                    None if deadline == _FOR_EVER else deadline,
                    self._order(start, number),
                    number,
                    level,
                )
        return None  # its writer died while it wrote: what it had not begun yet


class Slot:
    """One slot, as it is seen by who runs tasks in it; or a level above its first one."""

    def __init__(self, table: SlotTable, number: int, level: int = 0) -> None:
        """Take the table, the slot's number, and the level."""
        self._table = table
        self.number = number
        self.level = level
        self.deadline: float | None = None
        self.is_left = False
        """Whether its entry stays for who clears up after this process: something runs above it."""

    def hold(self, task_id: str, fence: str, *, since: float, deadline: float | None) -> None:
        """Note which claim is worked on from now, in place of any other."""
        text = f"{fence:<{_FENCE}}{task_id}".encode()[:_TEXT]
        self.deadline = deadline
        until = _FOR_EVER if deadline is None else deadline
        self._table.write(self.number, self.level, os.getpid(), since, until, text)

    def release(self) -> None:
        """Note that nothing is worked on."""
        if not self.is_left:
            self._table.write(self.number, self.level, 0, 0.0, 0.0, b"")

    @property
    def is_out_of_time(self) -> bool:
        """Tell whether it is the time of this level that is up, where some level's is."""
        return not self.level or (self.deadline is not None and monotonic() >= self.deadline)

    def above(self) -> "Slot":
        """Return the next level, for what is run inside of what this one holds; one at a time."""
        return Slot(self._table, self.number, self.level + 1)

    def clear(self) -> list[Held]:
        """Release all levels; return what they held: the claims of a process that has died here."""
        left = self._table.pile(self.number)
        self._table.clear(self.number)
        return left

    def may_begin(self) -> bool:
        """Tell whether anything may begin here: not while another slot has the worker for itself."""
        return self._table.alone() in {None, self.number}

    @contextmanager
    def alone(self, pause: Callable[[], object]) -> Iterator[bool]:
        """Have the worker to itself during the block, for what this slot holds.

        Waits, by `pause`, until all other slots are empty. Yields False at once if another slot
        has come before.
        """
        table = self._table
        if table.alone() not in {None, self.number}:
            yield False
            return
        table.be_alone(self.number, wanted=True)
        try:
            pause()  # two may have seen that there was none: the later one stays
            while any(one.slot != self.number for one in table.held()):
                if table.alone() != self.number:
                    break
                pause()
            yield table.alone() == self.number
        finally:
            if table.alone() == self.number:
                table.be_alone(self.number, wanted=False)

    @property
    def order(self) -> Order:
        """Return what the main process has told this slot, of what it works on now."""
        return self._table.order_of(self.number, self.level)


current: ContextVar[Slot | None] = ContextVar("datamcp_slot", default=None)
"""The slot in which a task runs here; each thread has its own."""
