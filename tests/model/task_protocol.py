"""Exhaustive check of the task protocol (rules R1 to R14) on one row of the ledger.

Every order of events is walked, within bounds, for one row, one broker and two workers of one slot
each. No row may go wrong, and from every point our own steps must be able to reach a final state,
without help from a fault or from the user. The protocol must be safe; a variant changes one rule
and names the failures that must then appear, so that a check gone blind is noticed.

Modelled: publish by the reconciler (R4), delivery and acknowledgement (R5), adoption of plain
Celery messages (R14), claim (R3), lease and renewal (R6), rescue (R7), finish, snooze and cancel
(R9, R11). Faults: a message lost or doubled; a worker crashing, or stalling past its lease and
going on; a commit whose answer is lost (R2); a crash of the database that takes back a claim (R2).

Not modelled: time (leases expire and snoozes fall due at once; no waits of R4 and R7, no R8),
retries and attempt budgets (of R10 only that a loss uses up no attempt), pause and limits (R13),
anything that takes a second row. An UPDATE is one atomic compare-and-set. User code may run twice;
its ending is counted. Plain messages lost by the broker are outside the promise (R14).

`test_task_protocol.py` checks every variant. As a command (`python tests/model/task_protocol.py`)
it prints the table (-v: and a shortest path to each failure), and exits 1 on a surprise.
"""

# ruff: noqa: T201  it is a command, too

import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal, NamedTuple

MAX_FAULTS = 3  # at most one of them a crash of the database
MAX_CLAIMS = 4
MAX_MESSAGES = 2  # in the broker; none is doubled beyond


class State(StrEnum):
    """The row's state; ABSENT while only a plain message tells of the task."""

    ABSENT = "absent"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.CANCELLED})


class Failure(StrEnum):
    """What the protocol must prevent."""

    STALE_FINISH = "stale finish accepted"
    STALE_SNOOZE = "stale snooze accepted"
    FINISHED_TWICE = "finished twice"
    FINAL_CHANGED = "final state changed"
    CANCEL_LOST = "cancel acknowledged, ends succeeded"
    NEVER_ENDS = "never ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a variant may change; the defaults are the protocol."""

    fence: Literal["attempt", "counter", "token"] = "counter"  # R1, R2: the column to match
    claims_are_durable: bool = True  # R2: a claim commits synchronously
    message_names_attempt: bool = False  # R3: a hint names the task, no more
    renewal_lists_fences: bool = True  # R6; else UPDATE ... WHERE worker_id = :me
    cancel_beats_endings: bool = True  # R9
    rescue_honours_cancel: bool = True  # R9
    starts_plain: bool = False  # the task begins as a plain message, not as a row
    plain_acked_after_insert: bool = True  # R14


class Row(NamedTuple):
    """The ledger's record; `finishes` and `stale` are there for the checks, no rule reads them."""

    state: State
    attempt: int = 0  # as the user sees it: rescue and snooze give it back (R10)
    counter: int = 0  # grows at every claim (R1)
    token: int = 0  # made by the client for each claim (R2); unique, so it tells claims apart
    owner: int | None = None  # slot of the process that claimed, None once that process is dead
    expired: bool = False
    cancel: bool = False
    finishes: int = 0
    stale: bool = False  # the last ending came from an older claim than the row's


class Message(NamedTuple):
    """A hint (R3)."""

    plain: bool = False
    attempt: int | None = None


class Idle(NamedTuple):
    """A worker with a free slot."""


class Holding(NamedTuple):
    """A worker that took a message and has yet to claim."""

    message: Message


class Running(NamedTuple):
    """A worker that runs the task: its entry in the slot table (R6)."""

    token: int
    fence: int


Worker = Idle | Holding | Running


