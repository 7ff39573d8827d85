"""A runtime for one test, which needs no server: its workers are the test's own thread."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial

from datamcp.bootstrap.apps import assemble
from datamcp.bootstrap.runtime import Runtime, build
from datamcp.bootstrap.surroundings import Surroundings
from datamcp.config.settings import GlobalConfig
from datamcp.tasks import loop
from datamcp.tasks.notify import NullNotifier
from datamcp.telemetry import LogSubscriber, Telemetry
from datamcp.testing.app import MailboxCelery
from datamcp.testing.clock import FakeClock
from datamcp.testing.inline import InlineWorker
from datamcp.testing.mailbox import Letter
from datamcp.testing.waiting import WorkingListener
from datamcp.testing.watched import WatchedExecutor


@dataclass(frozen=True, repr=False)
class InlineRuntime(Runtime):
    """A runtime whose tasks are run by `drain`, and by whoever waits for one.

    `clock` is the time of the runtime and of its ledger.
    """

    app: MailboxCelery
    executor: WatchedExecutor
    clock: FakeClock
    worker: InlineWorker

    @property
    def published(self) -> Sequence[Letter]:
        """Every message that was sent, in order: `task_id`, `task_type`, `queue`, `priority`."""
        return tuple(self.app.mailbox.sent)

    def close(self) -> None:
        """Close every connection, and the event loop of this thread's coroutines."""
        super().close()
        loop.close()

    def __repr__(self) -> str:
        """Show the ledger and the time: all the rest would fill a page of a failure's report."""
        return f"<InlineRuntime on {self.database.shown} at {self.clock.now().isoformat()}>"


def inline_runtime(config: GlobalConfig, clock: FakeClock | None = None) -> InlineRuntime:
    """Return a runtime on the ledger that is configured, without a broker; close it at the end.

    Raises ConfigError, BackendUnavailable if the database is away.
    """
    clock = clock or FakeClock()
    app = MailboxCelery("datamcp", set_as_current=False)
    parts = build(config, surroundings=_around(app, clock))
    app.has_broker = True
    raised = parts.executor.raised if isinstance(parts.executor, WatchedExecutor) else {}
    worker = InlineWorker(parts, app=app, clock=clock, raised=raised)
    app.work_for = worker.work_for
    made = {field.name: getattr(parts, field.name) for field in fields(Runtime)}
    runtime = InlineRuntime(**made, clock=clock, worker=worker)
    try:
        assemble(runtime)
        runtime.require_ledger()
    except BaseException:
        runtime.close()
        raise
    return runtime


def _around(app: MailboxCelery, clock: FakeClock) -> Surroundings:
    return Surroundings(
        clock=clock,
        now=clock.sql,
        telemetry=Telemetry(LogSubscriber()),
        app=app,
        depths=app.mailbox,
        notifier=NullNotifier(),
        listener=partial(WorkingListener, app),
        executor_class=WatchedExecutor,
    )
