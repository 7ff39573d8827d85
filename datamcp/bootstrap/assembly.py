"""How the parts of a runtime are put together: each is made once, when another first needs it."""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

from billiard.exceptions import SoftTimeLimitExceeded

from datamcp.agents.celery_tasks import CeleryTasks
from datamcp.agents.manager import AgentManager
from datamcp.agents.registry import AgentTypes
from datamcp.bootstrap.surroundings import Surroundings
from datamcp.bootstrap.types import InstalledTypes, has_capability
from datamcp.clock import SystemClock
from datamcp.config.settings import GlobalConfig
from datamcp.errors import ConfigError
from datamcp.infra import celery as celery_settings
from datamcp.infra.database import Database
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
from datamcp.pipelines.status import RunState
from datamcp.pipelines.trigger import Trigger
from datamcp.presence.ledger import PresenceLedger
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks.answer import BackendAnswers
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.claim import Claimer
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.queues import is_redis
from datamcp.tasks.reconcile import Reconciler
from datamcp.tasks.settle import Settler
from datamcp.tasks.task import TaskResult
from datamcp.tasks.tasks import Tasks, finished
from datamcp.tasks.waiter import Waiter

BEAT_SCHEDULER = "datamcp.scheduling.beat:LedgerScheduler"


class Assembly:
    """The parts of one runtime, by name. To make a part opens no connection."""

    def __init__(self, config: GlobalConfig, surroundings: Surroundings) -> None:
        """Take the configuration, and what is outside."""
        self._config = config
        self._outside = surroundings
        self._telemetry = surroundings.telemetry
        self._clock = surroundings.clock

    # What there is to run, and where it is kept.

    @cached_property
    def database(self) -> Database:
        """The database of the ledger; raises ConfigError if none is configured."""
        if self._config.storage.database_url is None:
            raise ConfigError(
                "storage.database_url is not set; set it, or `storage.primary_backend: sqlite`"
            )
        return Database(str(self._config.storage.database_url))

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Where files go that are results."""
        return ArtifactStore(str(self._config.storage.artifacts_url))

    @cached_property
    def roots(self) -> AllowedRoots:
        """Where files may be read and written."""
        return AllowedRoots(self._config.storage.allowed_roots, artifacts=self.artifacts.root)

    @cached_property
    def types(self) -> InstalledTypes:
        """Every task type; raises ConfigError if two kinds share a name."""
        timeout = self._config.agent_manager.agent_timeout
        processors = ProcessorRegistry(roots=self.roots, threads=1, memory_limit="1GiB")
        agents = AgentTypes(self._config.agents, default_timeout=timeout)
        kinds = ProcessorTypes(processors)
        celery_tasks = CeleryTasks(
            self._config.agents,
            app=self._outside.app,
            is_taken=lambda name: name in kinds or has_capability(agents, name),
        )
        more = [queue for one in self._config.agents.values() for queue in one.queues]
        return InstalledTypes(agents, kinds, celery_tasks, more)

    @cached_property
    def ledger(self) -> TaskLedger:
        """The rows of tasks."""
        return TaskLedger(self.database, now=self._outside.now)

    @cached_property
    def pipeline_ledger(self) -> PipelineLedger:
        """The rows of pipelines and runs."""
        return PipelineLedger(self.database, now=self._outside.now)

    @cached_property
    def presence(self) -> PresenceLedger:
        """The rows of processes."""
        return PresenceLedger(self.database, now=self._outside.now)

    # Messages.

    @cached_property
    def app(self) -> LedgerCelery:
        """The Celery app, with its queues and settings."""
        app = self._outside.app
        broker_url = self._config.broker.url
        app.has_broker = broker_url is not None
        app.telemetry, app.wall_clock = self._telemetry, self._clock
        app.conf.update(
            celery_settings.settings(
                broker_url=str(broker_url or "memory://"),
                result_url=_result_url(self._config),
                key_prefix=self._config.broker.key_prefix,
                queues=self.types.queues(),
                send_events=self._config.sends_task_events,
                beat_scheduler=BEAT_SCHEDULER,
            )
        )
        return app

    @cached_property
    def publisher(self) -> BrokerPublisher:
        """Who sends hints."""
        return BrokerPublisher(self.app)

    @cached_property
    def reconciler(self) -> Reconciler:
        """Who sends what is due or was lost."""
        return Reconciler(
            ledger=self.ledger,
            types=self.types,
            publisher=self.publisher,
            settler=self.settler,
            depths=self._outside.depths,
            telemetry=self._telemetry,
        )

    # A task's life.

    @cached_property
    def enqueuer(self) -> Enqueuer:
        """Who takes tasks in."""
        return Enqueuer(
            types=self.types,
            ledger=self.ledger,
            publisher=self.publisher,
            clock=self._clock,
            telemetry=self._telemetry,
            default_timeout=self._config.scheduler.task_timeout,
        )

    @cached_property
    def settler(self) -> Settler:
        """Who ends attempts."""
        return Settler(
            ledger=self.ledger,
            continuation=self.runs,
            publisher=self.publisher,
            notifier=self._outside.notifier,
            answers=BackendAnswers(self.app, self._telemetry),
            telemetry=self._telemetry,
        )

    @cached_property
    def executor(self) -> Executor:
        """Who makes attempts."""
        return self._outside.executor_class(
            types=self.types,
            ledger=self.ledger,
            claimer=Claimer(ledger=self.ledger, enqueuer=self.enqueuer, telemetry=self._telemetry),
            settler=self.settler,
            continuation=self.runs,
            artifacts=self.artifacts,
            roots=self.roots,
            clock=self._clock,
            telemetry=self._telemetry,
            timeout_error=SoftTimeLimitExceeded,
        )

    # A run's life.

    @cached_property
    def catalogue(self) -> Catalogue:
        """Definitions that are ready to run."""
        return Catalogue(self.pipeline_ledger, chords=_result_url(self._config) is not None)

    @cached_property
    def sender(self) -> StepSender:
        """Who sends steps."""
        return StepSender(
            self.app,
            types=self.types,
            publisher=self.publisher,
            default_timeout=self._config.scheduler.task_timeout,
        )

    @cached_property
    def runs(self) -> Runs:
        """What follows when a step is settled."""
        return Runs(
            ledger=self.pipeline_ledger,
            catalogue=self.catalogue,
            types=self.types,
            sender=self.sender,
            telemetry=self._telemetry,
        )

    @cached_property
    def trigger(self) -> Trigger:
        """Who starts runs."""
        return Trigger(
            ledger=self.pipeline_ledger,
            catalogue=self.catalogue,
            types=self.types,
            sender=self.sender,
            runs=self.runs,
            clock=self._clock,
        )

    # The façades, and who waits for them.

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Where the awaitable façades do their database work."""
        return ThreadPoolExecutor(self._config.scheduler.max_workers, "datamcp-database")

    @cached_property
    def task_waiter(self) -> Waiter[TaskResult]:
        """Who waits for tasks."""
        return Waiter(
            listener=self._outside.listener(),
            look=partial(finished, self.ledger),
            clock=SystemClock(),  # whoever waits does so in real time
            telemetry=self._telemetry,
        )

    @cached_property
    def run_waiter(self) -> Waiter[RunState]:
        """Who waits for runs."""
        return Waiter(
            listener=self._outside.listener(),
            look=partial(finished_runs, self.pipeline_ledger),
            clock=SystemClock(),
            telemetry=self._telemetry,
        )

    @cached_property
    def tasks(self) -> Tasks:
        """`rt.tasks`."""
        return Tasks(
            ledger=self.ledger,
            enqueuer=self.enqueuer,
            settler=self.settler,
            waiter=self.task_waiter,
            threads=self.threads,
        )

    @cached_property
    def agents(self) -> AgentManager:
        """`rt.agents`."""
        return AgentManager(self._config.agent_manager, tasks=self.tasks)

    @cached_property
    def pipelines(self) -> PipelineOrchestrator:
        """`rt.pipelines`."""
        sync = SyncPipelineOrchestrator(
            ledger=self.pipeline_ledger,
            trigger=self.trigger,
            settler=self.settler,
            waiter=self.run_waiter,
            knows=self.types.knows,
            telemetry=self._telemetry,
        )
        return PipelineOrchestrator(self._config.pipelines, sync=sync, threads=self.threads)


def _result_url(config: GlobalConfig) -> str | None:
    """Return where the results of plain Celery calls are kept: in Redis, if there is one."""
    broker_url = config.broker.url
    if broker_url is not None and is_redis(broker_url.scheme):
        return str(broker_url)
    return None if config.storage.cache_url is None else str(config.storage.cache_url)
