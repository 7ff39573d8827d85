import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.source import PACKAGE, REPOSITORY

from datamcp.config.loader import load
from datamcp.tasks.queues import PIPELINES

_SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

# Put together here, so that this file is not the first to break the rule.
_REGISTRIES = re.compile(
    "|".join(
        [
            r"py" + r"pi\.org",
            r"pythonhosted" + r"\.org",
            r"anaconda" + r"\.org",
            "index" + r"[-_]url",
        ]
    )
)
_MACHINE_PATHS = re.compile(r"(?<![\w.$}/~])/(?:ho" + r"me|ro" + r"ot|wo" + r"rk|Us" + r"ers)/")


def files() -> Iterator[Path]:
    """Yield every file of the repository, as far as git knows them; else all that are not hidden."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
        yield from (path for path in found if path.is_file())
        return
    for path in REPOSITORY.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
        if path.is_file() and not hidden and "__pycache__" not in path.parts:
            yield path


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every file that is text."""
    for path in files():
        if path.suffix not in {".gz", ".png"}:
            yield str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")


def test_no_file_names_a_registry() -> None:
    """Whoever installs chooses where packages come from."""
    assert [name for name, text in texts() if _REGISTRIES.search(text)] == []


def test_no_file_names_a_path_of_a_machine() -> None:
    """What is written in one place holds in every other."""
    assert [name for name, text in texts() if _MACHINE_PATHS.search(text)] == []


def test_yaml_has_no_tabs() -> None:
    """A tab is no indentation in YAML."""
    named = [(name, text) for name, text in texts() if name.endswith((".yaml", ".yml"))]
    assert named
    assert [name for name, text in named if "\t" in text] == []


def test_each_pool_of_the_configuration_has_its_entry() -> None:
    """`workers/` has one module for `pipelines` and one for each agent type that is switched on."""
    pools = {PIPELINES, *load(environ={}, cwd=REPOSITORY).config.agents}
    entries = {path.stem for path in (REPOSITORY / "workers").glob("*.py")} - {"__init__"}
    assert entries == pools


@pytest.mark.parametrize("path", sorted((REPOSITORY / "workers").glob("[!_]*.py")), ids=str)
def test_an_entry_only_assembles(path: Path) -> None:
    """The entry of a pool is an import and the app of the pool that it is named after."""
    docstring, imported, app = ast.parse(path.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(imported) == "import datamcp"
    assert ast.unparse(app) == f"app = datamcp.worker_app('{path.stem}')"


def test_the_entry_of_beat_only_assembles() -> None:
    """The entry of beat is an import and the app."""
    docstring, imported, app = ast.parse((REPOSITORY / "beat" / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert [ast.unparse(imported), ast.unparse(app)] == ["import datamcp", "app = datamcp.celery"]


def test_the_wheel_has_the_library_and_the_configuration() -> None:
    """The wheel is the package, plus `config/` where the library looks for its own copy."""
    wheel = _SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["datamcp"]
    assert wheel["force-include"] == {"config": "datamcp/config/shipped"}
    assert (REPOSITORY / "config" / "base.yaml").is_file()


def test_the_package_has_its_data() -> None:
    """What the library reads besides Python is inside of the package: input, migrations, types."""
    flights = yaml.safe_load((REPOSITORY / "config" / "pipelines" / "flights.yaml").read_text())
    month = flights["parameters"]["month"]["default"]
    inputs = [f"flights_{month}.csv.gz", "weather_2013.csv.gz", "airlines.csv"]
    inputs += ["airports.csv.gz", "planes.csv.gz", "wti_1986_2018.csv.gz"]
    wanted = [*(f"data/{name}" for name in inputs), "infra/migrations/script.py.mako", "py.typed"]
    assert [name for name in wanted if not (PACKAGE / name).is_file()] == []
