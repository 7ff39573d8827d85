"""The run: interleaved rounds of all sides, and then the counts.

All sides of one kind of pool have their worker up while rounds are played, so that one round of
one scenario is side after side without a pause: A B A B. Counts are taken after that, each host
alone, as counting costs time of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import probes, profiles
from benchmarks.commits import cost_of_commit
from benchmarks.datamcp_stack import DatamcpHost
from benchmarks.meter import CountingMeter, Meter
from benchmarks.pipelines import plays
from benchmarks.pipelines.ours import ROOM, GatedPipelines, Pipelines
from benchmarks.pipelines.outcome import Found, Outcome
from benchmarks.pipelines.outcome import Side as FoundSide
from benchmarks.pipelines.plays import Values
from benchmarks.pipelines.raw import RawLevels, RawPipelines
from benchmarks.pipelines.scenarios import TABLES, TABLES_AIMS, Scenario
from benchmarks.pipelines.side import Side
from benchmarks.pipelines.statements import per_step
from benchmarks.pipelines.table_input import Input, make_input
from benchmarks.pipelines.tables import CPUS, DatamcpTables, DuckAlone, TableHost, TableSide
from benchmarks.raw_celery import PREFETCHES, RawHost
from benchmarks.rival import Host, Ledger, Pool
from benchmarks.scenarios import Size as DrainSize
from benchmarks.scenarios import drain, warm_up
from benchmarks.servers import Servers

_SLOTS: Mapping[Pool, int] = {"prefork": 2, "threads": 16}
_MANY_SLOTS = {"pipelines.max_concurrent_tasks": "100"}
"""More than there are slots: nobody has to count steps, as where a worker has few slots."""
_CALIBRATION = DrainSize(2000)
_QUICK_PREFETCH = 4
_MEGABYTES, _QUICK_MEGABYTES = 80, 10  # of all files together
_COMMITS = 50  # timed before each round


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be played."""

    scenarios: Sequence[Scenario]
    has_tables: bool = True
    rounds: int = 5
    quick: bool = False
    profile: bool = False
    ledgers: Sequence[Ledger] = ("postgresql", "sqlite")