class World(NamedTuple):
    """One point of the walk."""

    row: Row
    messages: tuple[Message, ...] = ()  # in the broker; sorted, as any may be delivered first
    workers: tuple[Worker, Worker] = (Idle(), Idle())
    claims: int = 0  # made so far, also those that a crash of the database took back
    undo: Row | None = None  # what a crash of the database would bring back
    faults_left: int = MAX_FAULTS
    cancels_left: int = 1
    database_crashes_left: int = 1

    def commit(self, row: Row) -> "World":
        """Write the row synchronously, which makes earlier commits durable too."""
        return self._replace(row=row, undo=None)

    def put(self, slot: int, worker: Worker) -> "World":
        """Change what one worker does."""
        first, second = self.workers
        return self._replace(workers=(first, worker) if slot else (worker, second))

    def send(self, message: Message) -> "World":
        """Put a message into the broker."""
        return self._replace(messages=tuple(sorted((*self.messages, message))))

    def take(self, place: int) -> "World":
        """Remove a message from the broker."""
        return self._replace(messages=self.messages[:place] + self.messages[place + 1 :])

    def holding(self) -> list[tuple[int, Message]]:
        """Return the messages in workers' hands, by slot."""
        return [(i, w.message) for i, w in enumerate(self.workers) if isinstance(w, Holding)]

    def running(self) -> list[tuple[int, Running]]:
        """Return the workers that run the task, or believe so, by slot."""
        return [(i, w) for i, w in enumerate(self.workers) if isinstance(w, Running)]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The transitions: each yields every world that it can turn a world into."""

    rules: Rules

    # What the ledger matches and writes, whether or not the worker hears the answer.

    def fence_of(self, row: Row) -> int:
        """Return the value that fences the row's latest claim."""
        return int(getattr(row, self.rules.fence))

    def is_held(self, row: Row, worker: Running) -> bool:
        """Tell whether `state = 'running' AND fence = :mine` matches; the lease has no say (R1)."""
        return row.state is State.RUNNING and worker.fence == self.fence_of(row)

    def is_renewed(self, world: World) -> bool:
        """Tell whether a living worker's heartbeat matches the running row (R6)."""
        if self.rules.renewal_lists_fences:
            return any(self.is_held(world.row, worker) for _, worker in world.running())
        return world.row.owner is not None

    def is_claimable(self, world: World, message: Message) -> bool:
        """Tell whether the task may start (R3, R9)."""
        row = world.row
        is_named = message.attempt is None or message.attempt == row.attempt
        return row.state is State.QUEUED and not row.cancel and is_named

    def claimed(self, world: World, slot: int) -> World:
        """Commit a claim, under the next fence and a token of its own (R1, R2)."""
        row, token = world.row, world.claims + 1
        after = row._replace(state=State.RUNNING, attempt=row.attempt + 1, counter=row.counter + 1)
        after = after._replace(token=token, owner=slot, stale=False)
        undo = None if self.rules.claims_are_durable else row
        return world._replace(row=after, claims=token, undo=undo)

    def settled(self, world: World, worker: Running, state: State) -> World | None:
        """Commit an ending, cancelled if the flag is up (R9); None if it is refused (R1)."""
        row = world.row
        if not self.is_held(row, worker):
            return None
        if row.cancel and self.rules.cancel_beats_endings:
            state = State.CANCELLED
        finishes, stale = row.finishes + (state in FINAL), worker.token != row.token
        return world.commit(self.released(row, state)._replace(finishes=finishes, stale=stale))

    def released(self, row: Row, state: State) -> Row:
        """Return the row with no owner; back in the queue, it has used up no attempt (R10)."""
        attempt = row.attempt - 1 if state is State.QUEUED else row.attempt
        return row._replace(state=state, attempt=attempt, owner=None, expired=False)

    # Steps of our own.

    def publish(self, world: World) -> Iterator[World]:
        """Reconcile: send a hint for a queued row that seems to have none (R4)."""
        if world.row.state is State.QUEUED and not world.messages:
            attempt = world.row.attempt if self.rules.message_names_attempt else None
            yield world.send(Message(attempt=attempt))

    def deliver(self, world: World) -> Iterator[World]:
        """Hand a message to an idle worker, which acknowledges it unless it is plain (R5, R14)."""
        for slot, worker in enumerate(world.workers):
            for place, message in enumerate(world.messages):
                if isinstance(worker, Idle):
                    yield world.take(place).put(slot, Holding(message))

    def adopt(self, world: World) -> Iterator[World]:
        """Insert the row of a plain message, ON CONFLICT DO NOTHING (R14)."""
        if world.row.state is State.ABSENT and world.holding():
            yield world.commit(world.row._replace(state=State.QUEUED))

    def claim(self, world: World) -> Iterator[World]:
        """Start what the message names, or drop the message (R3)."""
        for slot, message in world.holding():
            if world.row.state is State.ABSENT:
                continue  # it must be adopted first
            if not self.is_claimable(world, message):
                yield world.put(slot, Idle())
            elif world.claims < MAX_CLAIMS:
                after = self.claimed(world, slot)
                yield after.put(slot, Running(after.row.token, self.fence_of(after.row)))

    def finish(self, world: World) -> Iterator[World]:
        """Record Done, or hear that the claim is no longer in force (R1)."""
        for slot, worker in world.running():
            yield (self.settled(world, worker, State.SUCCEEDED) or world).put(slot, Idle())

    def snooze(self, world: World) -> Iterator[World]:
        """Record Snooze, or hear that the claim is no longer in force (R1)."""
        for slot, worker in world.running():
            yield (self.settled(world, worker, State.QUEUED) or world).put(slot, Idle())

    def renew_or_expire(self, world: World) -> Iterator[World]:
        """Prolong the lease, even late, if a heartbeat matches (R1, R6); else let it run out."""
        if world.row.state is State.RUNNING:
            yield world._replace(row=world.row._replace(expired=not self.is_renewed(world)))

    def rescue(self, world: World) -> Iterator[World]:
        """Requeue a row whose lease ran out (R7), or end it if it was cancelled (R9)."""
        if world.row.expired:
            ends = world.row.cancel and self.rules.rescue_honours_cancel
            yield world.commit(self.released(world.row, State.CANCELLED if ends else State.QUEUED))

    # The user.

    def cancel(self, world: World) -> Iterator[World]:
        """Cancel a queued row, flag a running one; both are answered True (R9)."""
        row = world.row
        if world.cancels_left and row.state in (State.QUEUED, State.RUNNING):
            state = State.CANCELLED if row.state is State.QUEUED else row.state
            yield world.commit(row._replace(state=state, cancel=True))._replace(cancels_left=0)

    # Faults.

    def lose_message(self, world: World) -> Iterator[World]:
        """Lose a message of ours in the broker."""
        for place, message in enumerate(world.messages):
            if not message.plain:
                yield world.take(place)

    def double_message(self, world: World) -> Iterator[World]:
        """Deliver twice, or let two reconcilers publish at once."""
        if len(world.messages) < MAX_MESSAGES:
            yield from (world.send(message) for message in world.messages)

    def crash(self, world: World) -> Iterator[World]:
        """Replace a worker process by one with a new id; unacknowledged messages return."""
        for slot, worker in enumerate(world.workers):
            owner = None if world.row.owner == slot else world.row.owner
            after = world.put(slot, Idle())._replace(row=world.row._replace(owner=owner))
            if isinstance(worker, Holding) and worker.message.plain:
                yield after.send(worker.message) if self.rules.plain_acked_after_insert else after
            else:
                yield after

    def stall(self, world: World) -> Iterator[World]:
        """Let the lease run out under a living worker, which goes on later."""
        if world.row.state is State.RUNNING and self.is_renewed(world):
            yield world._replace(row=world.row._replace(expired=True))

    def lose_answer(self, world: World) -> Iterator[World]:
        """Commit unheard (R2): the claimer gives up, the finisher stays and tries again.

        A claimer that repeats its token stands where the answer would have put it: see claim.
        """
        for slot, message in world.holding():
            if self.is_claimable(world, message) and world.claims < MAX_CLAIMS:
                yield self.claimed(world, slot).put(slot, Idle())
        for _, worker in world.running():
            for state in (State.SUCCEEDED, State.QUEUED):
                yield self.settled(world, worker, state) or world

    def crash_database(self, world: World) -> Iterator[World]:
        """Take back a claim that was answered but not yet durable (R2)."""
        if world.undo is not None and world.database_crashes_left:
            yield world._replace(row=world.undo, undo=None, database_crashes_left=0)

    def successors(self, world: World) -> Iterator[tuple[str, World, bool]]:
        """Yield all that may happen next: name, outcome, and whether it is a step of our own."""
        for step in (
            self.publish, self.deliver, self.adopt, self.claim, self.finish, self.snooze,
            self.renew_or_expire, self.rescue,
        ):  # fmt: skip
            yield from ((step.__name__, after, True) for after in step(world))
        yield from (("cancel", after, False) for after in self.cancel(world))
        for fault in (
            self.lose_message, self.double_message, self.crash, self.stall, self.lose_answer,
            self.crash_database,
        ):  # fmt: skip
            if world.faults_left:
                for after in fault(world):
                    yield fault.__name__, after._replace(faults_left=world.faults_left - 1), False


