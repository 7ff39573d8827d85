"""The Procfile, as honcho runs it in a deployment: on servers that a file `.env` names."""

import json
import shutil
import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from support.brokers import RedisServer
from support.eventually import eventually
from support.shell import START, Shell, shell
from support.source import REPOSITORY

DEPLOYED = ("Procfile", "beat", "config", "workers")
POOLS = {"pipelines", "research", "trading"}
PRICES = [100 + day % 7 for day in range(80)]


@pytest.fixture
def flower_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def deployed(
    redis_server: RedisServer, key_prefix: str, postgresql_url: str, flower_port: int
) -> Iterator[Shell]:
    """Have what is deployed of the repository, and the settings."""
    settings = {
        "DATAMCP_BROKER__URL": redis_server.broker_url,
        "DATAMCP_BROKER__KEY_PREFIX": key_prefix,
        "DATAMCP_STORAGE__DATABASE_URL": postgresql_url,
        "DATAMCP_MONITORING__FLOWER_PORT": str(flower_port),
    }
    with shell() as opened:
        for name in DEPLOYED:
            found, copy = REPOSITORY / name, opened.folder / name
            (shutil.copytree if found.is_dir() else shutil.copy)(found, copy)
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (opened.folder / ".env").write_text(lines)
        yield opened


def test_honcho_runs_the_whole_installation_and_ends_it(deployed: Shell, flower_port: int) -> None:
    """A task and a pipeline run through all pools, Flower shows them, and nothing is left."""

    def pools() -> set[str]:
        with urlopen(f"http://127.0.0.1:{flower_port}/api/workers", timeout=10) as answer:
            return {name.partition("-")[0] for name in json.load(answer)}

    with deployed.running("honcho", "start", sign="Visit me at") as honcho:
        eventually(lambda: pools() == POOLS, timeout=START)
        text = json.dumps({"prices": PRICES})
        asked = ("trading.analyze_market", "--parameters", text, "--wait", "--json")
        task = beside(deployed, "datamcp", "task", "enqueue", *asked)
        assert task["state"] == "succeeded"
        beside(
            deployed, "datamcp", "pipeline", "register", "config/pipelines/market.yaml", "--json"
        )
        run = beside(deployed, "datamcp", "pipeline", "trigger", "market", "--wait", "--json")
        assert run["state"] == "succeeded"
    assert honcho.returncode == 143
    assert {path.name for path in deployed.folder.iterdir()} == {
        *DEPLOYED, ".datamcp", ".env", "tmp"
    }  # fmt: skip


def beside(deployed: Shell, *words: str) -> dict[str, object]:
    """Run a command in the same environment, and return its JSON."""
    ran = deployed.run("honcho", "run", *words)
    assert ran.code == 0, ran.stderr
    found: dict[str, object] = ran.json
    return found
