"""What a stretch of work costs: CPU by process, commands, round trips, statements, commits."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil
import redis
from sqlalchemy import make_url

from benchmarks import probes
from benchmarks.commits import connect
from benchmarks.rival import Host, Ledger
from benchmarks.servers import Servers

_OWN = frozenset({"info", "config|get", "client|setinfo", "hello"})
"""Commands that are not counted: they are the meter's, or a connection's."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests to the servers, all together."""

    commands: int = 0  # of Redis
    round_trips: int = 0  # to Redis: requests read from a socket
    statements: int = 0
    commits: int = 0  # of something written

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum."""
        return Counts(
            *(getattr(self, part.name) + getattr(other, part.name) for part in fields(self))
        )


@dataclass(slots=True)
class Usage:
    """What the stretches so far have used, in seconds."""

    elapsed: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    """CPU seconds by who used them: producer, worker, pool, broker, database, others."""
    counts: Counts = field(default_factory=Counts)


class Meter:
    """Measures stretches of one side's work."""

    def __init__(self, host: Host, servers: Servers) -> None:
        """Take the worker and the servers."""
        self.usage = Usage()
        self._host = host
        self._servers = servers

    @property
    def others(self) -> float:
        """CPUs that strangers have used in the stretches so far."""
        return self.usage.cpu.get("others", 0.0) / max(self.usage.elapsed, 1e-9)

    @contextmanager
    def section(self) -> Iterator[None]:
        """Add what is used while the block runs."""
        gc.collect()
        before, began = self._cpu(), time.perf_counter()
        yield
        elapsed, after = time.perf_counter() - began, self._cpu()
        self.usage.elapsed += elapsed
        for name, seconds in after.items():
            used = max(seconds - before.get(name, 0.0), 0.0)
            self.usage.cpu[name] = self.usage.cpu.get(name, 0.0) + used

    def _cpu(self) -> dict[str, float]:
        """Return the CPU seconds of everybody so far."""
        used = {"producer": _seconds(psutil.Process())}
        if self._host.pid is not None:
            worker = psutil.Process(self._host.pid)
            used |= {"worker": _seconds(worker), "pool": _children(worker)}
        if self._servers.broker_pid is not None:
            used["broker"] = _seconds(psutil.Process(self._servers.broker_pid))
        if self._servers.database_pid is not None:
            server = psutil.Process(self._servers.database_pid)
            used["database"] = _seconds(server) + _children(server)
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + getattr(times, "irq", 0.0)
        busy += getattr(times, "softirq", 0.0) + getattr(times, "steal", 0.0)
        return {**used, "others": busy - sum(used.values())}


class CountingMeter(Meter):
    """Also counts requests; the worker must have been started with `probes.COUNT`."""

    def __init__(self, host: Host, servers: Servers, *, ledger: Ledger | None, own: Path) -> None:
        """Take the worker, the servers, what keeps the tasks, and a file for our own statements."""
        super().__init__(host, servers)
        self._ledger = ledger
        self._own = own

    @contextmanager
    def section(self) -> Iterator[None]:
        """Add what is used and asked for while the block runs."""
        with ExitStack() as stack:
            client = stack.enter_context(self._servers.redis())
            marks = [(path, _size(path)) for path in (self._host.statements, self._own)]
            before, transactions = redis_requests(client), self._transactions()
            with super().section(), probes.counting(self._own):
                yield
            after = redis_requests(client)
            asked = [probes.read(path, mark) for path, mark in marks]
            commits = sum(each.commits for each in asked)
            if transactions is not None:
                commits = (self._transactions() or 0) - transactions
            self.usage.counts += Counts(
                commands=after[0] - before[0],
                round_trips=after[1] - before[1] - 2,  # the last question takes two
                statements=sum(each.statements for each in asked),
                commits=commits,
            )

    def _transactions(self) -> int | None:
        """Return how many transactions have written to PostgreSQL so far, as the server counts."""
        if self._ledger != "postgresql":
            return None
        with (
            closing(connect(make_url(self._servers.postgresql_url))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])


def redis_requests(client: "redis.Redis") -> tuple[int, int]:
    """Return how many commands a Redis has run, and how many requests it has read."""
    commands: Mapping[str, Mapping[str, int]] = client.info("commandstats")
    named = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in commands.items()}
    total = sum(calls for name, calls in named.items() if name not in _OWN)
    return total, int(client.info("stats").get("total_reads_processed", 0))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _children(process: psutil.Process) -> float:
    """Return the CPU seconds of a process's children: the living, and those that have ended."""
    times = process.cpu_times()
    total = float(times.children_user + times.children_system)
    for child in process.children(recursive=True):
        try:
            total += _seconds(child)
        except psutil.NoSuchProcess:
            continue
    return total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
