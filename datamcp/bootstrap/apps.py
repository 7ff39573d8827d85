"""Celery apps: what `celery -A datamcp …` and a worker's entry module use."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click
from celery import _state, signals

from datamcp.bootstrap.apart import require_artifacts
from datamcp.bootstrap.beat import look_after_beat
from datamcp.bootstrap.presence import ALL, report_beat, report_worker
from datamcp.bootstrap.runtime import Runtime, build
from datamcp.bootstrap.upkeep import look_after
from datamcp.config.loader import load
from datamcp.config.text import set_variable
from datamcp.dashboard.access import Door, require_login
from datamcp.errors import ConfigError, DatamcpError
from datamcp.infra import green, threads
from datamcp.infra.celery import nodename
from datamcp.naming import did_you_mean
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.intake import IntakeStep
from datamcp.tasks.ports import TaskType
from datamcp.tasks.publish import HINT
from datamcp.tasks.queues import PIPELINES
from datamcp.tasks.worker import CapabilityTask, LedgerTask


def command_line_app() -> LedgerCelery:
    """Return the app of `celery -A datamcp`, from the same configuration as our own commands.

    Inside a command a wrong configuration ends the process with one line, as Celery would print a
    traceback.
    """
    make_importable()
    try:
        loaded = load()
        app = assemble(build(loaded.config))
    except ConfigError as error:
        if click.get_current_context(silent=True) is None:
            raise
        refuse(error)
    app.cautions = loaded.warnings
    context = click.get_current_context(silent=True)
    match None if context is None else context.invoked_subcommand:
        case "flower":
            _install_flower(app)
        case "call":
            app.send_task = _telling(app.send_task)  # type: ignore[method-assign]  # of this one
    return app


def _telling(send: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ends the process with one line where the ledger refuses a task."""

    def told(*args: Any, **options: Any) -> Any:
        try:
            return send(*args, **options)
        except DatamcpError as error:
            refuse(error)

    return told


def worker_app(agent: str) -> LedgerCelery:
    """Return an app whose workers serve one agent type, or `pipelines`.

    A wrong configuration ends a command as in `command_line_app`.
    """
    app = command_line_app()
    app.pool_to_serve = agent
    return app


def offer(app: LedgerCelery) -> None:
    """Let tasks of `shared_task` use an app, in a process where no other is current."""
    if _state.default_app is None and _state._tls.current_app is None:  # noqa: SLF001  no other way
        app.set_default()


def assemble(runtime: Runtime) -> LedgerCelery:
    """Teach a runtime's app our tasks, the option `--agent`, and what to check at a start."""
    app = runtime.app
    app.runtime = runtime
    app.task_factory = lambda name: _task(runtime, name)
    app.user_options["worker"].add(
        click.Option(
            ["--agent"],
            metavar="TYPE",
            is_eager=True,
            expose_value=False,
            callback=lambda context, _option, value: _choose(app, context, value),
            help=f"Serve one agent type, or `{PIPELINES}`. Without it: all of them.",
        )
    )
    app.steps["consumer"].add(IntakeStep)
    signals.celeryd_init.connect(_prepare_worker, weak=False)
    signals.beat_init.connect(_prepare_beat, weak=False)
    return app


def _choose(app: LedgerCelery, context: click.Context, agent: str | None) -> None:
    """Set what the option implies, before the other options take their defaults."""
    agent = agent or app.pool_to_serve
    runtime: Runtime = app.runtime
    pools = runtime.types.pools()
    if agent is not None and agent not in pools:
        hint = did_you_mean(agent, pools) or f"; there are {', '.join(pools)}"
        refuse(ConfigError(f"no agent type {agent!r} is switched on{hint}"))
    app.pool_to_serve = agent
    context.default_map = {
        **(context.default_map or {}),
        "hostname": nodename(agent or ALL, os.getpid()),
        "loglevel": "INFO",
        "without_gossip": True,
        "without_mingle": True,
    }
    if agent == PIPELINES:
        app.conf.worker_concurrency = runtime.config.pipelines.concurrency
    elif agent is not None:
        settings = runtime.config.agents[agent]
        app.conf.worker_concurrency = settings.concurrency
        app.conf.worker_pool = settings.pool
        if settings.pool == green.POOL and not green.is_green():
            _begin_green()
    from datamcp.infra import envelopes, receipts  # with them comes Celery's whole worker

    threads.install()
    if green.is_green():
        from datamcp.infra import greenlets

        greenlets.install()
        green.install()
    envelopes.install()
    receipts.install(HINT)


def _begin_green() -> None:
    """Begin this process anew as one that gevent patches first, unless its command names a pool."""
    if any(word.startswith(("-P", "--pool")) for word in sys.argv):
        return
    if find_spec("gevent") is None:
        refuse(ConfigError("the pool gevent is not installed; install `datamcp[gevent]`"))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "--pool", green.POOL])  # noqa: S606  itself


