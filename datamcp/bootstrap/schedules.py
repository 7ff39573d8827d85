"""Where schedules are kept, as the configuration says."""

import tempfile
from pathlib import Path

from datamcp.config.settings import GlobalConfig
from datamcp.errors import ConfigError, Problem
from datamcp.infra.database import Database
from datamcp.infra.redis import client_url
from datamcp.scheduling.redis_store import RedisStore
from datamcp.scheduling.sql_store import Now, SqlStore
from datamcp.scheduling.store import ScheduleStore
from datamcp.types import new_token

FILE = "schedules.db"
"""The name of the file in the state folder, where schedules are kept in one."""


def make_store(config: GlobalConfig, ledger: Database, now: Now) -> ScheduleStore:
    """Return the store that the configuration names; raises ConfigError. Opens nothing."""
    if not config.scheduler.enable_persistence:
        # For this process alone, and gone with it.
        path = Path(tempfile.gettempdir()) / f"datamcp-schedules-{new_token()}.db"
        store = Database(f"sqlite:///{path}")
        return SqlStore(store, ledger=ledger, is_kept=False, now=now)
    match config.scheduler.persistence_backend:
        case "database":
            return SqlStore(ledger, now=now)
        case "file":
            path = config.system.state_dir / FILE
            return SqlStore(Database(f"sqlite:///{path}"), ledger=ledger, now=now)
    url = _redis_url(config)
    if url is None:
        message = (
            "is redis, but neither storage.cache_url nor broker.url is a Redis; "
            "set one of them, or use `database` or `file`"
        )
        problem = Problem("scheduler.persistence_backend", message)
        raise ConfigError(str(problem), [problem])
    return RedisStore(url, config.broker.key_prefix, ledger=ledger)


def _redis_url(config: GlobalConfig) -> str | None:
    urls = (config.storage.cache_url, config.broker.url)
    return next(filter(None, (client_url(str(url)) for url in urls if url is not None)), None)
