"""The functions that programs call first."""

from collections.abc import Mapping

from datamcp.bootstrap.apps import assemble, command_line_app, worker_app
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
        assemble(runtime)
        runtime.require_ledger()
    except BaseException:
        runtime.close()
        raise
    return runtime


def celery_app() -> LedgerCelery:
    """Return the app of `celery -A datamcp`."""
    return command_line_app()
