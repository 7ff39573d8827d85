"""Settings of servers under which they may forget what they have said is kept."""

import redis
from sqlalchemy import text

from datamcp.errors import BackendUnavailable
from datamcp.infra.database import Database
from datamcp.infra.redis import make_client

_OF_POSTGRESQL = {
    "fsync": ("on", "a crash of the machine may lose or spoil what was committed"),
    "full_page_writes": ("on", "a crash of the machine may spoil what was committed"),
    "synchronous_commit": (
        "on",
        "a crash may lose tasks that were taken in and results that were told",
    ),
    "default_transaction_isolation": (
        "read committed",
        "transactions may fail where others only wait",
    ),
}
_SAFE_TOO = {"synchronous_commit": {"local", "remote_write", "remote_apply"}}


def cautions_of_database(database: Database) -> list[str]:
    """Return what is unsafe about a database's settings; raises BackendUnavailable."""
    if database.dialect != "postgresql":
        return []
    with database.autocommit() as connection:
        found = {
            name: str(connection.execute(text(f"SHOW {name}")).scalar_one())
            for name in _OF_POSTGRESQL
        }
    return [
        f"{name} is {found[name]}: {why}; set it to {wanted}"
        for name, (wanted, why) in _OF_POSTGRESQL.items()
        if found[name] != wanted and found[name] not in _SAFE_TOO.get(name, ())
    ]


def cautions_of_redis(url: str) -> list[str]:
    """Return what is unsafe about a Redis that carries messages; raises BackendUnavailable."""
    try:
        with make_client(url) as client:
            memory = client.info("memory")
    except redis.RedisError as error:
        raise BackendUnavailable("broker", str(error)) from error
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if not int(memory.get("maxmemory", 0)) or policy == "noeviction":
        return []
    return [
        (
            f"maxmemory-policy is {policy}: where memory is short, it throws messages away, and tasks "
            "wait until they are sent again; set it to noeviction"
        )
    ]
