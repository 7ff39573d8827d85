"""How much memory the processors of databases take: in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from support.source import REPOSITORY

ROWS = 200_000
GROWTH = 200  # MiB that the process may grow by; most of it is the engine's
HELD = 12  # MiB of Python; a quarter of the rows would be 25

PROGRAM = """
import json, resource, sys, tracemalloc
from pathlib import Path
from support.sources import NAME, warehouse
from support.steps import table
from datamcp.processors.processor import ProcessingResult

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

url, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
target = warehouse(url, folder)
runner = target.runner

def copy(name, count):
    made = f"select range as id, 'x' || repeat('y', 200) || range as name, range / 7 as price from range({count})"
    runner.results["rows"] = ProcessingResult(output=table(folder / f"{name}.parquet", made))
    runner.run("write", "sql.write", ("rows",), connection=NAME, table=name, task_id=name)
    return runner.run("read", "sql.read", connection=NAME, table=name).records_out

tracemalloc.start()
copy("some", rows // 4)
_, held = tracemalloc.get_traced_memory()
tracemalloc.stop()
before = peak()
found = copy("many", rows)
print(json.dumps([found, peak() - before, held // 2**20]))
"""


def test_rows_are_not_held(blank_database_url: str, tmp_path: Path) -> None:
    """200,000 rows are written and read with a part of them in memory."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, blank_database_url, str(tmp_path), str(ROWS)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found, grown, held = json.loads(ran.stdout)
    assert found == ROWS
    assert grown < GROWTH
    assert held < HELD
