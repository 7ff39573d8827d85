"""The functions that programs call first."""

from collections.abc import Mapping
from importlib import import_module

from datamcp.bootstrap import apps
from datamcp.bootstrap.runtime import Runtime, build
from datamcp.config.loader import load
from datamcp.config.settings import GlobalConfig
from datamcp.tasks.celery_app import LedgerCelery

__all__ = ["celery_app", "connect", "worker_app"]


def connect(
    config: GlobalConfig | None = None, *, overrides: Mapping[str, str] | None = None
) -> Runtime:
    """Return the runtime: `with datamcp.connect() as rt:`, or `rt.close()` at the end.

    Without `config` it is read as the command line reads it; `overrides` are settings such as
    `{"broker.url": ...}` that win over all sources. Raises ConfigError, BackendUnavailable if the
    database is away, SchemaVersionError if the ledger does not fit.
    """
    runtime = build(config or load(overrides=overrides).config)
    try:
        apps.assemble(runtime)
        runtime.require_ledger()
    except BaseException:
        runtime.close()
        raise
    return runtime


def celery_app() -> LedgerCelery:
    """Return the app of `celery -A datamcp`; shared tasks use it, if no other app is current."""
    app = apps.command_line_app()
    apps.offer(app)
    return app


def worker_app(agent: str) -> LedgerCelery:
    """Return an app whose workers serve one agent type, or `pipelines`.

    It is `datamcp.celery`, unless that serves another. A wrong configuration ends a command as in
    `celery -A datamcp`.
    """
    app: LedgerCelery = import_module("datamcp").celery  # the package's own: there is one of it
    if app.pool_to_serve not in {None, agent}:
        return apps.worker_app(agent)
    app.pool_to_serve = agent
    return app