class Result(NamedTuple):
    """What a walk found: worlds, those with no way to an end, and a shortest path per failure."""

    states: int
    stuck: int
    paths: dict[Failure, list[str]]


@cache
def check(rules: Rules) -> Result:
    """Walk every world that can come about under these rules, nearest first."""
    protocol = Protocol(rules)
    first = World(Row(State.QUEUED))
    if rules.starts_plain:
        first = World(Row(State.ABSENT), messages=(Message(plain=True),))
    came_from = {first: (first, "start")}
    steps_into: dict[World, list[World]] = defaultdict(list)
    paths: dict[Failure, list[str]] = {}
    todo = deque([first])
    while todo:
        world = todo.popleft()
        for name, after, is_step in protocol.successors(world):
            if is_step:
                steps_into[after].append(world)
            if after not in came_from:
                came_from[after] = (world, name)
                todo.append(after)
            for failure in failures(world.row, after.row):
                if failure not in paths:
                    paths[failure] = [*path(world, came_from), describe(name, after)]
    stuck = dead_ends(list(came_from), steps_into)
    if stuck:
        paths[Failure.NEVER_ENDS] = path(stuck[0], came_from)
    return Result(len(came_from), len(stuck), paths)


def failures(before: Row, after: Row) -> Iterator[Failure]:
    """Yield what is wrong with the row, or with the way it changed."""
    if after.stale:
        yield Failure.STALE_FINISH if after.finishes else Failure.STALE_SNOOZE
    if after.finishes > 1:
        yield Failure.FINISHED_TWICE
    if before.state in FINAL and after.state is not before.state:
        yield Failure.FINAL_CHANGED
    if after.state is State.SUCCEEDED and after.cancel:
        yield Failure.CANCEL_LOST


