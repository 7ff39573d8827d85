"""The demo's runs: what is printed of them, and how their processes are kept alive meanwhile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from datamcp.bootstrap.runtime import Runtime
from datamcp.cli.demo_results import RESULTS, punctuality
from datamcp.cli.output import show_on
from datamcp.cli.progress import follow
from datamcp.clock import SystemClock
from datamcp.config.redaction import redact_url
from datamcp.errors import BackendUnavailable, StackError
from datamcp.pipelines.status import PipelineStatus
from datamcp.stack.life import Died
from datamcp.stack.losses import Losses
from datamcp.stack.record import write
from datamcp.stack.requests import Requests
from datamcp.stack.stack import Stack
from datamcp.storage.remote import is_remote
from datamcp.tasks.ledger import Death
from datamcp.tasks.states import FINAL


class DemoRun:
    """Runs of pipelines on a stack."""

    def __init__(
        self,
        stack: Stack,
        runtime: Runtime,
        requests: Requests,
        shown: Console,
        *,
        command: Callable[[str], str],
    ) -> None:
        """Take the processes, the runtime, and who hears signals.

        And where to print, and how other commands are called.
        """
        self._stack = stack
        self._runtime = runtime
        self._requests = requests
        self._shown = shown
        self._command = command
        self._clock = SystemClock()
        self._losses = Losses(runtime)

    def start(self) -> None:
        """Start the processes; leave instead, where that was asked for."""
        self._requests.obey()
        leftovers = self._stack.leftovers
        self._losses.add(leftovers.owed if leftovers is not None else (), Death.EXPLAINED)
        self._stack.start()
        self._tell_others()

    def introduce(self) -> None:
        """Say what runs, and where."""
        self._line("broker", redact_url(self._stack.broker_url))
        self._line("ledger", self._runtime.database.shown)
        self._line("workers", f"{', '.join(self._stack.pids)} (logs: {_near(self._stack.logs)})")

    def follow(self, starts: Mapping[str, timedelta], timeout: float) -> Sequence[PipelineStatus]:
        """Run pipelines to their ends, and keep the processes alive meanwhile.

        `starts` tells how long after now each is to begin; what is not to begin at once, beat
        starts. Raises StackError, which names the runs and their unfinished steps, if they do not
        end.
        """
        deadline = self._clock.monotonic() + timeout
        run_ids = [self._submit(pipeline, later) for pipeline, later in starts.items()]

        def tend() -> None:
            self._requests.obey()
            self._revive()
            if self._clock.monotonic() > deadline:
                raise StackError(f"it did not end within {timeout:g} s")

        try:
            self._shown.print()
            look = partial(self._look, run_ids)
            return follow(self._shown, look, self._clock, each_look=tend, is_kept=True)
        except (StackError, BackendUnavailable) as error:
            where = "; ".join(self._unfinished(run_ids))
            self._abandon(run_ids)
            raise StackError(f"{where or 'the demo stopped at its end'}: {error}") from error
        except BaseException:
            self._abandon(run_ids)
            raise

    def show_punctuality(self, ended: Sequence[PipelineStatus]) -> None:
        """Print when each run was due, and when it began."""
        self._shown.print()
        show_on(self._shown, punctuality(ended))

    def show_results(self, status: PipelineStatus) -> None:
        """Print what a run found, and where its files and its history are."""
        for renderable in RESULTS[status.pipeline_id](status, partial(self._value, status)):
            self._shown.print()
            show_on(self._shown, renderable)
        self._shown.print()
        for name, step in (("report", "report"), ("table", "save")):
            if step in status.tasks:
                self._line(name, _near(status.tasks[step].output))
        self._line("files", _near(self._runtime.artifacts.place_of(status.run_id)))
        self._line("history", self._command(f"pipeline status {status.run_id}"))
        self._line("", self._command(f"task list --run {status.run_id}"))

    def _value(self, status: PipelineStatus, step: str) -> Any:
        data = self._runtime.tasks.result(status.tasks[step].task_id).data
        return data["value"] if isinstance(data, dict) and "path" in data else data

    def _submit(self, pipeline: str, later: timedelta) -> str:
        pipelines = self._runtime.pipelines.sync
        due = self._clock.now() + later if later else None
        run_id = pipelines.submit(pipeline, triggered_by="demo", scheduled_at=due).run_id
        when = "" if due is None else f", due {due.astimezone():%H:%M:%S}"
        self._line("run", f"{run_id} ({pipeline}{when})")
        return run_id

    def _look(self, run_ids: Sequence[str]) -> list[PipelineStatus]:
        return [self._runtime.pipelines.sync.monitor_execution(run_id) for run_id in run_ids]

    def _unfinished(self, run_ids: Sequence[str]) -> Iterator[str]:
        """Yield where each run stopped that has not ended."""
        for run in self._look(run_ids):
            if not run.is_final:
                steps = [name for name, step in run.tasks.items() if step.state not in FINAL]
                yield f"run {run.run_id} stopped at {', '.join(steps) or 'its end'}"

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

    def _abandon(self, run_ids: Sequence[str]) -> None:
        """End runs that can't go on here, so that their history tells so."""
        for run_id in run_ids:
            self._runtime.pipelines.sync.cancel_pipeline(run_id)
        self._stack.stop(is_urgent=lambda: self._requests.count > 1)
        ours = [one.process_id for one in self._stack.records() if one.process_id]
        self._losses.add(ours, Death.EXPLAINED)
        self._losses.give_back()

    def _tell_others(self) -> None:
        """Let other commands of this folder find the stack."""
        write(self._stack.folder, self._stack.record())


def _near(path: object) -> str:
    """Return a path as seen from the current folder."""
    if is_remote(str(path)):
        return str(path)
    full, here = Path(str(path)), Path.cwd()
    return str(full.relative_to(here) if full.is_relative_to(here) else full)