def _prepare_worker(instance: Any = None, **_fields: Any) -> None:
    """Check that the worker can work, and register what it serves."""
    app = instance.app
    if not isinstance(app, LedgerCelery):
        return
    runtime: Runtime = app.runtime
    pools: Sequence[str] = [app.pool_to_serve] if app.pool_to_serve else runtime.types.pools()
    _warn(app)
    app.serves = True
    with _refusing():
        app.require_broker()
        runtime.require_ledger()
        require_artifacts(runtime.artifacts)
        kinds = [kind for pool in pools for kind in runtime.types.served_by(pool)]
        for kind in kinds:
            app.task_of(kind.name)
        if green.is_green():
            _prepare_green(runtime, kinds)
        if app.pool_to_serve:
            extra = (
                ()
                if app.pool_to_serve == PIPELINES
                else runtime.config.agents[app.pool_to_serve].queues
            )
            app.amqp.queues.select([*pools, *extra])
        for queue in app.amqp.queues.consume_from or pools:
            runtime.depths.ready(queue)
    # The pool's processes would close what they share. (After `force_close_all` alone, kombu's pool
    # is empty: whoever needs a connection waits in vain until somebody else gives one back.)
    app.pool.resize(app.pool.limit, reset=True)
    signals.worker_shutting_down.connect(partial(_note_interrupt, instance), weak=False)
    look_after(instance)
    report_worker(instance)


def _prepare_green(runtime: Runtime, kinds: Sequence[TaskType]) -> None:
    """Make sure that what a worker serves can run in greenlets; raises ConfigError."""
    # To look for the broker's heartbeats, Celery reads what another greenlet waits for: the answer
    # to an event that it has sent. That one then waits for ever, and all others with it.
    runtime.app.conf.broker_heartbeat = 0
    coroutines = [kind.name for kind in kinds if kind.is_async]
    reason = green.refusal(dialect=runtime.database.dialect, coroutines=coroutines)
    if reason is not None:
        raise ConfigError(reason)


def _note_interrupt(worker: Any, sig: str = "", **_fields: Any) -> None:
    """Let a worker that Ctrl-C ends say so by its exit code; Celery's is that of a failure."""
    if sig == "SIGINT":
        signals.worker_shutdown.connect(lambda **_: setattr(worker, "exitcode", 130), weak=False)


def _prepare_beat(sender: Any = None, **_fields: Any) -> None:
    """Check that beat can work."""
    app = sender.app
    if not isinstance(app, LedgerCelery):
        return
    _warn(app)
    app.sends_firings = True
    with _refusing():
        app.require_broker()
        app.runtime.require_ledger()
        app.runtime.depths.ready(PIPELINES)
        look_after_beat(sender)
    report_beat(sender)


def _install_flower(app: LedgerCelery) -> None:
    """Have Flower's command, which comes next, start our Flower."""
    from datamcp.dashboard.server import install  # Flower is imported where it is used alone

    install(
        app.runtime.config.monitoring,
        task_events=app.conf.worker_send_task_events,
        prepare=partial(_prepare_flower, app),
    )


def _prepare_flower(app: LedgerCelery, door: Door) -> None:
    """Check that Flower may start, and can: that it may be seen, and that it can see something."""
    runtime: Runtime = app.runtime
    _warn(app)
    with _refusing():
        require_login(door, runtime.config.system.environment)
        app.require_broker()
        runtime.depths.ready(PIPELINES)
        for pool in runtime.types.pools():
            for task_type in runtime.types.served_by(pool):
                app.task_of(task_type.name)
    if not door.has_login:
        set_variable("FLOWER_UNAUTHENTICATED_API", "true")
        _say(
            "warning: Flower asks for no password: everybody on this machine may look at the tasks"
        )
    if not app.conf.worker_send_task_events:
        _say("warning: monitoring.task_events is off, so Flower shows workers and no tasks")


def _warn(app: LedgerCelery) -> None:
    for caution in app.cautions:
        _say(f"warning: {caution}")


def _say(line: str) -> None:
    click.echo(line, file=sys.__stderr__)


@contextmanager
def _refusing() -> Iterator[None]:
    """End the process where something goes wrong in the block.

    Celery logs what the receiver of a signal raises, and goes on. A broker or a database that is
    away ends a start, so that a wrong address is told at once; once up, a process waits for them.
    """
    try:
        yield
    except DatamcpError as error:
        refuse(error)
    except Exception:  # noqa: BLE001  a process that is half prepared must not run
        traceback.print_exc(file=sys.__stderr__)
        sys.exit(1)


def _task(runtime: Runtime, name: str) -> LedgerTask:
    kind = runtime.types.resolve(name)
    if kind.celery_task is not None:
        task: LedgerTask = kind.celery_task
        return task
    members = {"name": kind.name, "__doc__": kind.description, "abstract": False, "kind": kind}
    task = type(kind.name, (CapabilityTask,), members)()
    registered: LedgerTask = runtime.app.register_task(task)
    return registered


def refuse(error: DatamcpError) -> NoReturn:
    """End the process with one line on stderr, also where Celery has made a log of that."""
    _say(f"Error: {error}")
    sys.exit(error.exit_code)


def make_importable() -> None:
    """Let agents be imported from the current folder, wherever the program itself stands."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
