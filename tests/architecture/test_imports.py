import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.source import Module, modules

# What Alembic itself runs, on a connection that it hands over.
_NOT_TO_BE_IMPORTED = {"datamcp.infra.migrations.env"}

_IMPORTABLE = [module.name for module in modules() if module.name not in _NOT_TO_BE_IMPORTED]

_HEAVY = {"duckdb", "numpy", "pandas", "polars", "pyarrow"}

# Refuses whatever would touch the world, then imports all modules, one after the other.
_ALL = """
import json, os, sqlite3, socket, subprocess, sys, threading
import psycopg2

def refuse(*args, **kwargs):
    raise AssertionError("an import must not touch the world")

socket.socket.connect = socket.socket.bind = refuse
psycopg2.connect = sqlite3.connect = subprocess.Popen.__init__ = refuse
threading.Thread.start = refuse

from importlib import import_module
for name in json.loads(sys.argv[1]):
    import_module(name)
print(json.dumps(sorted(sys.modules)))
"""

# Imports each module in a child of its own, which has the drivers but none of our modules yet.
_ALONE = """
import json, os, sys
import alembic.op, celery.app.task, celery.backends.redis, celery.worker.request
import click, kombu, psycopg2, pydantic_settings, redis, rich.live, sqlalchemy.dialects.postgresql
from importlib import import_module

def start(name):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            import_module(name)
            status = 0
        finally:
            os._exit(status)
    return pid

names, running, failed = json.loads(sys.argv[1]), {}, []
while names or running:
    while names and len(running) < os.cpu_count():
        name = names.pop()
        running[start(name)] = name
    pid, status = os.wait()
    name = running.pop(pid)
    if status:
        failed.append(name)
print(json.dumps(failed))
"""


def run(program: str, *arguments: str) -> list[str]:
    """Run a program in a process of its own and return the JSON that it prints."""
    told = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    found: list[str] = json.loads(told.stdout)
    return found


def test_importing_touches_nothing_and_loads_no_engine() -> None:
    """No import opens a connection, starts a thread or process, or loads an engine for tables."""
    loaded = run(_ALL, json.dumps(_IMPORTABLE))
    assert _HEAVY.isdisjoint(loaded)


def test_every_module_can_be_imported_alone() -> None:
    """No module relies on another one having been imported before."""
    assert run(_ALONE, json.dumps(_IMPORTABLE)) == []


def test_importing_the_package_costs_next_to_nothing() -> None:
    """`import datamcp` loads neither Celery nor a driver; each name is imported at its first use."""
    program = "import json, sys, datamcp; print(json.dumps(sorted(sys.modules)))"
    loaded = run(program)
    assert {"celery", "kombu", "sqlalchemy", "redis", "pydantic", "click"}.isdisjoint(loaded)


def test_every_public_name_is_there() -> None:
    """`__all__` of the package holds what it can give, apart from the app, which is built."""
    import datamcp

    for name in set(datamcp.__all__) - {"celery"}:
        assert getattr(datamcp, name) is not None


@pytest.mark.parametrize(
    "module",
    [module for module in modules() if not module.name.startswith("datamcp.config.")],
    ids=lambda module: module.name,
)
def test_only_the_configuration_reads_the_environment(module: Module) -> None:
    """No other module looks at a variable, so no setting is read behind the configuration's back."""
    read = [
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    ]
    assert read == []


def test_the_layers_and_their_contracts_hold() -> None:
    """import-linter finds no import that the contracts of pyproject.toml forbid."""
    lint = Path(sys.executable).with_name("lint-imports")
    config = Path(__file__).resolve().parents[2] / "pyproject.toml"
    told = subprocess.run(
        [lint, "--config", config, "--no-cache"],
        cwd=config.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
