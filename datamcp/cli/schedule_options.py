"""What `datamcp schedule add` and `update` are told: when, with which parameters, and what if."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from datamcp.cli.parameters import Seconds, read_document, read_instant, read_pairs
from datamcp.cli.run import typed
from datamcp.scheduling.schedule import MAX_JITTER
from datamcp.scheduling.target import RunTarget, Target, TaskTarget
from datamcp.tasks.retry import MOST_ATTEMPTS

if TYPE_CHECKING:
    from datamcp.bootstrap.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])

_SPEC = ("timezone", "misfire", "overlap", "jitter")
_TASK = {"priority": "priority", "task_timeout": "timeout", "retries": "retry_count"}
_OPTIONS = (
    click.option(
        "--timezone", metavar="ZONE", help="Whose clocks count, such as Europe/Berlin; else UTC."
    ),
    click.option(
        "--misfire",
        metavar="POLICY",
        help="What becomes of times that passed while no beat ran: skip, fire_once (the last of "
        "them; so by default), catch_up (each, the newest 1,000), catch_up:N (the newest N).",
    ),
    click.option(
        "--overlap",
        metavar="POLICY",
        help="What happens while what was fired last has not ended: allow (so by default), skip, "
        "buffer_one, cancel_other.",
    ),
    click.option(
        "--jitter",
        type=Seconds(min=0, max=MAX_JITTER),
        metavar="SECONDS",
        help="Move each time by up to this; by as much each time that it is asked for.",
    ),
    click.option(
        "--start",
        metavar="INSTANT",
        help="Fire nothing before this ISO 8601 instant, which is local time if it names no zone; "
        "intervals are counted from it. `none`: no such bound.",
    ),
    click.option(
        "--end", metavar="INSTANT", help="Fire nothing after this instant. `none`: no such bound."
    ),
    click.option(
        "--priority", type=click.IntRange(0, 9), help="Of the tasks: 0 to 9; 9 goes first."
    ),
    click.option(
        "--timeout",
        "task_timeout",
        type=Seconds(min=0, min_open=True),
        metavar="SECONDS",
        help="How long an attempt at a task may take.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, MOST_ATTEMPTS - 1),
        metavar="N",
        help="Retries after the first attempt at a task.",
    ),
)


def schedule_options(command: F) -> F:
    """Add the options to a command, which hands them to `read_given` with its parameters."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Given:
    """What was given; what was not is not in it.

    `spec` holds fields of a Spec, `task` fields of a Task. `document` are all parameters, `words`
    single ones.
    """

    spec: Mapping[str, Any]
    task: Mapping[str, Any]
    document: Mapping[str, Any] | None
    words: Mapping[str, str]

    def require_no_task(self) -> None:
        """Raise click.UsageError if something is given that runs of pipelines do not have."""
        if self.task:
            raise click.UsageError(
                "--priority, --timeout and --retries go with a task; a pipeline's steps have their own"
            )

    def parameters(
        self, runtime: "Runtime", target: Target, before: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the parameters of what is fired: those given, single ones over those before.

        None if none are given. Raises what is wrong with the task type or the pipeline.
        """
        if self.document is None and not self.words:
            return None
        values: dict[str, Any] = dict(self.words)
        match target:
            case TaskTarget():
                kind = runtime.types.resolve(target.task.task_type)
                values = kind.parameters.parse(self.words)
            case RunTarget():
                found = runtime.pipelines.sync.get_pipeline(target.pipeline_id)
                values = typed(found.definition, dict(self.words))
        return {**(before if self.document is None else self.document), **values}


def read_given(options: Mapping[str, Any], schedule: str | None) -> Given:
    """Return what the options say; raises click.UsageError."""
    spec = {name: options[name] for name in _SPEC if options[name] is not None}
    if schedule is not None:
        spec["schedule"] = schedule
    for name in ("start", "end"):
        text = options[name]
        if text is not None:
            spec[name] = None if text == "none" else read_instant(text, f"--{name}")
    task = {field: options[name] for name, field in _TASK.items() if options[name] is not None}
    document = None if options["document"] is None else read_document(options["document"])
    return Given(spec=spec, task=task, document=document, words=read_pairs(options["pairs"]))
