"""Build everything, once, and hold it together."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from billiard.exceptions import SoftTimeLimitExceeded

from datamcp.agents.manager import AgentManager
from datamcp.agents.registry import AgentTypes
from datamcp.bootstrap.types import InstalledTypes
from datamcp.clock import SystemClock
from datamcp.config.settings import GlobalConfig
from datamcp.config.system import Environment
from datamcp.errors import ConfigError
from datamcp.infra import celery as celery_settings
from datamcp.infra import migrate
from datamcp.infra.database import Database
from datamcp.infra.redis import client_url
from datamcp.pipelines.compiled import Catalogue
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.orchestrator import (
    PipelineOrchestrator,
    SyncPipelineOrchestrator,
    finished_runs,
)
from datamcp.pipelines.processing import ProcessorTypes
from datamcp.pipelines.run import Runs
from datamcp.pipelines.send import StepSender
from datamcp.pipelines.trigger import Trigger
from datamcp.presence.ledger import PresenceLedger
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks.answer import BackendAnswers
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.claim import Claimer
from datamcp.tasks.depths import BrokerDepths
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.notify import NullNotifier, PollingListener, RedisListener, RedisNotifier
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.queues import is_redis
from datamcp.tasks.reconcile import Reconciler
from datamcp.tasks.settle import Settler
from datamcp.tasks.tasks import Tasks, finished
from datamcp.tasks.waiter import Waiter
from datamcp.telemetry import LogSubscriber, Telemetry

BEAT_SCHEDULER = "datamcp.scheduling.beat:LedgerScheduler"


@dataclass(frozen=True)
class Runtime:
    """Everything, ready for use. Safe to share between threads; close it at the end."""

    config: GlobalConfig
    app: LedgerCelery
    database: Database
    types: InstalledTypes
    artifacts: ArtifactStore
    tasks: Tasks
    agents: AgentManager
    pipelines: PipelineOrchestrator
    executor: Executor
    settler: Settler
    reconciler: Reconciler
    depths: BrokerDepths
    presence: PresenceLedger
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


def build(config: GlobalConfig) -> Runtime:
    """Put all parts together; opens no connection and imports no agent.

    Raises ConfigError.
    """
    clock, telemetry = SystemClock(), Telemetry(LogSubscriber())
    database = Database(_database_url(config))
    artifacts = ArtifactStore(str(config.storage.artifacts_url))
    roots = AllowedRoots(config.storage.allowed_roots, artifacts=artifacts.root)
    processors = ProcessorTypes(ProcessorRegistry(roots=roots, threads=1, memory_limit="1GiB"))
    agents = AgentTypes(config.agents, default_timeout=config.agent_manager.agent_timeout)
    types = InstalledTypes(agents, processors)
    app = make_app(config, types)
    publisher = BrokerPublisher(app)
    notifier, make_listener = _notices(config, telemetry)

    ledger, pipeline_ledger = TaskLedger(database), PipelineLedger(database)
    catalogue = Catalogue(pipeline_ledger, chords=_counts_chords(config))
    sender = StepSender(
        app,
        types=types,
        publisher=publisher,
        default_timeout=config.scheduler.task_timeout,
    )
    runs = Runs(
        ledger=pipeline_ledger,
        catalogue=catalogue,
        types=types,
        sender=sender,
        telemetry=telemetry,
    )
    settler = Settler(
        ledger=ledger,
        continuation=runs,
        publisher=publisher,
        notifier=notifier,
        answers=BackendAnswers(app, telemetry),
        telemetry=telemetry,
    )
    enqueuer = Enqueuer(
        types=types,
        ledger=ledger,
        publisher=publisher,
        clock=clock,
        telemetry=telemetry,
        default_timeout=config.scheduler.task_timeout,
    )
    executor = Executor(
        types=types,
        ledger=ledger,
        claimer=Claimer(ledger=ledger, enqueuer=enqueuer, telemetry=telemetry),
        settler=settler,
        continuation=runs,
        artifacts=artifacts,
        roots=roots,
        clock=clock,
        telemetry=telemetry,
        timeout_error=SoftTimeLimitExceeded,
    )
    threads = ThreadPoolExecutor(config.scheduler.max_workers, "datamcp-database")
    make_waiter = partial(Waiter, clock=clock, telemetry=telemetry)
    task_waiter = make_waiter(listener=make_listener(), look=partial(finished, ledger))
    run_waiter = make_waiter(listener=make_listener(), look=partial(finished_runs, pipeline_ledger))
    tasks = Tasks(
        ledger=ledger, enqueuer=enqueuer, settler=settler, waiter=task_waiter, threads=threads
    )
    trigger = Trigger(
        ledger=pipeline_ledger,
        catalogue=catalogue,
        types=types,
        sender=sender,
        runs=runs,
        clock=clock,
    )
    pipelines = SyncPipelineOrchestrator(
        ledger=pipeline_ledger,
        trigger=trigger,
        settler=settler,
        waiter=run_waiter,
        knows=types.knows,
        telemetry=telemetry,
    )
    app.enqueuer, app.telemetry = enqueuer, telemetry
    depths = BrokerDepths(app)
    reconciler = Reconciler(
        ledger=ledger,
        types=types,
        publisher=publisher,
        depths=depths,
        telemetry=telemetry,
    )
    return Runtime(
        config=config,
        app=app,
        database=database,
        types=types,
        artifacts=artifacts,
        tasks=tasks,
        agents=AgentManager(config.agent_manager, tasks=tasks),
        pipelines=PipelineOrchestrator(config.pipelines, sync=pipelines, threads=threads),
        executor=executor,
        settler=settler,
        reconciler=reconciler,
        depths=depths,
        presence=PresenceLedger(database),
        _closers=(
            task_waiter.close,
            run_waiter.close,
            notifier.close,
            lambda: threads.shutdown(cancel_futures=True),
            app.close,
            database.close,
        ),
    )


def make_app(config: GlobalConfig, types: InstalledTypes) -> LedgerCelery:
    """Return the Celery app of an installation, with its queues and settings."""
    app = LedgerCelery("datamcp", set_as_current=False)
    broker_url = config.broker.url
    app.has_broker = broker_url is not None
    app.conf.update(
        celery_settings.settings(
            broker_url=str(broker_url or "memory://"),
            result_url=_result_url(config),
            key_prefix=config.broker.key_prefix,
            queues=types.queues(),
            send_events=config.sends_task_events,
            beat_scheduler=BEAT_SCHEDULER,
        )
    )
    return app


def _database_url(config: GlobalConfig) -> str:
    if config.storage.database_url is None:
        raise ConfigError(
            "storage.database_url is not set; set it, or `storage.primary_backend: sqlite`"
        )
    return str(config.storage.database_url)


def _result_url(config: GlobalConfig) -> str | None:
    """Return where the results of plain Celery calls are kept: in Redis, if there is one."""
    broker_url = config.broker.url
    if broker_url is not None and is_redis(broker_url.scheme):
        return str(broker_url)
    return None if config.storage.cache_url is None else str(config.storage.cache_url)


def _counts_chords(config: GlobalConfig) -> bool:
    return _result_url(config) is not None


def _notices(
    config: GlobalConfig, telemetry: Telemetry
) -> tuple[RedisNotifier | NullNotifier, Callable[[], RedisListener | PollingListener]]:
    """Return how the end of a task is told, and how it is heard."""
    url = client_url(None if config.broker.url is None else str(config.broker.url))
    if url is None:
        return NullNotifier(), PollingListener
    prefix = config.broker.key_prefix
    return RedisNotifier(url, prefix, telemetry), partial(RedisListener, url, prefix)
