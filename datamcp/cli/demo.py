"""`datamcp demo`: the main job on real data, with the real processes, start to end."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from rich.console import Console

from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.output import console, json_option, messages, print_json
from datamcp.cli.progress import follow
from datamcp.cli.session import FAILED, session
from datamcp.cli.tables import parquet_table
from datamcp.clock import SystemClock
from datamcp.config.loader import load
from datamcp.config.redaction import redact_url
from datamcp.errors import BackendUnavailable, StackError
from datamcp.infra.celery import nodename
from datamcp.pipelines.loader import load as load_pipeline
from datamcp.pipelines.status import PipelineStatus, RunState
from datamcp.public import connect
from datamcp.stack import Stack, beat, worker
from datamcp.tasks.ledger import is_claimed_by
from datamcp.tasks.queues import PIPELINES
from datamcp.tasks.states import FINAL

PIPELINE = "flights"
AGENT = "research"
_DELAYS = {
    "flights": "flights",
    "cancelled": "cancelled",
    "mean_departure_delay": "dep. mean",
    "median_departure_delay": "median",
    "mean_arrival_delay": "arr. mean",
    "share_over_15_min": "late",
}
TABLES = {
    "by_carrier": (
        "Delay by carrier, in minutes (late: departed over 15 minutes after its time)",
        {"airline": "airline", **_DELAYS},
    ),
    "by_hour": ("Delay by scheduled hour of departure", {"hour": "hour", **_DELAYS}),
    "by_weather": (
        "Delay against wind and precipitation at the airport",
        {"factor": "factor", "band": "band", **_DELAYS},
    ),
}
"""The tables that are printed, each with its title and its columns' headings."""


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=50.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the run may take.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, timeout: float, as_json: bool) -> None:
    """Run the `flights` pipeline on real data, with everything it needs.

    Starts a broker, the worker pools `pipelines` and `research`, and beat; registers and triggers
    the pipeline; shows it live, prints its tables, and stops everything that it started. The
    broker is the configured one, else an embedded Valkey; the ledger is the configured database,
    else a SQLite file in the state folder, where the run stays.
    """
    signal.signal(signal.SIGTERM, _leave)
    shown = messages() if as_json else console()
    loaded = session().load()
    definition = load_pipeline(loaded.directory / "pipelines" / f"{PIPELINE}.yaml")
    processes = [worker(PIPELINES, 2), worker(AGENT, 1), beat()]
    stack = Stack(loaded.config, processes, overrides=session().overrides)
    with stack, _runtime(stack) as runtime:
        show = Show(stack, runtime, shown)
        runtime.pipelines.sync.register_pipeline(definition)
        stack.start()
        show.opening()
        status = show.run(timeout)
        if as_json:
            print_json(status)
        else:
            show.results(status)
    shown.print("everything that was started is stopped")
    ctx.exit(0 if status.state is RunState.SUCCEEDED else FAILED)


@contextmanager
def _runtime(stack: Stack) -> Iterator[Runtime]:
    """Give a runtime on the stack's broker."""
    overrides = {**session().overrides, "broker.url": stack.broker_url}
    with connect(load(overrides=overrides).config) as runtime:
        runtime.depths.ready(PIPELINES)  # a broker that is away is told now, not in a worker's log
        yield runtime


def _leave(*_signal: object) -> NoReturn:
    sys.exit(143)


class Show:
    """One run of the pipeline, and what is printed of it."""

    def __init__(self, stack: Stack, runtime: Runtime, shown: Console) -> None:
        """Take the processes, the runtime and where to print."""
        self._stack = stack
        self._runtime = runtime
        self._shown = shown
        self._clock = SystemClock()

    def opening(self) -> None:
        """Say what runs, and where."""
        self._line("broker", redact_url(self._stack.broker_url))
        self._line("ledger", self._runtime.database.shown)
        self._line("workers", f"{PIPELINES}, {AGENT}, beat (logs: {self._stack.logs})")
        self._shown.print()

    def run(self, timeout: float) -> PipelineStatus:
        """Run the pipeline to its end, and keep its processes alive meanwhile.

        Raises StackError, which names the run and its unfinished steps, if it does not end.
        """
        pipelines = self._runtime.pipelines.sync
        run_id = pipelines.submit(PIPELINE, triggered_by="demo").run_id
        deadline = self._clock.monotonic() + timeout

        def tend() -> None:
            self._revive()
            if self._clock.monotonic() > deadline:
                raise StackError(f"it did not end within {timeout:g} s")

        def look() -> PipelineStatus:
            return pipelines.monitor_execution(run_id)

        try:
            return follow(self._shown, look, self._clock, each_look=tend)
        except (StackError, BackendUnavailable) as error:
            steps = [name for name, step in look().tasks.items() if step.state not in FINAL]
            self._abandon(run_id)
            message = f"run {run_id} stopped at {', '.join(steps) or 'its end'}: {error}"
            raise StackError(message) from error
        except BaseException:
            self._abandon(run_id)
            raise

    def results(self, status: PipelineStatus) -> None:
        """Print the tables of a run, and where its files and its history are."""
        if status.state is not RunState.SUCCEEDED:
            self._shown.print(f"run {status.run_id} {status.state}: {status.error_message}")
            return
        for step, (title, columns) in TABLES.items():
            self._shown.print()
            self._shown.print(parquet_table(str(status.tasks[step].output), title, columns))
        self._shown.print()
        self._line("report", str(status.tasks["report"].output))
        self._line("table", str(status.tasks["save"].output))
        self._line("files", str(self._runtime.artifacts.run_folder(status.run_id)))
        self._line("history", f"datamcp pipeline status {status.run_id}")

    def _line(self, name: str, value: str) -> None:
        self._shown.print(f"[dim]{name:8}[/] {value}", soft_wrap=True)

    def _revive(self) -> None:
        """Start anew what died, and give back to the queue what it was running."""
        for ended in self._stack.restart_dead():
            self._shown.print(f"[yellow]{ended}; started again[/]")
            self._give_back(ended.name, ended.pid)

    def _abandon(self, run_id: str) -> None:
        """End a run that can't go on here, so that its history tells so."""
        self._runtime.pipelines.sync.cancel_pipeline(run_id)
        self._stack.stop()
        for name, pids in self._stack.pids.items():
            for pid in pids:
                self._give_back(name, pid)

    def _give_back(self, name: str, pid: int) -> None:
        self._runtime.settler.give_back(is_claimed_by(nodename(name, pid)))