def dead_ends(worlds: list[World], steps_into: dict[World, list[World]]) -> list[World]:
    """Return the worlds that steps of our own never lead to a final row.

    Worlds that used up MAX_CLAIMS are left out: the bound stops them, not the rules.
    """
    todo = [world for world in worlds if world.row.state in FINAL]
    ending = set(todo)
    while todo:
        new = set(steps_into[todo.pop()]) - ending
        ending |= new
        todo.extend(new)
    return [world for world in worlds if world not in ending and world.claims < MAX_CLAIMS]


def path(world: World, came_from: dict[World, tuple[World, str]]) -> list[str]:
    """Return a shortest way to a world, one event a line."""
    before, name = came_from[world]
    return [*([] if before is world else path(before, came_from)), describe(name, world)]


def describe(name: str, world: World) -> str:
    """Return an event and the world after it in one line, without what is zero or unset."""
    row = [f"{key}={value}" for key, value in world.row._asdict().items() if value]
    workers = [type(worker).__name__.lower() for worker in world.workers]
    for slot, worker in world.running():
        workers[slot] += f" token={worker.token}"
    return f"{name:15} {' '.join(row)}; {', '.join(workers)}; messages={len(world.messages)}"


class Variant(NamedTuple):
    """A change to one rule, and the failures that it must lead to."""

    name: str
    rule: str
    title: str
    rules: Rules
    expected: set[Failure]


STALE = {Failure.STALE_FINISH, Failure.STALE_SNOOZE}
STUCK = {Failure.NEVER_ENDS}
SAFE: set[Failure] = set()

VARIANTS = [
    Variant("A", "R1", "the attempt is the fence", Rules(fence="attempt"), STALE),
    Variant("A1", "R1", "the same, and messages name the attempt",
            Rules(fence="attempt", message_names_attempt=True), STALE),
    Variant("B", "R1", "the fence grows at every claim, is never reset", Rules(), SAFE),
    Variant("C", "R6", "renewal is UPDATE ... WHERE worker_id = :me",
            Rules(renewal_lists_fences=False), STUCK),
    Variant("D", "R6", "renewal lists the (task, fence) that really run", Rules(), SAFE),
    Variant("E", "R9", "Done and Snooze beat the cancel flag",
            Rules(cancel_beats_endings=False), STUCK | {Failure.CANCEL_LOST}),
    Variant("F", "R9", "rescue ignores the cancel flag", Rules(rescue_honours_cancel=False), STUCK),
    Variant("G", "R14", "plain message acknowledged first, adopted after",
            Rules(starts_plain=True, plain_acked_after_insert=False), STUCK),
    Variant("H", "R14", "plain message acknowledged after the INSERT",
            Rules(starts_plain=True), SAFE),
    Variant("I", "R2", "claims commit asynchronously, a counter is the fence",
            Rules(claims_are_durable=False), STALE),
    Variant("J", "R2", "claims commit asynchronously, the token is the fence",
            Rules(claims_are_durable=False, fence="token"), SAFE),
]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print a line per variant; return 1 if any ended otherwise than expected."""
    surprises = 0
    for variant in VARIANTS:
        result = check(variant.rules)
        verdict = ", ".join(sorted(result.paths)) or "safe"
        is_surprise = result.paths.keys() != variant.expected
        if is_surprise:
            surprises += 1
            verdict += f" (EXPECTED: {', '.join(sorted(variant.expected)) or 'safe'})"
        title = f"{variant.name:2} {variant.rule:3} {variant.title}"
        print(f"{title:60} states={result.states:6} stuck={result.stuck:4}  {verdict}")
        for failure, lines in result.paths.items() if is_surprise or "-v" in arguments else ():
            print(f"    {failure}:", *lines, sep="\n        ")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