@dataclass
class Contest:
    """Plays a plan and fills an outcome; `tell` hears what is going on."""

    plan: Plan
    outcome: Outcome
    servers: Servers
    folder: Path
    tell: Callable[[str], None]
    _raw: RawHost = field(init=False)

    def run(self) -> None:
        """Play everything; raises WrongResultError if a round is not right."""
        if self.plan.scenarios:
            with ExitStack() as stack:
                sides = self._sides(stack)
                for pool in dict.fromkeys(each.pool for each in self.plan.scenarios):
                    self._play_pool(pool, sides)
                self._note_settings(sides)
        if self.plan.has_tables:
            with ExitStack() as stack:
                self._play_tables(self._table_sides(stack))

    def _sides(self, stack: ExitStack) -> Sequence[Side]:
        """Make the sides, in the order of a round."""
        self._raw = RawHost(self._new_folder("raw"), self.servers)
        hosts = []
        for ledger in self.plan.ledgers:
            host = DatamcpHost(self._new_folder(ledger), self.servers, ledger)
            host.chosen.update(ROOM, **_MANY_SLOTS)
            hosts.append(host)
        sides: list[Side] = [RawPipelines(self._raw, self.servers)]
        sides += [Pipelines(host) for host in hosts]
        sides += [GatedPipelines(host) for host in hosts if host.ledger == "postgresql"]
        sides += [RawLevels(self._raw, self.servers)]
        for side in sides:
            stack.callback(side.close)
        return sides

    def _table_sides(self, stack: ExitStack) -> Sequence[TableSide]:
        host = TableHost(self._new_folder("tables"), self.servers, self._new_folder("input"))
        sides: list[TableSide] = [DuckAlone(self._new_folder("duckdb")), DatamcpTables(host)]
        for side in sides:
            stack.callback(side.close)
        return sides

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _note_settings(self, sides: Sequence[Side] | Sequence[TableSide]) -> None:
        for side in sides:
            self.outcome.settings[side.name] = dict(side.settings)

    # One kind of pool.

    def _play_pool(self, pool: Pool, sides: Sequence[Side]) -> None:
        scenarios = [each for each in self.plan.scenarios if each.pool == pool]
        playing = [side for side in sides if any(_plays(side, each) for each in scenarios)]
        self.outcome.slots[pool] = _SLOTS[pool]
        self._calibrate(pool, playing)
        found = [self._new_found(scenario, playing) for scenario in scenarios]
        with self._workers(pool, playing):
            for number in range(1, self.plan.rounds + 1):
                for scenario, where in zip(scenarios, found, strict=True):
                    self._note_commit()
                    for side in playing:
                        if _plays(side, scenario):
                            self._play(number, side, scenario, where)
        for of_host in _by_host(playing):
            if of_host[0].ledger is None and self.plan.quick:
                continue
            with self._workers(pool, of_host, probe=probes.COUNT):
                for scenario, where in zip(scenarios, found, strict=True):
                    for side in of_host:
                        if _plays(side, scenario):
                            self._count(side, scenario, where.sides[side.name])

        if self.plan.profile and pool == "prefork":
            for scenario, where in zip(scenarios, found, strict=True):
                for side in playing:
                    if _plays(side, scenario):
                        self._profile(side, scenario, where.sides[side.name])

    def _calibrate(self, pool: Pool, sides: Sequence[Side]) -> None:
        """Find the rival's best prefetch; a quick run takes one."""
        self._raw.prefetch = _QUICK_PREFETCH
        raw = next((side for side in sides if side.host is self._raw), None)
        if raw is None or self.plan.quick:
            return
        rates: dict[int, float] = {}
        for prefetch in PREFETCHES:
            self._raw.prefetch = prefetch
            with self._workers(pool, [raw]):
                (cost,) = drain(raw, _CALIBRATION, Meter(self._raw, self.servers))
            rates[prefetch] = 1 / cost
            self.tell(f"raw Celery, {pool}, prefetch {prefetch}: {rates[prefetch]:,.0f} tasks/s")
        self._raw.prefetch = max(rates, key=lambda prefetch: rates[prefetch])
        self.outcome.prefetch[pool] = {str(each): rate for each, rate in rates.items()}

    @contextmanager
    def _workers(
        self, pool: Pool, sides: Sequence[Side], *, probe: str | None = None
    ) -> Iterator[None]:
        """Have the workers of these sides up and warm."""
        firsts = [of_host[0] for of_host in _by_host(sides)]
        with _started([side.host for side in firsts], pool, _SLOTS[pool], probe):
            for side in firsts:
                warm_up(side)
            yield

    def _note_commit(self) -> None:
        self.outcome.commits.append(cost_of_commit(self.servers, "postgresql", _COMMITS))

    def _play(self, number: int, side: Side, scenario: Scenario, found: Found) -> None:
        size = scenario.quick if self.plan.quick else scenario.size
        meter = Meter(side.host, self.servers)
        values = scenario.play(side, size, meter)
        self._keep(number, found, side.name, values, meter, size.steps)

    def _keep(
        self, number: int, found: Found, name: str, values: Values, meter: Meter, steps: int
    ) -> None:
        side = found.sides[name]
        for figure, value in values.items():
            side.values.setdefault(figure, []).append(value)
        for user, seconds in meter.usage.cpu.items():
            cost = meter.others if user == "others" else seconds / steps
            side.cpu[user] = side.cpu.get(user, 0.0) + cost / self.plan.rounds
        shown = ", ".join(f"{figure} {value:.4g}" for figure, value in values.items())
        self.tell(f"round {number}, {found.name}, {name}: {shown}")

    def _count(self, side: Side, scenario: Scenario, found: FoundSide) -> None:
        size = scenario.quick if self.plan.quick else scenario.size
        own = side.host.folder / "own-statements"
        marks = [(path, _bytes(path)) for path in (side.host.statements, own)]
        meter = CountingMeter(side.host, self.servers, ledger=side.ledger, own=own)
        scenario.play(side, size, meter)
        counts = meter.usage.counts
        found.requests = {
            "commands": counts.commands / size.steps,
            "round_trips": counts.round_trips / size.steps,
        }
        if side.ledger is not None:
            found.requests["statements"] = counts.statements / size.steps
            found.requests["commits"] = counts.commits / size.steps
            found.statements = per_step(marks, size.steps)

    def _profile(self, side: Side, scenario: Scenario, found: FoundSide) -> None:
        self.tell(f"profile of {scenario.name}, {side.name}")
        size = scenario.quick if self.plan.quick else scenario.size
        producer = side.host.folder / "producer.prof"
        meter = profiles.ProfilingMeter(side.host, self.servers)
        with self._workers(scenario.pool, [side], probe=probes.PROFILE):
            scenario.play(side, size, meter)
        meter.save(producer)
        found.profile = profiles.collect(side.host, producer, size.steps)

    def _new_found(self, scenario: Scenario, sides: Sequence[Side]) -> Found:
        found = Found(
            name=scenario.name,
            title=scenario.title,
            size=str(scenario.quick if self.plan.quick else scenario.size),
            aims=scenario.aims,
            note=scenario.note,
            sides={side.name: FoundSide() for side in sides if _plays(side, scenario)},
        )
        self.outcome.scenarios.append(found)
        return found

    # Tables.

    def _play_tables(self, sides: Sequence[TableSide]) -> None:
        total = _QUICK_MEGABYTES if self.plan.quick else _MEGABYTES
        inputs = [self._new_input(f"{n}.csv", total * 10**6 // CPUS) for n in range(CPUS)]
        small = [self._new_input("small.csv", 1)] * CPUS
        self.outcome.slots["tables"] = CPUS
        size = sum(one.size for one in inputs)
        found = Found(
            name=TABLES,
            title="CSV → Parquet → aggregate",
            size=f"{len(inputs)} files, {size / 1e6:.0f} MB together",
            aims=TABLES_AIMS,
            sides={side.name: FoundSide() for side in sides},
        )
        self.outcome.scenarios.append(found)
        with _started([side.host for side in sides], "prefork", CPUS, None):
            for side in sides:
                side.check(small, side.work(small))  # whoever is to work has its modules then
            for number in range(1, self.plan.rounds + 1):
                for side in sides:
                    meter = Meter(side.host, self.servers)
                    values = plays.tables(side, inputs, meter)
                    self._keep(number, found, side.name, values, meter, 2 * len(inputs))
        for side in sides:
            label = f"{side.name}, tables" if side.name in self.outcome.settings else side.name
            self.outcome.settings[label] = dict(side.settings)

    def _new_input(self, name: str, size: int) -> Input:
        return make_input(self.folder / "input", name, size)


@contextmanager
def _started(hosts: Sequence[Host], pool: Pool, slots: int, probe: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        for host in hosts:
            stack.callback(host.stop)
            host.start(pool, slots, probe=probe)
        yield


def _plays(side: Side, scenario: Scenario) -> bool:
    return side.scenarios is None or scenario.name in side.scenarios


def _by_host(sides: Sequence[Side]) -> list[list[Side]]:
    hosts: dict[int, list[Side]] = {}
    for side in sides:
        hosts.setdefault(id(side.host), []).append(side)
    return list(hosts.values())


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
