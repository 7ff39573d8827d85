"""What is told of a remote artifact store before anything runs, and who cleans it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import folder_storage
from support.brokers import RedisServer

import datamcp
from datamcp.config.text import child_environment
from datamcp.storage.store import open_artifacts

FAULTS = """
import errno, os
from folder_storage import FolderStorage

def away(verb, path):
    raise OSError(errno.ENETUNREACH, "network is unreachable")

def refuse(verb, path):
    raise PermissionError(errno.EACCES, "Access Denied")

FolderStorage.fault = staticmethod({"away": away, "refuse": refuse}[os.environ["FAULT"]])
class Faulty(FolderStorage):
    protocol = "faulty"
"""


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path, key_prefix: str) -> dict[str, str]:
    """Return the settings of an installation beside which two kinds of storage are installed."""
    folder_storage.install(tmp_path)
    (tmp_path / "faulty.py").write_text(FAULTS)
    entries = tmp_path / "folder_storage-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text() + "faulty = faulty:Faulty\n")
    return {
        "broker.url": redis_server.broker_url,
        "broker.key_prefix": key_prefix,
        "storage.database_url": f"sqlite:///{tmp_path}/ledger.db",
        "system.state_dir": str(tmp_path / "state"),
    }


def run(
    settings: Mapping[str, str], folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a module in the folder; no line is folded."""
    given = child_environment(settings) | {folder_storage.ROOT: str(folder), "COLUMNS": "500"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=given | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    ("url", "fault", "code", "told"),
    [
        ("nowhere://far/runs", "", 2, "nowhere:// is nothing that fsspec knows"),
        ("faulty://far/runs", "refuse", 2, "cannot use 'faulty://far/runs': Access Denied"),
        ("faulty://far/runs", "away", 3, "unreachable: network is unreachable"),
    ],
)
def test_a_worker_does_not_start(
    settings: dict[str, str], tmp_path: Path, url: str, fault: str, code: int, told: str
) -> None:
    """A check and a start say the same, in one line."""
    given = settings | {"storage.artifacts_url": url}
    checked = run(given, tmp_path, "datamcp", "check", FAULT=fault)
    assert checked.returncode == code
    assert told in checked.stdout + checked.stderr
    started = run(given, tmp_path, "datamcp", "worker", "pipelines", FAULT=fault)
    assert started.returncode == code
    assert told in started.stderr
    assert "Traceback" not in started.stderr + checked.stderr


def test_files_of_nobody_are_removed(settings: dict[str, str], tmp_path: Path) -> None:
    """By a process of its own, which has the configuration of the worker that starts it."""
    given = settings | {"storage.artifacts_url": "folder://far/runs"}
    with datamcp.connect(overrides=given):
        pass
    local = open_artifacts(str(tmp_path / "far" / "runs"), tmp_path)
    old, new = (f"0000000{number}-0000-7000-8000-000000000000" for number in (1, 2))
    for name in (old, new):
        with local.workspace(name, "step", 1).publish("a") as part:
            part.touch()
    subprocess.run(
        ["touch", "-d", "3 days ago", str(tmp_path / "far" / "runs" / old / "step" / "1" / "a")],
        check=True,
    )
    done = run(given, tmp_path, "datamcp.bootstrap.errand", "clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert [one.name for one in (tmp_path / "far" / "runs").iterdir()] == [new]


def test_nothing_is_imported_before_it_is_needed() -> None:
    """Whoever puts a runtime together with a store behind a URL has not loaded fsspec."""
    program = """
import sys
from datamcp.bootstrap.runtime import build
from datamcp.config.loader import load
build(load(overrides={"storage.artifacts_url": "s3://far/runs"}).config)
assert "fsspec" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 0
