from pathlib import Path

import pytest
from sqlalchemy import CursorResult, text

from datamcp.infra.database import Database

WRITE = text("INSERT INTO words VALUES ('a') RETURNING word")


def interrupted_write(database: Database, kept: list[CursorResult[str]]) -> None:
    """Write, and be told to end before the answer is read; somebody keeps what was on its way."""
    with database.autocommit() as connection:
        kept.append(connection.execute(WRITE))
        raise SystemExit


def test_an_interrupt_between_a_write_and_its_answer_leaves_no_lock(tmp_path: Path) -> None:
    """Whoever writes next, here or elsewhere, does not wait for it."""
    url = f"sqlite:///{tmp_path / 'words.db'}"
    first, second = Database(url), Database(url)
    kept: list[CursorResult[str]] = []
    with first.autocommit() as connection:
        connection.execute(text("CREATE TABLE words (word TEXT)"))
    with pytest.raises(SystemExit):
        interrupted_write(first, kept)
    for database in (second, first):
        with database.autocommit() as connection:
            assert connection.execute(WRITE).scalar_one() == "a"
    kept.pop().close()
    first.close()
    second.close()
