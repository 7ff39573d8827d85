"""Celery's pool of threads, and what its worker hears of jobs."""

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from datamcp.infra.threads import WakingTaskPool

SOON = 60.0  # seconds


@pytest.fixture
def pool() -> Iterator[WakingTaskPool]:
    """Have a pool of one thread."""
    pool = WakingTaskPool(1)
    pool.start()
    yield pool
    pool.stop()
    for end in (pool._ear, pool._mouth):  # a worker's last as long as its process
        end.close()


def test_a_job_that_raises_is_told(pool: WakingTaskPool) -> None:
    """Or its worker would take its slot for busy for ever: Celery's own pool drops the error."""
    told: SimpleQueue[Any] = SimpleQueue()

    def fail() -> None:
        raise ValueError("unexpected")

    pool.apply_async(fail, callback=told.put, error_callback=told.put)
    assert isinstance(told.get(timeout=SOON).exception.exc, ValueError)
    pool.apply_async(lambda: 7, callback=told.put, error_callback=told.put)
    assert told.get(timeout=SOON) == 7
    assert told.empty()
