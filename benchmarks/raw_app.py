"""The rival's Celery app: `celery -A benchmarks.raw_app worker`.

The best plain set-up that we know. The broker, the result backend and the prefetch come from the
command line.
"""

from typing import Any

from celery import Celery

from benchmarks import probes, tally

QUEUE = "raw"

SETTINGS: dict[str, Any] = {
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "task_acks_late": False,
    "task_ignore_result": False,
    "task_track_started": False,
    "task_send_sent_event": False,
    "worker_send_task_events": False,
    "task_default_queue": QUEUE,
    "broker_connection_retry_on_startup": True,
}

OPTIONS = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
"""Of each worker."""

app = Celery("benchmarks", set_as_current=False)
app.conf.update(SETTINGS)


@app.task(name="raw.noop")  # type: ignore[untyped-decorator]
def noop(number: int) -> int:
    """Do nothing but be counted."""
    return tally.note(number)


@app.task(name="raw.hold")  # type: ignore[untyped-decorator]
def hold(number: int, gate: str) -> int:
    """Keep a slot busy until the gate is open."""
    return tally.hold(number, gate)


@app.task(name="raw.step")  # type: ignore[untyped-decorator]
def step(number: int, run: int = 0, seconds: float = 0.0) -> int:
    """Be counted as a step of a run, and take so many seconds."""
    return tally.step(number, run, seconds)


probes.attach()
