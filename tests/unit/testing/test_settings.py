import subprocess
import sys
from pathlib import Path
from signal import Signals

import pytest
from support.inline import Calc

from datamcp import BaseAgent
from datamcp.config.loader import load
from datamcp.errors import ConfigError
from datamcp.testing import Broker
from datamcp.testing.containers import signal_of
from datamcp.testing.settings import settings_of


def test_an_installation_is_of_the_test_alone(tmp_path: Path) -> None:
    """All that it keeps is in a folder, whatever the configuration says."""
    config = load(
        environ={"DATAMCP_BROKER__URL": "redis://elsewhere/0"},
        overrides=settings_of(tmp_path, database_url="sqlite:///:memory:", agents=[Calc]),
    ).config
    assert config.system.environment == "testing"
    assert config.broker.url is None
    assert Path(config.system.state_dir) == tmp_path
    assert Path(str(config.storage.artifacts_url)).is_relative_to(tmp_path)
    assert config.agents["calc"].module == "support.inline:Calc"


def test_its_broker_is_a_corner_of_one(tmp_path: Path) -> None:
    """With a prefix of its own."""
    broker = Broker("redis://localhost/1", "test:")
    config = load(
        environ={}, overrides=settings_of(tmp_path, database_url="sqlite://", broker=broker)
    ).config
    assert (str(config.broker.url), config.broker.key_prefix) == (broker.url, broker.key_prefix)


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    """Over what would be usual for a test."""
    chosen = {"system.environment": "development", "agents.calc.timeout": "7"}
    made = settings_of(tmp_path, database_url="sqlite://", agents=[Calc], settings=chosen)
    config = load(environ={}, overrides=made).config
    assert (config.system.environment, config.agents["calc"].timeout) == ("development", 7)


def test_an_agent_needs_a_type_and_a_place(tmp_path: Path) -> None:
    """So that the configuration can name it."""

    class Local(BaseAgent):
        agent_type = "local"

    class Nameless(BaseAgent):
        pass

    with pytest.raises(ConfigError, match=r"Local can't be imported: define it in a module's body"):
        settings_of(tmp_path, database_url="sqlite://", agents=[Local])
    with pytest.raises(ConfigError, match="Nameless has no agent_type"):
        settings_of(tmp_path, database_url="sqlite://", agents=[Nameless])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, Signals.SIGKILL),
        ("SIGTERM", Signals.SIGTERM),
        ("TERM", Signals.SIGTERM),
        (9, Signals.SIGKILL),
    ],
)
def test_docker_s_words_for_signals(given: str | int | None, meant: Signals) -> None:
    """A name with or without its beginning, a number, or none."""
    assert signal_of(given) is meant


def test_only_the_plug_ins_need_pytest() -> None:
    """A suite of another kind can use all the rest."""
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['pytest', '_pytest', 'pytest_celery', 'docker']))\n"
        "import datamcp.testing\n"
        "assert len(datamcp.testing.__all__) > 10"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
