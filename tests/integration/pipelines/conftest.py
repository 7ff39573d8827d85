"""A real worker pool that runs steps, and runtimes that need none; executions leave notes."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from support.brokers import RedisServer
from support.databases import TestDatabases
from support.lab import Laboratory, laboratory
from support.processes import Killer
from support.runs import PROBE, Bench

import datamcp
from datamcp.config.text import child_environment
from datamcp.testing import FakeClock

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def bench(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    """Have workers of four slots and beat, on a ledger of their own."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "probe.py").write_text(PROBE)
    prefix = f"test-{uuid4().hex}:"
    settings = {
        "system.state_dir": str(folder / "state"),
        "broker.url": redis_server.broker_url,
        "broker.key_prefix": prefix,
        "agents.probe.module": "probe:Probe",
        "storage.allowed_roots": json.dumps([str(folder)]),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setenv("PROBE_NOTES", str(folder / "notes.jsonl"))
        sys.modules.pop("probe", None)
        with database_of(request, folder) as url:
            settings["storage.database_url"] = url
            with (
                Killer() as supervisor,
                datamcp.connect(overrides=settings) as runtime,
            ):
                for name, arguments in COMMANDS.items():
                    supervisor.start(
                        name,
                        [sys.executable, "-m", "celery", "-A", "datamcp", *arguments],
                        log_path=folder / f"{name}.log",
                        env=child_environment(settings),
                        cwd=folder,
                    )
                yield Bench(runtime, folder / "notes.jsonl")
    redis_server.remove_keys(prefix)


@contextmanager
def database_of(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Have an empty database of the parameter's kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    databases: TestDatabases = request.getfixturevalue("databases")
    with databases.database() as url:
        yield url


COMMANDS = {
    "worker": ["worker", "--concurrency", "4"],
    "beat": ["beat", "--pidfile", ""],
}


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str) -> Iterator[Laboratory]:
    """Have a laboratory on SQLite."""
    with laboratory(tmp_path, sqlite_url, FakeClock(START)) as found:
        yield found


@pytest.fixture
def labs(tmp_path: Path, database_url: str) -> Iterator[Laboratory]:
    """Have a laboratory on SQLite and on PostgreSQL."""
    with laboratory(tmp_path, database_url, FakeClock(START)) as found:
        yield found
