"""A run: tasks come, faults are made in an order that the seed decides, and all is judged."""

import heapq
import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from threading import Event
from time import monotonic

import datamcp
from chaos.crew import POSTS, Crew, Post
from chaos.faults import PROCESS_FAULTS
from chaos.letters import LETTER_FAULTS
from chaos.outcome import Made, Outcome
from chaos.producer import Producer
from chaos.remains import remains
from chaos.stage import PREFIX, Stage
from chaos.traces import Traces
from chaos.verdict import Verdict, judge, recoveries, summary
from chaos.world import Course, Fault, World
from chaos.wreckage import SERVER_FAULTS
from datamcp.errors import BackendUnavailable
from datamcp.tasks.publish import broker_errors

FAULTS: tuple[Fault, ...] = (*PROCESS_FAULTS, *SERVER_FAULTS, *LETTER_FAULTS)
"""All kinds, by name."""

_LOOK = 0.05  # seconds
_START = 90.0  # seconds in which all processes have to be there
_KEYS = 60  # broker keys that there may be at the end, besides those of each process
_KEYS_EACH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large a run is. `pace` is how many seconds lie between two faults, on the average."""

    seed: int
    tasks: int
    faults: int
    kinds: Sequence[Fault] = FAULTS
    pace: float = 1.5
    patience: float = 120.0
    posts: Sequence[Post] = POSTS


class Run:
    """One run on a stage. For one thread, the main one."""

    def __init__(self, plan: Plan, stage: Stage, tell: Callable[[str], None]) -> None:
        """Take the plan, the stage, and who hears how it goes."""
        self._plan = plan
        self._stage = stage
        self._tell = tell
        self._rng = Random(plan.seed)
        self._began = monotonic()
        self._courses: list[tuple[float, int, Fault, Course, Made]] = []
        self._numbers = count()
        self._traces = Traces(stage.database)
        self.outcome = Outcome(
            seed=plan.seed,
            ledger=stage.ledger,
            broker=stage.broker_url.partition(":")[0].partition("+")[0],
            lease=stage.lease,
        )

    def go(self) -> Outcome:
        """Make the run and judge it; return its figures."""
        direct = {
            **self._stage.settings,
            "storage.database_url": self._stage.database_url,
            "broker.url": self._stage.broker_url,
        }
        with (
            datamcp.connect(overrides=direct) as runtime,
            Crew(self._stage, self._plan.posts, self._split()) as crew,
        ):
            world = World(self._stage, crew, runtime, self._split())
            self._await(lambda: crew.are_ready, _START, crew, "all processes are there")
            with self._producer() as producer:
                self._make_faults(world, producer)
                self._end_courses(world)  # what is silent still would hold the producer up
                self._await(lambda: producer.is_done, self._plan.patience, crew, "all enqueued")
            if producer.error is not None:
                raise producer.error
            self._await_end(crew, world)
            verdict = self._judge(world, producer)
            left = crew.stop()
            verdict.other += [f"process {pid} is left" for pid in left]
        self._fill(world, producer, verdict)
        return self.outcome

    def _split(self) -> Random:
        """Return another source of chance, which this one decides."""
        return Random(self._rng.random())

    def _producer(self) -> Producer:
        plan = self._plan

        def may_go_on(done: int) -> bool:
            # Neither tasks nor faults run away from each other.
            return done * plan.faults <= (self.outcome.faults + 1) * plan.tasks

        return Producer(
            self._stage.settings,
            plan.tasks,
            lease=self._stage.lease,
            rng=self._split(),
            may_go_on=may_go_on,
        )

    # Faults.

    def _make_faults(self, world: World, producer: Producer) -> None:
        plan, waiting = self._plan, deque(self._ordered(world))
        next_at = monotonic()
        while waiting:
            self._tick(world)
            if producer.error is not None:
                return
            is_ahead = self.outcome.faults * plan.tasks > (len(producer.orders) + 1) * plan.faults
            fault = None if is_ahead or monotonic() < next_at else self._next(waiting)
            if fault is None:
                Event().wait(_LOOK)
                continue
            self._begin(fault, world)
            next_at = monotonic() + self._rng.uniform(0.4, 1.6) * plan.pace

    def _ordered(self, world: World) -> list[Fault]:
        """Return the faults in their order: all kinds, then all kinds in another order."""
        fit = []
        for kind in self._plan.kinds:
            why_not = kind.unfit(world)
            if why_not is None:
                fit.append(kind)
            else:
                self.outcome.skipped[kind.name] = why_not
                self._tell(f"{kind.name} is skipped: {why_not}")
        ordered: list[Fault] = []
        while fit and len(ordered) < self._plan.faults:
            ordered += self._rng.sample(fit, len(fit))
        return ordered[: self._plan.faults]

    def _next(self, waiting: deque[Fault]) -> Fault | None:
        """Take the first fault that touches nothing that is being touched."""
        touched = {fault.touches for _, _, fault, _, _ in self._courses}
        for fault in waiting:
            if fault.touches not in touched:
                waiting.remove(fault)
                return fault
        return None

    def _begin(self, fault: Fault, world: World) -> None:
        made = Made(round(monotonic() - self._began, 2), fault.name, "")
        self.outcome.made.append(made)
        self.outcome.faults += 1
        self._go_on(fault, fault.begin(world), made, world)

    def _go_on(self, fault: Fault, course: Course, made: Made, world: World) -> None:
        world.detail = ""
        try:
            with broker_errors(world.runtime.app):
                pause = next(course, None)
        except BackendUnavailable as error:
            world.tell(f"came to nothing: {error}")
            pause = None
        if world.detail:
            made.detail = world.detail
            self._tell(f"{monotonic() - self._began:7.1f} s  {fault.name}: {world.detail}")
        if pause is not None:
            again = (monotonic() + pause, next(self._numbers), fault, course, made)
            heapq.heappush(self._courses, again)

    def _tick(self, world: World) -> None:
        while self._courses and self._courses[0][0] <= monotonic():
            _, _, fault, course, made = heapq.heappop(self._courses)
            self._go_on(fault, course, made, world)
        world.crew.mend()

    def _end_courses(self, world: World) -> None:
        while self._courses:
            self._tick(world)
            Event().wait(_LOOK)

    # The end.

    def _await_end(self, crew: Crew, world: World) -> None:
        began = monotonic()
        self._tell(f"{began - self._began:7.1f} s  no more faults; waiting for the end of all")
        self._await(self._is_over, self._plan.patience, crew)
        self.outcome.seconds_to_end = round(monotonic() - began, 2)
        if not self._is_over():
            for line in remains(self._traces, self._stage, crew, world.runtime):
                self.outcome.remains.append(line)
                self._tell(line)

    def _is_over(self) -> bool:
        try:
            return self._traces.unfinished() == 0
        except BackendUnavailable:
            return False

    def _await(
        self, check: Callable[[], bool], patience: float, crew: Crew, must: str | None = None
    ) -> None:
        """Wait until something holds, starting the dead again meanwhile."""
        deadline = monotonic() + patience
        while not check():
            if monotonic() > deadline:
                if must is None:
                    return
                raise TimeoutError(f"not within {patience:g} s: {must}")
            crew.mend()
            Event().wait(_LOOK)

    def _judge(self, world: World, producer: Producer) -> Verdict:
        moves = list(self._traces.moves())
        verdict = judge(
            producer.orders.values(),
            self._traces.rows(),
            moves,
            self._traces.effects(),
            self._traces.deeds(),
        )
        told = recoveries(world.kills, moves)
        self.outcome.recovery = {
            kind: {what: summary(seconds) for what, seconds in found.items()}
            for kind, found in sorted(told.items())
        }
        self.outcome.runs = sum(self._traces.runs().values())
        if (self._stage.folder / "unpickled").exists():
            verdict.other.append("a pickle was read")
        self._judge_keys(world, verdict)
        return verdict

    def _judge_keys(self, world: World, verdict: Verdict) -> None:
        client = self._stage.redis()
        if client is None:
            return
        with client:
            keys = [key.decode() for key in client.scan_iter(f"{PREFIX}*", count=1000)]
        # What a caller of Celery may still ask for expires by itself.
        kept = [key for key in keys if "celery-task-meta-" not in key]
        self.outcome.broker_keys = len(kept)
        allowed = _KEYS + _KEYS_EACH * world.crew.starts
        if len(kept) > allowed:
            verdict.other.append(f"{len(kept)} broker keys: {sorted(kept)[:10]}")

    def _fill(self, world: World, producer: Producer, verdict: Verdict) -> None:
        outcome = self.outcome
        outcome.tasks = len(producer.orders)
        outcome.tasks_by_kind = dict(producer.by_kind)
        outcome.faults_by_kind = dict(Counter(made.kind for made in outcome.made))
        outcome.troubles, outcome.shown = verdict.troubles(), verdict.shown()
        outcome.quarantined = verdict.quarantined
        outcome.cancelled = sum(order.cancelled is True for order in producer.orders.values())
        outcome.process_starts = world.crew.starts
        outcome.refusals, outcome.slowest_call = producer.refusals, round(producer.slowest, 2)
        outcome.crashes = dict(world.crew.crashes)
        outcome.seconds = round(monotonic() - self._began, 1)


def named(names: Sequence[str]) -> tuple[Fault, ...]:
    """Return the kinds of these names; all of them for none."""
    return tuple(fault for fault in FAULTS if not names or fault.name in names)


def obey_term() -> None:
    """End in order at SIGTERM, so that nothing is left behind."""

    def leave(*_arguments: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)
