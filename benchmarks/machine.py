"""The facts about a machine that a figure needs beside it."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from redis.utils import HIREDIS_AVAILABLE
from sqlalchemy import make_url

from benchmarks.commits import connect
from benchmarks.servers import Servers

QUIET = 0.35
"""CPUs that other processes may use while a figure is taken in quiet."""

_LOOK = 0.3  # seconds

_PACKAGES = (
    "celery",
    "kombu",
    "billiard",
    "redis",
    "hiredis",
    "sqlalchemy",
    "psycopg2-binary",
    "pydantic",
)


def facts(servers: Servers) -> dict[str, Any]:
    """Return what the figures depend on, without the machine's name or paths."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "hiredis_in_use": bool(HIREDIS_AVAILABLE),
        "servers": _versions(servers),
    }


def revision() -> str:
    """Return the commit that is measured, as git names it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def load() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def wait_for_quiet(deadline: float) -> None:
    """Wait until other processes leave the machine alone, at most until a monotonic instant.

    To be called while our own are idle: all that runs counts.
    """
    while time.monotonic() < deadline:
        if psutil.cpu_percent(interval=_LOOK) * (os.cpu_count() or 1) / 100 < QUIET:
            return


def _versions(servers: Servers) -> Mapping[str, str]:
    with closing(servers.redis()) as client:
        info = client.info("server")
    with (
        closing(connect(make_url(servers.postgresql_url))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW server_version")
        (postgresql,) = cursor.fetchone()
        cursor.execute("SHOW wal_sync_method")
        (sync,) = cursor.fetchone()
    name = info.get("server_name", "redis")
    return {
        "redis": f"{name} {info.get('valkey_version', info['redis_version'])}",
        "postgresql": f"{postgresql}, {sync}",
        "broker": servers.broker_url.partition(":")[0],
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
