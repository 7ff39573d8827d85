import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from datamcp.infra.database import Database

WRITE = text("INSERT INTO words VALUES ('a') RETURNING word")


@pytest.fixture(params=[signal.SIGTERM, signal.SIGUSR1], ids=lambda one: one.name)
def interrupt(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """Have a signal that raises an exception, as those do that a pool sends to its processes."""
    before = signal.signal(request.param, lambda *_: sys.exit(3))
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize("how", ["autocommit", "transaction"])
def test_a_signal_waits_until_the_database_is_let_go(
    how: str, interrupt: signal.Signals, tmp_path: Path
) -> None:
    """In between SQLite holds its lock, and might hold it for ever."""
    url = f"sqlite:///{tmp_path / 'words.db'}"
    first, second = Database(url), Database(url)
    with first.autocommit() as connection:
        connection.execute(text("CREATE TABLE words (word TEXT)"))
    heard = []

    def write() -> None:
        with getattr(first, how)() as connection:
            result = connection.execute(WRITE)
            signal.pthread_kill(threading.main_thread().ident or 0, interrupt)
            heard.append(result.scalar_one())

    with pytest.raises(SystemExit) as kept:
        write()
    assert heard == ["a"]
    with second.autocommit() as connection:
        words = connection.execute(text("SELECT word FROM words")).scalars().all()
        assert [*words, connection.execute(WRITE).scalar_one()] == ["a", "a"]
    assert kept.value.code == 3
    first.close()
    second.close()
