"""A process that is killed while it writes to a database."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect
from support.eventually import eventually
from support.source import REPOSITORY
from support.sources import Warehouse, warehouse

PROGRAM = """
import sys
from pathlib import Path
from support.sources import NAME, warehouse
from support.steps import table
from datamcp.processors.processor import ProcessingResult

folder = Path(sys.argv[2])
runner = warehouse(sys.argv[1], folder).runner
made = table(folder / "rows.parquet", "select range as id, repeat('x', 500) as name from range(400000)")
runner.results["rows"] = ProcessingResult(output=made)
runner.run("write", "sql.write", ("rows",), connection=NAME, table="orders", task_id="one")
"""


def test_nothing_is_left_half_written(blank_database_url: str, tmp_path: Path) -> None:
    """Killed in the middle, it has written no row, and no note of it; the next attempt may write."""
    target = warehouse(blank_database_url, tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, target.url, str(tmp_path)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "PATH": ""},
    )
    try:
        eventually(_writing(target, tmp_path), timeout=60)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    eventually(lambda: _tables(target) == [], timeout=60)  # the server notices in its own time


def _tables(target: Warehouse) -> list[str]:
    with target.connected() as connection:
        return inspect(connection).get_table_names()


def _writing(target: Warehouse, folder: Path) -> Callable[[], bool]:
    """Return what tells whether rows are on their way."""
    if target.is_sqlite:
        journal = folder / "blank.db-journal"
        return lambda: journal.exists() and (folder / "blank.db").stat().st_size > 2**22
    query = "select 1 from pg_stat_activity where query like 'INSERT INTO %orders%'"
    return lambda: bool(target.rows(query + " and pid <> pg_backend_pid()"))
