from dataclasses import dataclass

import click
import pytest
from celery import signals

from datamcp.bootstrap import apps
from datamcp.bootstrap.apps import command_line_app, worker_app
from datamcp.errors import ConfigError
from datamcp.tasks.celery_app import LedgerCelery

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens on port 1


@dataclass(eq=False)
class Process:
    """What Celery's signals hand over of a worker or of beat."""

    app: LedgerCelery


def start(app: LedgerCelery, kind: str) -> None:
    """Tell that a worker or beat of this app starts, as Celery does."""
    if kind == "worker":
        signals.celeryd_init.send("here", instance=Process(app), conf=app.conf, options={})
    else:
        signals.beat_init.send(Process(app))


@pytest.mark.parametrize("kind", ["worker", "beat"])
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("DATAMCP_STORAGE__DATABASE_URL", "postgresql://127.0.0.1:1/x", "database postgresql://"),
        ("DATAMCP_BROKER__URL", NOWHERE, "broker redis://"),
        ("DATAMCP_BROKER__URL", "", "broker is unreachable: none is configured; set "),
    ],
)
def test_a_process_whose_services_are_away_does_not_start(
    kind: str,
    setting: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It ends with 3 and one line, even where Celery has made a log of stderr."""
    monkeypatch.setenv("DATAMCP_BROKER__URL", NOWHERE)
    monkeypatch.setenv(setting, value)
    with pytest.raises(SystemExit) as ending:
        start(worker_app("research"), kind)
    assert ending.value.code == 3
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"Error: {said}")


def test_an_agent_that_cannot_be_imported_ends_a_worker_with_2(
    broker_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A worker without its tasks would take messages and lose them."""
    monkeypatch.setenv("DATAMCP_BROKER__URL", broker_url)
    monkeypatch.setenv("DATAMCP_AGENTS__LAB__MODULE", "no.such:Lab")
    with pytest.raises(SystemExit) as ending:
        start(worker_app("lab"), "worker")
    assert ending.value.code == 2
    assert (
        capfd.readouterr().err == "Error: agents.lab.module: no module named 'no' can be imported\n"
    )


def test_whatever_else_goes_wrong_ends_a_worker_with_1(
    broker_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Celery would only log it, and go on half prepared."""
    monkeypatch.setenv("DATAMCP_BROKER__URL", broker_url)
    app = worker_app("research")
    app.task_factory = lambda _name: 1 // 0
    with pytest.raises(SystemExit) as ending:
        start(app, "worker")
    assert ending.value.code == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_each_start_repeats_the_warnings(
    kind: str,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is allowed and yet dangerous, or has no effect, is told before any work."""
    monkeypatch.setenv("DATAMCP_BROKER__URL", broker_url)
    monkeypatch.setenv("DATAMCP_PORT", "1")
    app = worker_app("research")
    app.amqp.queues.select = lambda _queues: None
    monkeypatch.setattr(apps, "look_after_beat", lambda _service: None)  # it is told before that
    start(app, kind)
    assert capfd.readouterr().err == "warning: DATAMCP_PORT: is no setting; ignored\n"


def test_a_wrong_configuration_is_an_error_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who imports the app gets the exception."""
    monkeypatch.setenv("DATAMCP_BROKER__ULR", "x")
    with pytest.raises(ConfigError, match=r"broker\.ulr: unknown setting"):
        command_line_app()


def test_a_wrong_configuration_ends_a_command_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Celery's own command would print a traceback."""
    monkeypatch.setenv("DATAMCP_BROKER__ULR", "x")
    with click.Context(click.Command("celery")), pytest.raises(SystemExit) as ending:
        command_line_app()
    assert ending.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Error: invalid configuration: broker.ulr: unknown setting")


def test_a_worker_app_serves_one_pool() -> None:
    """So `celery -A workers.research worker` needs no option."""
    assert worker_app("research").pool_to_serve == "research"
