"""Where the time of one task goes, from the profiles of a scenario played once under cProfile.

cProfile makes Python code look slower than it is, and calls into C and the system as fast as they
are; it is the order of the parts that counts. Only time in which a process does something, or
waits for an answer, is shown: not the time in which it waits for work.
"""

import cProfile
import pstats
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.meter import Meter
from benchmarks.probes import MAIN_PROFILE, POOL_PROFILE
from benchmarks.rival import Host
from benchmarks.servers import Servers

Profile = dict[str, dict[str, dict[str, float]]]
"""Milliseconds per task: of each process (producer, main, pool), by `parts` and by `functions`."""

Function = tuple[str, int, str]
"""A function as cProfile names it: file, line, name."""

_SHOWN = 12  # functions
_SMALL = 0.001  # ms per task

_WAITS = (
    (re.compile(r"psycopg2"), "answers of PostgreSQL"),
    (re.compile(r"sqlite3"), "SQLite"),
    (re.compile(r"recv|send|sendmsg|socket"), "socket of Redis"),
)
_IDLE = re.compile(r"poll|epoll|select|acquire|SemLock|posix\.read|time\.sleep|'wait'")
_PACKAGE = re.compile(r"site-packages/([^/.]+)|/(datamcp|benchmarks)/")


class ProfilingMeter(Meter):
    """Profiles the producer in its stretches of work."""

    def __init__(self, host: Host, servers: Servers) -> None:
        """Take the worker and the servers."""
        super().__init__(host, servers)
        self._profile = cProfile.Profile()

    @contextmanager
    def section(self) -> Iterator[None]:
        """Profile this thread while the block runs."""
        with super().section():
            self._profile.enable()
            try:
                yield
            finally:
                self._profile.disable()

    def save(self, path: Path) -> None:
        """Write down all stretches so far."""
        self._profile.dump_stats(path)


def collect(host: Host, producer: Path, tasks: int) -> Profile:
    """Return the profiles of the producer and of the worker, and remove their files."""
    found = {
        "producer": [producer],
        "main": [*host.folder.glob(MAIN_PROFILE)],
        "pool": [*host.folder.glob(POOL_PROFILE)],
    }
    profile = {name: _summary(paths, tasks) for name, paths in found.items() if paths}
    for paths in found.values():
        for path in paths:
            path.unlink()
    return profile


def _summary(paths: Iterable[Path], tasks: int) -> dict[str, dict[str, float]]:
    names = [str(path) for path in paths]
    stats: Mapping[Function, Any] = pstats.Stats(*names).stats  # type: ignore[attr-defined]
    parts: defaultdict[str, float] = defaultdict(float)
    functions: defaultdict[str, float] = defaultdict(float)
    for function, (_, _, _, cumulative, _) in stats.items():
        for part, seconds in _own(function, stats[function]):
            parts[part] += seconds * 1e3 / tasks
        if part_of(function) == "datamcp":
            functions[_shown(function)] += cumulative * 1e3 / tasks
    return {"parts": _largest(parts), "functions": _largest(functions)}


def _own(function: Function, entry: Any) -> Iterator[tuple[str, float]]:
    """Yield the parts that a function's own time belongs to; what C does belongs to its callers."""
    _, _, own, _, callers = entry
    part = part_of(function)
    if part is not None:
        yield part, own
        return
    if _IDLE.search(function[2]):
        return
    for caller, (_, _, seconds, _) in callers.items():
        yield part_of(caller) or "Python", seconds


def part_of(function: Function) -> str | None:
    """Return the part that a function belongs to; None for C code of Python's own."""
    file, _, name = function
    if file == "~":
        return next((part for pattern, part in _WAITS if pattern.search(name)), None)
    match = _PACKAGE.search(file)
    return (match[1] or match[2]) if match else "Python"


def _shown(function: Function) -> str:
    file, _, name = function
    return f"{file.rpartition('/datamcp/')[2]}:{name}"


def _largest(values: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(values.items(), key=lambda item: -item[1])[:_SHOWN]
    return {name: round(value, 4) for name, value in ordered if value > _SMALL}
