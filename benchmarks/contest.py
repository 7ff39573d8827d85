"""The run: sides, calibration, interleaved rounds, and then the counts and the profiles.

All sides have their worker up while rounds are played, so that one round of one scenario is side
after side without a pause: A B A B. Counts and profiles are taken after that, each side alone, as
both cost time of their own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine, probes, profiles
from benchmarks.commits import cost_of_commit
from benchmarks.datamcp_stack import Datamcp, DatamcpCanvas, DatamcpHost
from benchmarks.measure import percentile
from benchmarks.meter import CountingMeter, Meter
from benchmarks.outcome import Found, Outcome, Side
from benchmarks.raw_celery import PREFETCHES, RawCelery, RawHost, RawIgnored
from benchmarks.rival import Ledger, Pool, Rival
from benchmarks.scenarios import Laps, Scenario, Size, drain, warm_up
from benchmarks.servers import Servers

_MANY_LAPS = 20  # from so many on, a 95th percentile means something
_LEDGERS: tuple[Ledger, ...] = ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    scenarios: Sequence[Scenario]
    rounds: int = 5
    slots: int = 2
    quick: bool = False
    profile: bool = False
    quiet: float = 0.0
    """Seconds that each side of each round may wait for other processes to be quiet."""
    ledgers: Sequence[Ledger] = _LEDGERS

    def size(self, scenario: Scenario) -> Size:
        """Return how much one round of a scenario is."""
        return scenario.quick if self.quick else scenario.size

    @property
    def calibration(self) -> Size:
        """How long a drain decides about the prefetch."""
        return Size(200 if self.quick else 2000)

    @property
    def commits(self) -> int:
        """How many commits are timed in a round."""
        return 50 if self.quick else 300


@dataclass
class Contest:
    """Plays a plan and fills an outcome; `tell` hears what is going on."""

    plan: Plan
    outcome: Outcome
    servers: Servers
    folder: Path
    tell: Callable[[str], None]
    _rivals: list[Rival] = field(default_factory=list)
    _raw: RawHost | None = None

    def run(self) -> None:
        """Play everything; raises WrongResultError if a round is not right."""
        with ExitStack() as stack:
            self._enter(stack)
            pools = list(dict.fromkeys(scenario.pool for scenario in self.plan.scenarios))
            for pool in pools:
                self._play_pool(pool, [each for each in self.plan.scenarios if each.pool == pool])
            for rival in self._rivals:
                self.outcome.settings[rival.name] = dict(rival.settings)

    def _enter(self, stack: ExitStack) -> None:
        """Make the sides, in the order of a round."""
        self._raw = RawHost(self._new_folder("raw"), self.servers)
        hosts = [
            DatamcpHost(self._new_folder(ledger), self.servers, ledger)
            for ledger in self.plan.ledgers
        ]
        self._rivals = [RawCelery(self._raw, self.servers)]
        self._rivals += [Datamcp(host) for host in hosts]
        self._rivals += [RawIgnored(self._raw, self.servers)]
        self._rivals += [DatamcpCanvas(host) for host in hosts if host.ledger == "postgresql"]
        for rival in self._rivals:
            stack.callback(rival.close)
            self.outcome.ledgers[rival.name] = rival.ledger

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    # One kind of pool.

    def _play_pool(self, pool: Pool, scenarios: Sequence[Scenario]) -> None:
        self._calibrate(pool)
        found = [self._new_found(scenario) for scenario in scenarios]
        rivals = [rival for rival in self._rivals if any(_plays(rival, s) for s in scenarios)]
        with self._workers(pool, rivals):
            for number in range(1, self.plan.rounds + 1):
                self._play_round(number, rivals, list(zip(scenarios, found, strict=True)))
        for host_rivals in _by_host(rivals):
            with self._workers(pool, host_rivals, probe=probes.COUNT):
                for scenario, where in zip(scenarios, found, strict=True):
                    for rival in host_rivals:
                        if _plays(rival, scenario):
                            self._count(rival, scenario, where.sides[rival.name])
        if self.plan.profile and pool == "prefork":
            for scenario, where in zip(scenarios, found, strict=True):
                for rival in rivals:
                    if _plays(rival, scenario):
                        self._profile(rival, scenario, where.sides[rival.name])

    def _calibrate(self, pool: Pool) -> None:
        """Find the rival's best prefetch."""
        raw, rival = self._raw, self._rivals[0]
        assert raw is not None  # noqa: S101  made by `_enter`
        rates: dict[int, float] = {}
        for prefetch in PREFETCHES:
            raw.prefetch = prefetch
            with self._workers(pool, [rival]):
                (cost,) = drain(rival, self.plan.calibration, Meter(raw, self.servers))
            rates[prefetch] = 1 / cost
            self.tell(f"raw Celery, {pool}, prefetch {prefetch}: {rates[prefetch]:,.0f} tasks/s")
        raw.prefetch = max(rates, key=lambda prefetch: rates[prefetch])
        self.outcome.calibration[pool] = {str(each): rate for each, rate in rates.items()}

    @contextmanager
    def _workers(
        self, pool: Pool, rivals: Sequence[Rival], *, probe: str | None = None
    ) -> Iterator[None]:
        """Have the workers of these sides up and warm."""
        first_of_each = [of_host[0] for of_host in _by_host(rivals)]
        with ExitStack() as stack:
            for rival in first_of_each:
                stack.callback(rival.host.stop)
                rival.host.start(pool, self.plan.slots, probe=probe)
            for rival in first_of_each:
                warm_up(rival)
            yield

    # Rounds.

    def _play_round(
        self, number: int, rivals: Sequence[Rival], scenarios: Sequence[tuple[Scenario, Found]]
    ) -> None:
        for scenario, found in scenarios:
            for ledger in self.plan.ledgers:
                cost = cost_of_commit(self.servers, ledger, self.plan.commits)
                found.commits.setdefault(ledger, []).append(cost)
            for rival in rivals:
                if _plays(rival, scenario):
                    laps = self._play(rival, scenario, found.sides[rival.name])
                    cost = scenario.cost(laps)
                    self.tell(f"round {number}, {scenario.name}, {rival.name}: {cost * 1e3:.3f} ms")

    def _play(self, rival: Rival, scenario: Scenario, side: Side) -> Laps:
        """Play one side once; again, while other processes disturb it and there is patience."""
        size = self.plan.size(scenario)
        deadline = time.monotonic() + self.plan.quiet
        while True:
            machine.wait_for_quiet(deadline)
            meter = Meter(rival.host, self.servers)
            laps = scenario.play(rival, size, meter)
            if meter.others < machine.QUIET or time.monotonic() > deadline:
                break
            side.repeated += 1
        side.costs.append(scenario.cost(laps))
        if len(laps) >= _MANY_LAPS:
            side.p95.append(percentile(laps, 95))
        for name, seconds in meter.usage.cpu.items():
            cost = meter.others if name == "others" else seconds / size.tasks
            side.cpu[name] = side.cpu.get(name, 0.0) + cost / self.plan.rounds
        return laps

    # Counts and profiles.

    def _count(self, rival: Rival, scenario: Scenario, side: Side) -> None:
        own = rival.host.folder / "own-statements"
        meter = CountingMeter(rival.host, self.servers, ledger=rival.ledger, own=own)
        size = self.plan.size(scenario)
        scenario.play(rival, size, meter)
        counts = meter.usage.counts
        side.requests = {
            "commands": counts.commands / size.tasks,
            "round_trips": counts.round_trips / size.tasks,
        }
        if rival.ledger is not None:
            side.requests["statements"] = counts.statements / size.tasks
            side.requests["commits"] = counts.commits / size.tasks

    def _profile(self, rival: Rival, scenario: Scenario, side: Side) -> None:
        self.tell(f"profile of {scenario.name}, {rival.name}")
        size = self.plan.size(scenario)
        producer = rival.host.folder / "producer.prof"
        meter = profiles.ProfilingMeter(rival.host, self.servers)
        with self._workers(scenario.pool, [rival], probe=probes.PROFILE):
            scenario.play(rival, size, meter)
        meter.save(producer)
        side.profile = profiles.collect(rival.host, producer, size.tasks)

    def _new_found(self, scenario: Scenario) -> Found:
        size = self.plan.size(scenario)
        found = Found(
            name=scenario.name,
            title=scenario.title,
            size=str(size),
            measure=scenario.target.measure,
            bound=scenario.target.bound,
            is_rate=scenario.is_rate,
            note=scenario.note,
        )
        found.sides = {rival.name: Side() for rival in self._rivals if _plays(rival, scenario)}
        self.outcome.scenarios.append(found)
        return found


def _plays(rival: Rival, scenario: Scenario) -> bool:
    return rival.scenarios is None or scenario.name in rival.scenarios


def _by_host(rivals: Sequence[Rival]) -> list[list[Rival]]:
    hosts: dict[int, list[Rival]] = {}
    for rival in rivals:
        hosts.setdefault(id(rival.host), []).append(rival)
    return list(hosts.values())
