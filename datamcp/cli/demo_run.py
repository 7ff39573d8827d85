"""The demo's run: what is printed of it, and how its processes are kept alive meanwhile."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.progress import follow
from datamcp.cli.tables import parquet_table
from datamcp.clock import SystemClock
from datamcp.config.redaction import redact_url
from datamcp.errors import BackendUnavailable, StackError
from datamcp.pipelines.status import PipelineStatus
from datamcp.stack.losses import Losses
from datamcp.stack.record import write
from datamcp.stack.stack import Died, Stack
from datamcp.tasks.states import FINAL

_DELAYS = {
    "flights": "flights",
    "cancelled": "can-\ncelled",
    "mean_departure_delay": "dep.\nmean",
    "median_departure_delay": "\nmedian",
    "mean_arrival_delay": "arr.\nmean",
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


class DemoRun:
    """One run of the pipeline on a stack."""

    def __init__(
        self, stack: Stack, runtime: Runtime, shown: Console, *, command: Callable[[str], str]
    ) -> None:
        """Take the processes, the runtime, where to print, and how other commands are called."""
        self._stack = stack
        self._runtime = runtime
        self._shown = shown
        self._command = command
        self._clock = SystemClock()
        self._losses = Losses(runtime)

    def start(self) -> None:
        """Start the processes."""
        leftovers = self._stack.leftovers
        self._losses.add(leftovers.owed if leftovers is not None else ())
        self._stack.start()
        self._tell_others()

    def introduce(self) -> None:
        """Say what runs, and where."""
        self._line("broker", redact_url(self._stack.broker_url))
        self._line("ledger", self._runtime.database.shown)
        self._line("workers", f"{', '.join(self._stack.pids)} (logs: {_near(self._stack.logs)})")

    def follow(self, pipeline: str, timeout: float) -> PipelineStatus:
        """Run the pipeline to its end, and keep its processes alive meanwhile.

        Raises StackError, which names the run and its unfinished steps, if it does not end.
        """
        pipelines = self._runtime.pipelines.sync
        run_id = pipelines.submit(pipeline, triggered_by="demo").run_id
        deadline = self._clock.monotonic() + timeout

        def tend() -> None:
            self._revive()
            if self._clock.monotonic() > deadline:
                raise StackError(f"it did not end within {timeout:g} s")

        def look() -> PipelineStatus:
            return pipelines.monitor_execution(run_id)

        try:
            self._line("run", run_id)
            self._shown.print()
            return follow(self._shown, lambda: [look()], self._clock, each_look=tend, is_kept=True)[
                0
            ]
        except (StackError, BackendUnavailable) as error:
            steps = [name for name, step in look().tasks.items() if step.state not in FINAL]
            self._abandon(run_id)
            message = f"run {run_id} stopped at {', '.join(steps) or 'its end'}: {error}"
            raise StackError(message) from error
        except BaseException:
            self._abandon(run_id)
            raise

    def show_results(self, status: PipelineStatus) -> None:
        """Print the tables of a run, and where its files and its history are."""
        for step, (title, columns) in TABLES.items():
            self._shown.print()
            self._shown.print(parquet_table(str(status.tasks[step].output), title, columns))
        self._shown.print()
        self._line("report", _near(status.tasks["report"].output))
        self._line("table", _near(status.tasks["save"].output))
        self._line("files", _near(self._runtime.artifacts.run_folder(status.run_id)))
        self._line("history", self._command(f"pipeline status {status.run_id}"))
        self._line("", self._command(f"task list --run {status.run_id}"))

    def _line(self, name: str, value: str) -> None:
        self._shown.print(f"[dim]{name:8}[/] ", end="")
        self._shown.print(value, soft_wrap=True, markup=False)

    def _revive(self) -> None:
        """Start anew what died, and give back to the queue what it was running."""
        events = self._stack.tend()
        for event in events:
            if isinstance(event, Died):
                self._shown.print(f"[yellow]{event.reason}; started again[/]")
                self._losses.add([event.process_id] if event.process_id else [])
        if events:
            self._tell_others()
        self._losses.give_back()

    def _abandon(self, run_id: str) -> None:
        """End a run that can't go on here, so that its history tells so."""
        self._runtime.pipelines.sync.cancel_pipeline(run_id)
        self._stack.stop()
        self._losses.add([one.process_id for one in self._stack.records() if one.process_id])
        self._losses.give_back()

    def _tell_others(self) -> None:
        """Let other commands of this folder find the stack."""
        write(self._stack.folder, self._stack.record())


def _near(path: object) -> str:
    """Return a path as seen from the current folder."""
    full, here = Path(str(path)), Path.cwd()
    return str(full.relative_to(here) if full.is_relative_to(here) else full)
