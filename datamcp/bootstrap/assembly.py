"""How the parts of a runtime are put together: each is made once, when another first needs it."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

from billiard.common import terminate_handler_fired
from billiard.exceptions import SoftTimeLimitExceeded

from datamcp.agents.celery_tasks import CeleryTasks
from datamcp.agents.manager import AgentManager
from datamcp.agents.registry import AgentTypes
from datamcp.bootstrap.apart import Cleaner
from datamcp.bootstrap.schedules import make_store
from datamcp.bootstrap.surroundings import Surroundings
from datamcp.bootstrap.types import InstalledTypes, has_capability
from datamcp.clock import SystemClock
from datamcp.config.settings import GlobalConfig
from datamcp.errors import ConfigError
from datamcp.infra import celery as celery_settings
from datamcp.infra.database import Database
from datamcp.infra.redis import result_url
from datamcp.pipelines.admission import Admission
from datamcp.pipelines.advance import Advancer, Parts
from datamcp.pipelines.children import Children
from datamcp.pipelines.compiled import Catalogue
from datamcp.pipelines.crowd import Crowd
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.director import Director
from datamcp.pipelines.end import Ends
from datamcp.pipelines.estimates import Estimates
from datamcp.pipelines.exporter import RunExporter
from datamcp.pipelines.history_ledger import HistoryLedger
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.memory import StepMemory
from datamcp.pipelines.notices import LoggedNotices
from datamcp.pipelines.old_runs import OldRuns
from datamcp.pipelines.operate import Operations
from datamcp.pipelines.orchestrator import (
    PipelineOrchestrator,
    SyncPipelineOrchestrator,
    finished_runs,
)
from datamcp.pipelines.prepare import Preparer, RunLimits
from datamcp.pipelines.processing import ProcessorTypes
from datamcp.pipelines.run import Runs
from datamcp.pipelines.run_ledger import RunLedger
from datamcp.pipelines.scheduled import RunStarter, declared_by, schedule_name
from datamcp.pipelines.send import StepSender
from datamcp.pipelines.status import RunState
from datamcp.pipelines.step_ledger import StepLedger
from datamcp.pipelines.supervise import Supervisor
from datamcp.pipelines.trigger import Trigger
from datamcp.pipelines.waiting import Waits
from datamcp.presence.ledger import PresenceLedger
from datamcp.presence.process import SILENT_AFTER
from datamcp.processors.registry import ProcessorRegistry
from datamcp.scheduling.beat import BELL
from datamcp.scheduling.fire import Firer
from datamcp.scheduling.schedule import Source
from datamcp.scheduling.scheduler import SyncTaskScheduler, TaskScheduler
from datamcp.scheduling.schedules import Schedules
from datamcp.scheduling.start import Starters, TaskStarter
from datamcp.scheduling.store import ScheduleStore
from datamcp.storage.roots import AllowedRoots
from datamcp.storage.store import Artifacts, open_artifacts
from datamcp.tasks.ageing import Ageing
from datamcp.tasks.alarm import alarm
from datamcp.tasks.answer import BackendAnswers
from datamcp.tasks.call_ledger import CallLedger
from datamcp.tasks.calls import Exchange
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.claim import Claimer
from datamcp.tasks.dead import DeadRows
from datamcp.tasks.dead_letters import DeadLetters
from datamcp.tasks.enqueue import Enqueuer
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import TaskLedger
from datamcp.tasks.log_ledger import LogLedger
from datamcp.tasks.logs import TaskLogs
from datamcp.tasks.nested import run_nested
from datamcp.tasks.pace import Brevity
from datamcp.tasks.places import Places
from datamcp.tasks.publish import BrokerPublisher
from datamcp.tasks.queues import is_redis
from datamcp.tasks.reconcile import Reconciler
from datamcp.tasks.retention import OldTasks
from datamcp.tasks.retry import RetryPolicy, overridden
from datamcp.tasks.room import QueueRoom
from datamcp.tasks.rounds import Rounds
from datamcp.tasks.settle import Settler
from datamcp.tasks.soon import Soon
from datamcp.tasks.task import TaskResult
from datamcp.tasks.tasks import Tasks, finished
from datamcp.tasks.waiter import Waiter
from datamcp.tasks.wake import Waker
from datamcp.telemetry import Telemetry

CONSUMER = "datamcp.tasks.consumer:LedgerConsumer"
BEAT = "datamcp.scheduling.beat:LedgerBeat"
BEAT_SCHEDULER = "datamcp.scheduling.beat:LedgerScheduler"


class Assembly:
    """The parts of one runtime, by name. To make a part opens no connection."""

    def __init__(self, config: GlobalConfig, surroundings: Surroundings) -> None:
        """Take the configuration, and what is outside."""
        self._config = config
        self._outside = surroundings
        self._telemetry = surroundings.telemetry
        self._clock = surroundings.clock
        logs_runs = config.pipelines.enable_logging
        self._run_telemetry = surroundings.telemetry if logs_runs else Telemetry()

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
    def artifacts(self) -> Artifacts:
        """Where files go that are results."""
        scratch = Path(self._config.system.state_dir) / "scratch"
        return open_artifacts(str(self._config.storage.artifacts_url), scratch)

    @cached_property
    def roots(self) -> AllowedRoots:
        """Where files may be read and written."""
        return AllowedRoots(self._config.storage.allowed_roots, artifacts=self.artifacts.root)

    @cached_property
    def types(self) -> InstalledTypes:
        """Every task type; raises ConfigError if two kinds share a name."""
        timeout = self._config.agent_manager.agent_timeout
        processors = ProcessorRegistry(
            roots=self.roots,
            threads=1,
            memory_limit="1GiB",
            integrations=self._config.integrations,
        )
        agents = AgentTypes(
            self._config.agents, default_timeout=timeout, default_retries=self.retries
        )
        kinds = ProcessorTypes(processors, self._watermark)
        celery_tasks = CeleryTasks(
            self._config.agents,
            app=self._outside.app,
            is_taken=lambda name: name in kinds or has_capability(agents, name),
        )
        more = [queue for one in self._config.agents.values() for queue in one.queues]
        return InstalledTypes(agents, kinds, celery_tasks, more)

    @cached_property
    def retries(self) -> RetryPolicy:
        """How a task is tried again where nothing nearer to it says so."""
        scheduler = self._config.scheduler
        usual = RetryPolicy(delay=scheduler.retry_delay)
        longest = max(usual.max_delay, scheduler.retry_delay)
        return overridden(
            usual.model_copy(update={"max_delay": longest}), None, scheduler.max_retries
        )

    @cached_property
    def ledger(self) -> TaskLedger:
        """The rows of tasks."""
        return TaskLedger(self.database, now=self._outside.now, lease=self._config.scheduler.lease)

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
        app.beat_cls = BEAT
        app.brevity = Brevity(self._config.scheduler.short_task)
        app.conf.update(
            celery_settings.settings(
                broker_url=str(broker_url or "memory://"),
                result_url=_result_url(self._config),
                key_prefix=self._config.broker.key_prefix,
                queues=self.types.queues(),
                send_events=self._config.sends_task_events,
                consumer=CONSUMER,
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
            waker=self.waker,
            ageing=Ageing(self.ledger, self.publisher, now=self._outside.now),
            runs=self.supervisor,
            depths=self._outside.depths,
            slots=lambda: self.presence.slots(SILENT_AFTER),
            telemetry=self._telemetry,
        )

    @cached_property
    def log_ledger(self) -> LogLedger:
        """The lines that tasks have logged."""
        return LogLedger(self.database, now=self._outside.now)

    @cached_property
    def logs(self) -> TaskLogs:
        """Who keeps what attempts log."""
        return TaskLogs(self.log_ledger, clock=SystemClock(), telemetry=self._telemetry)

    @cached_property
    def rounds(self) -> Rounds:
        """Who rescues and sweeps, every two seconds."""
        return Rounds(
            ledger=self.ledger,
            reconciler=self.reconciler,
            settler=self.settler,
            prunes=self._prunes(),
            prune_every=float(self._config.pipelines.cleanup_interval),
            clock=SystemClock(),  # as the database's, it does not stand still
            telemetry=self._telemetry,
        )

    def _prunes(self) -> list[Callable[[int], int]]:
        """Return what removes, of each kind, what is kept too long."""
        kept = float(self._config.scheduler.task_retention)
        logs_kept = float(self._config.monitoring.log_retention)
        old_tasks = OldTasks(self.database, now=self._outside.now)
        return [
            partial(self.log_ledger.prune, logs_kept),
            partial(old_tasks.prune, kept),
            self.old_runs.prune,
            partial(self.schedule_store.prune, kept),
        ]

    @cached_property
    def old_runs(self) -> OldRuns:
        """Who removes runs, and their files."""
        return OldRuns(
            self.pipeline_ledger,
            self.artifacts,
            float(self._config.scheduler.task_retention),
            SystemClock(),
            leave_files_to=Cleaner(SystemClock()).start if self.artifacts.is_remote else None,
        )

    # A task's life.

    @cached_property
    def enqueuer(self) -> Enqueuer:
        """Who takes tasks in."""
        return Enqueuer(
            types=self.types,
            ledger=self.ledger,
            publisher=self.publisher,
            room=self.room,
            clock=self._clock,
            telemetry=self._telemetry,
            default_timeout=self._config.scheduler.task_timeout,
            default_retries=self.retries,
        )

    @cached_property
    def room(self) -> QueueRoom:
        """Who knows whether there is room in a queue."""
        limit = self._config.scheduler.max_queue_size
        return QueueRoom(self.ledger.count_queued, limit, SystemClock())

    @cached_property
    def places(self) -> Places:
        """The places under limits."""
        return Places(self.ledger, now=self._outside.now)

    @cached_property
    def waker(self) -> Waker:
        """Who wakes what waits for a limit."""
        return Waker(
            places=self.places,
            types=self.types,
            publisher=self.publisher,
            clock=SystemClock(),  # whoever waits does so in real time
            telemetry=self._telemetry,
        )

    @cached_property
    def claimer(self) -> Claimer:
        """Who claims tasks."""
        return Claimer(
            types=self.types,
            ledger=self.ledger,
            places=self.places,
            waker=self.waker,
            continuation=self.runs,
            enqueuer=self.enqueuer,
            telemetry=self._telemetry,
        )

    @cached_property
    def settler(self) -> Settler:
        """Who ends attempts."""
        return Settler(
            ledger=self.ledger,
            places=self.places,
            waker=self.waker,
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
            claimer=self.claimer,
            settler=self.settler,
            continuation=self.runs,
            artifacts=self.artifacts,
            roots=self.roots,
            clock=self._clock,
            telemetry=self._telemetry,
            exchange=self.exchange,
            timeout_error=SoftTimeLimitExceeded,
            limited=alarm.set,
        )

    @cached_property
    def exchange(self) -> Exchange:
        """Where tasks call tasks."""
        return Exchange(
            enqueuer=self.enqueuer,
            ledger=CallLedger(self.ledger, now=self._outside.now),
            waiter=self.task_waiter,
            look=partial(finished, self.ledger),
            settler=self.settler,
            served=self.app.served_queues,
            run=partial(run_nested, self.app),
            is_leaving=terminate_handler_fired,
            timeout_error=SoftTimeLimitExceeded,
            clock=SystemClock(),  # the slots' one
            soon=Soon(),
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
    def step_ledger(self) -> StepLedger:
        """The rows of steps, where decisions are made."""
        return StepLedger(self.database, now=self._outside.now)

    @cached_property
    def run_ledger(self) -> RunLedger:
        """The rows of runs under way."""
        return RunLedger(self.database, now=self._outside.now)

    @cached_property
    def crowd(self) -> Crowd:
        """Whether more steps could run at once than may."""
        most = self._config.pipelines.max_concurrent_tasks
        return Crowd(most, lambda: self.presence.slots(SILENT_AFTER), SystemClock())

    @cached_property
    def step_memory(self) -> StepMemory:
        """What steps leave for later runs."""
        return StepMemory(self.step_ledger, now=self._outside.now)

    @cached_property
    def runs(self) -> Runs:
        """What follows when a step is settled."""
        runs = Runs(
            ledger=self.pipeline_ledger,
            catalogue=self.catalogue,
            types=self.types,
            sender=self.sender,
            memory=self.step_memory,
            crowd=self.crowd,
            telemetry=self._run_telemetry,
        )
        runs.connect(self._director(runs))
        return runs

    def _watermark(self, run_id: str, step_id: str) -> str | None:
        """Return how far the last success of a run's step has read."""
        step = self.catalogue.run(run_id).compiled.step_of(step_id)
        if "watermark" not in step.configuration:
            return None
        pipeline_id = self.catalogue.run(run_id).compiled.definition.pipeline_id
        return self.step_memory.watermark(pipeline_id, step_id)

    @cached_property
    def preparer(self) -> Preparer:
        """Who checks runs before they begin."""
        section = self._config.pipelines
        return Preparer(
            catalogue=self.catalogue,
            types=self.types,
            sender=self.sender,
            clock=self._clock,
            default_retries=self.retries,
            limits=RunLimits(
                most_runs=section.max_concurrent_pipelines, timeout=section.default_timeout
            ),
            crowd=self.crowd,
        )

    @cached_property
    def advancer(self) -> Advancer:
        """Who decides about steps that more than success starts."""
        children = Children(self.pipeline_ledger, self.run_ledger, self.preparer)
        return Advancer(
            Parts(
                ledger=self.pipeline_ledger,
                steps=self.step_ledger,
                catalogue=self.catalogue,
                preparer=self.preparer,
                memory=self.step_memory,
                waits=Waits(self.step_ledger, children, self.roots),
                crowd=self.crowd,
            )
        )

    @cached_property
    def run_ends(self) -> Ends:
        """Who tells of the ends of runs."""
        notices = LoggedNotices(self._telemetry)
        return Ends(self.run_ledger, self.catalogue, notices, self._run_telemetry)

    def _director(self, runs: Runs) -> Director:
        """Return who keeps runs going."""
        most = self._config.pipelines.max_concurrent_pipelines
        return Director(
            advancer=self.advancer,
            steps=self.step_ledger,
            runs=runs,
            admission=Admission(self.pipeline_ledger, self.run_ledger, self.catalogue, most=most),
            ends=self.run_ends,
            notifier=self._outside.notifier,
            telemetry=self._run_telemetry,
        )

    @cached_property
    def director(self) -> Director:
        """Who keeps runs going."""
        return self._director(self.runs)

    @cached_property
    def supervisor(self) -> Supervisor:
        """Who looks after runs in every sweep."""
        return Supervisor(
            runs=self.run_ledger,
            ledger=self.pipeline_ledger,
            steps=self.step_ledger,
            settler=self.settler,
            director=self.director,
            ends=self.run_ends,
            clock=SystemClock(),
            interval=self._config.pipelines.heartbeat_interval,
        )

    @cached_property
    def trigger(self) -> Trigger:
        """Who starts runs."""
        return Trigger(
            ledger=self.pipeline_ledger,
            preparer=self.preparer,
            start=self.director.start,
            clock=self._clock,
        )

    # Schedules.

    @cached_property
    def schedule_store(self) -> ScheduleStore:
        """Where schedules are kept."""
        return make_store(self._config, self.database, self._outside.now)

    @cached_property
    def starters(self) -> Starters:
        """Who makes what schedules fire."""
        tasks = TaskStarter(
            enqueuer=self.enqueuer,
            ledger=self.ledger,
            settler=self.settler,
            as_new=self.app.as_new,
        )
        runs = RunStarter(
            trigger=self.trigger,
            ledger=self.pipeline_ledger,
            settler=self.settler,
            telemetry=self._telemetry,
        )
        return Starters({"task": tasks, "call": tasks, "pipeline": runs})

    @cached_property
    def firer(self) -> Firer:
        """Who fires what is due, in a beat."""
        return Firer(self.schedule_store, self.starters, self._telemetry)

    @cached_property
    def schedules(self) -> Schedules:
        """Who makes and changes schedules."""
        return Schedules(
            self.schedule_store,
            self.starters,
            ledger=self.database,
            clock=self._clock,
            changed=lambda: self._outside.notifier.announce([BELL]),
            is_kept=self._config.scheduler.enable_persistence,
        )

    def _declare(self, definition: PipelineDefinition) -> None:
        """Take over the schedule of a pipeline that was registered."""
        if self._config.scheduler.enable_persistence:
            self.schedules.declare(
                Source.PIPELINE, schedule_name(definition.pipeline_id), declared_by(definition)
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
            dead_letters=DeadLetters(
                ledger=self.ledger,
                rows=DeadRows(self._outside.now),
                publisher=self.publisher,
                clock=self._clock,
                telemetry=self._telemetry,
            ),
            threads=self.threads,
            logs=self.log_ledger,
        )

    @cached_property
    def scheduler(self) -> TaskScheduler:
        """`rt.scheduler`."""
        return TaskScheduler(
            self._config.scheduler,
            sync=SyncTaskScheduler(self.schedules, self.tasks, self.enqueuer),
            tasks=self.tasks,
            threads=self.threads,
        )

    @cached_property
    def agents(self) -> AgentManager:
        """`rt.agents`."""
        return AgentManager(self._config.agent_manager, tasks=self.tasks)

    @property
    def _estimates(self) -> Estimates | None:
        """Who estimates when runs will have ended; nobody where no figures are kept."""
        if not self._config.pipelines.enable_metrics:
            return None
        return Estimates(self.history, clock=self._clock)

    @cached_property
    def pipelines(self) -> PipelineOrchestrator:
        """`rt.pipelines`."""
        sync = SyncPipelineOrchestrator(
            ledger=self.pipeline_ledger,
            trigger=self.trigger,
            runs=self.run_ledger,
            operations=Operations(
                self.database,
                ledger=self.pipeline_ledger,
                runs=self.run_ledger,
                steps=self.step_ledger,
                catalogue=self.catalogue,
                advancer=self.advancer,
                director=self.director,
                trigger=self.trigger,
            ),
            settler=self.settler,
            waiter=self.run_waiter,
            find=self.types.accepted,
            most_retries=self._config.pipelines.max_retry_attempts,
            declare=self._declare,
            estimates=self._estimates,
        )
        return PipelineOrchestrator(self._config.pipelines, sync=sync, threads=self.threads)

    @cached_property
    def history(self) -> HistoryLedger:
        """What is kept of runs, to read."""
        return HistoryLedger(self.database)

    @cached_property
    def exporter(self) -> RunExporter:
        """Who gathers what is known of a run."""
        return RunExporter(
            pipelines=self.pipelines.sync,
            history=self.history,
            clock=self._clock,
            version=sys.modules["datamcp"].__version__,  # to import it would import all layers
        )


def _result_url(config: GlobalConfig) -> str | None:
    """Return where the results of plain Celery calls are kept: in Redis, if there is one."""
    broker_url = config.broker.url
    if broker_url is not None and is_redis(broker_url.scheme):
        return str(broker_url)
    cache_url = config.storage.cache_url
    return None if cache_url is None else result_url(str(cache_url))
