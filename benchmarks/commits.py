"""The cost of one durable commit, which everything that keeps a task has to pay.

One row of one number is inserted and committed, over one open connection: the round trip, the
statement and the flush to the disk. PostgreSQL runs with `fsync` and `synchronous_commit` on,
SQLite with `synchronous = FULL` in WAL mode, as datamcp uses them.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any

import psycopg2
from sqlalchemy import URL, make_url

from benchmarks.rival import Ledger
from benchmarks.servers import Servers
from benchmarks.tally import WrongResultError

_TABLE = "benchmark_commits"
_INSERT = f"INSERT INTO {_TABLE} VALUES (1)"  # noqa: S608  a name of ours


def cost_of_commit(servers: Servers, ledger: Ledger, tries: int) -> float:
    """Return the median of some commits, in seconds.

    Raises WrongResultError if PostgreSQL does not flush its commits.
    """
    if ledger == "sqlite":
        with closing(_sqlite(servers.sqlite_url)) as sqlite:
            return _median(sqlite.execute, tries)
    with closing(connect(make_url(servers.postgresql_url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in ("fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                if cursor.fetchone() != ("on",):
                    raise WrongResultError(f"PostgreSQL runs with {name} off; turn it on")
            return _median(cursor.execute, tries)


def connect(url: URL) -> Any:
    """Return a plain connection to PostgreSQL."""
    parts = url.translate_connect_args(database="dbname", username="user")
    return psycopg2.connect(**{**parts, **url.query})


def _sqlite(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _median(execute: Callable[[str], Any], tries: int) -> float:
    execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (n int)")
    laps = []
    for _ in range(tries):
        began = time.perf_counter()
        execute(_INSERT)
        laps.append(time.perf_counter() - began)
    return median(laps)
