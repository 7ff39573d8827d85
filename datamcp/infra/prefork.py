"""Celery's pool of processes: what its processes have got is theirs, also when a worker ends.

When a consumer closes, Celery 5.7 forgets the jobs that no process has said to have begun. One that
a process has got already runs all the same, and the process then waits for half a minute for the
worker to take note of its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.concurrency.asynpool import AsynPool


@contextmanager
def keeping_sent(pool: Any) -> Iterator[None]:
    """Have a pool that forgets jobs in the block know those that its processes have got."""
    processes = getattr(pool, "_pool", None)
    if not isinstance(processes, AsynPool):
        yield
        return
    jobs = processes._cache  # noqa: SLF001  nothing else knows them
    before = dict(jobs)
    yield
    for number, job in before.items():
        process = job._write_to  # noqa: SLF001  as above
        if process is not None and process._is_alive() and not job.ready():  # noqa: SLF001  as above
            jobs.setdefault(number, job)
