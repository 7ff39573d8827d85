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

# Imports each module in a process that has the drivers, and of our modules only what that module
# itself imports first: so it is where it would be if it had been imported alone, and need not
# import all that anew. Tells how each went; one that was there already is to be tried again.
_ALONE = """
import gc, json, os, sys
import alembic.op, celery.app.task, celery.backends.redis, celery.worker.request
import click, kombu, psycopg2, pydantic_settings, redis, rich.live, sqlalchemy.dialects.postgresql
from importlib import import_module

def start(name):
    pid = os.fork()
    if not pid:
        try:
            import_module(name)
            tell("imported", name)
            check(after.get(name, []), 1)
        finally:
            os._exit(0)

def check(names, most):
    running = 0
    for name in names:
        if name in sys.modules:
            tell("again", name)
            continue
        start(name)
        running += 1
        if running == most:
            os.wait()
            running -= 1
    for _ in range(running):
        os.wait()

def tell(how, name):
    os.write(1, json.dumps([how, name]).encode() + b"\\n")

gc.disable()
after = json.loads(sys.argv[1])
check(after[""], os.cpu_count())
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
    after: dict[str, list[str]] = {}
    for module in modules():
        if module.name in _IMPORTABLE:
            after.setdefault(_first_import(module), []).append(module.name)
    told = _imported_alone(after)
    again = [name for name in told if told[name] == "again"]
    told |= _imported_alone({**after, "": again})
    assert [name for name in _IMPORTABLE if told.get(name) != "imported"] == []


def _imported_alone(after: dict[str, list[str]]) -> dict[str, str]:
    """Import modules after those that they begin with; return how each went."""
    told = subprocess.run(
        [sys.executable, "-c", _ALONE, json.dumps(after)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {name: how for how, name in map(json.loads, told.stdout.splitlines())}


def _first_import(module: Module) -> str:
    """Return the module of ours that the import of this one begins with, or nothing."""
    if module.is_package:
        return ""  # its first import begins with it
    parent = module.name.rpartition(".")[0]
    package = next(one for one in modules() if one.name == parent)
    return parent if _imports(package) else next(iter(_imports(module)), "")


def _imports(module: Module) -> list[str]:
    """Return the modules of ours that a module imports when it is imported, in order."""
    names = {one.name for one in modules()} & set(_IMPORTABLE) - {module.name, "datamcp"}
    found = [
        name
        for node in module.tree.body
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    return [name for name in found if name in names]


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
