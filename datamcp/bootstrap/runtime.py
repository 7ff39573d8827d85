"""The runtime: everything, built once, and held together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from datamcp.agents.manager import AgentManager
from datamcp.bootstrap.assembly import Assembly
from datamcp.bootstrap.surroundings import Surroundings, real_surroundings
from datamcp.bootstrap.types import InstalledTypes
from datamcp.config.settings import GlobalConfig
from datamcp.config.system import Environment
from datamcp.infra import migrate
from datamcp.infra.database import Database
from datamcp.pipelines.exporter import RunExporter
from datamcp.pipelines.old_runs import OldRuns
from datamcp.pipelines.orchestrator import PipelineOrchestrator
from datamcp.presence.ledger import PresenceLedger
from datamcp.scheduling.fire import Firer
from datamcp.scheduling.scheduler import TaskScheduler
from datamcp.scheduling.schedules import Schedules
from datamcp.scheduling.start import Starters
from datamcp.storage.store import Artifacts
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.notify import RedisNotifier
from datamcp.tasks.reconcile import Depths, Reconciler
from datamcp.tasks.rounds import Rounds
from datamcp.tasks.settle import Settler
from datamcp.tasks.tasks import Tasks
from datamcp.tasks.waiter import Listener


@dataclass(frozen=True)
class Runtime:
    """Everything, ready for use. Safe to share between threads; close it at the end."""

    config: GlobalConfig
    app: LedgerCelery
    database: Database
    types: InstalledTypes
    artifacts: Artifacts
    tasks: Tasks
    agents: AgentManager
    pipelines: PipelineOrchestrator
    exporter: RunExporter
    scheduler: TaskScheduler
    schedules: Schedules
    starters: Starters
    firer: Firer
    executor: Executor
    settler: Settler
    reconciler: Reconciler
    rounds: Rounds
    old_runs: OldRuns
    ledger: TaskLedger
    depths: Depths
    presence: PresenceLedger
    listener: Callable[[], Listener] | None
    """Who hears notices as they come; None where they are not told."""
    _closers: tuple[Callable[[], Any], ...] = field(repr=False)

    def require_ledger(self) -> None:
        """Make sure that the ledger is there and fits; in development and testing, make an empty one.

        Raises BackendUnavailable, or SchemaVersionError in a line that says what to do.
        """
        environment = self.config.system.environment
        may_create = environment in {Environment.DEVELOPMENT, Environment.TESTING}
        migrate.require(self.database, may_create=may_create)

    def close(self) -> None:
        """Close every connection and stop every thread."""
        for close in self._closers:
            close()

    def __enter__(self) -> Self:
        """Return the runtime itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def build(config: GlobalConfig, *, surroundings: Surroundings | None = None) -> Runtime:
    """Put all parts together; opens no connection and imports no agent.

    Without `surroundings` it is in the real ones. Raises ConfigError.
    """
    outside = real_surroundings(config) if surroundings is None else surroundings
    parts = Assembly(config, outside)
    parts.app.enqueuer = parts.enqueuer
    parts.app.executor, parts.app.settler = parts.executor, parts.settler
    parts.app.logs = parts.logs
    return Runtime(
        config=config,
        app=parts.app,
        database=parts.database,
        types=parts.types,
        artifacts=parts.artifacts,
        tasks=parts.tasks,
        agents=parts.agents,
        pipelines=parts.pipelines,
        exporter=parts.exporter,
        scheduler=parts.scheduler,
        schedules=parts.schedules,
        starters=parts.starters,
        firer=parts.firer,
        executor=parts.executor,
        settler=parts.settler,
        reconciler=parts.reconciler,
        rounds=parts.rounds,
        old_runs=parts.old_runs,
        ledger=parts.ledger,
        depths=outside.depths,
        presence=parts.presence,
        listener=outside.listener if isinstance(outside.notifier, RedisNotifier) else None,
        _closers=(
            parts.task_waiter.close,
            parts.run_waiter.close,
            outside.notifier.close,
            lambda: parts.threads.shutdown(cancel_futures=True),
            parts.schedule_store.close,
            parts.app.close,
            parts.database.close,
            parts.artifacts.close,
        ),
    )
