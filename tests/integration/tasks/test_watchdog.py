from collections.abc import Iterator

import pytest
from support.eventually import eventually
from support.workers import START, Installation, on_database

STALLING = """
import threading

import datamcp
from celery import signals
from datamcp.bootstrap import upkeep
from datamcp.tasks import watchdog

watchdog.STALLED, upkeep.WATCH = 5.0, 0.2  # seconds: a busy machine takes some to connect anew
app = datamcp.worker_app("lab")


@signals.worker_ready.connect(weak=False)
def stall(sender, **_fields):
    def stop_taking():
        sender.task_consumer.cancel()
        print("STALLED", flush=True)

    sender.call_soon(stop_taking)
"""
"""A worker that takes no messages any more, as Celery's have been seen to, and hurries to notice."""


@pytest.fixture(params=["prefork", "threads"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with a worker that has stalled."""
    folder = tmp_path_factory.mktemp("stalled")
    (folder / "stalling.py").write_text(STALLING)
    with on_database("sqlite", request, folder) as found:
        found.start(("stalling", ("worker", "--pool", request.param)), app="stalling")
        eventually(lambda: "STALLED" in found.logs(), timeout=START)
        yield found


def test_a_worker_that_stalls_takes_messages_again(installed: Installation) -> None:
    """It is connected anew, in the same process, and loses nothing."""
    assert installed.run("lab.echo", value=1).data == 1
    assert "worker.stalled" in installed.logs()
