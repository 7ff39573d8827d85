from pathlib import Path

import pytest

from datamcp.config import Loaded, load
from datamcp.config.redaction import HIDDEN
from datamcp.config.view import explain, nested, rows
from datamcp.errors import ConfigError

SECRETS = {
    "DATAMCP_BROKER__URL": "redis://:hunter2@h",
    "DATAMCP_SECURITY__MASTER_KEY": "hunter2",
    "DATAMCP_INTEGRATIONS__X": '{"type": "http", "url": "http://hunter2", '
    '"options": {"api_key": "hunter2", "retries": 3}}',
}


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Return the shipped configuration with secrets of every kind."""
    return load(environ=SECRETS, cwd=tmp_path)


def test_rows_hold_every_setting_and_no_secret(loaded: Loaded) -> None:
    """Each setting has a value and an origin; of a URL only the password is hidden."""
    found = {row.name: row for row in rows(loaded)}
    assert found.keys() == loaded.origins.keys()
    assert "hunter2" not in str(found)
    assert found["broker.url"].value == f"redis://:{HIDDEN}@h"
    assert str(found["broker.url"].origin) == "DATAMCP_BROKER__URL"
    assert found["integrations.x.options"].value == {"api_key": HIDDEN, "retries": 3}


def test_rows_of_a_section(loaded: Loaded) -> None:
    """A section is narrowed down to; an agent's suffix is understood."""
    assert [row.name for row in rows(loaded, "broker")] == ["broker.url", "broker.key_prefix"]
    assert rows(loaded, "agents.research_agent") == rows(loaded, "agents.research")
    assert nested(loaded, "broker") == {"url": f"redis://:{HIDDEN}@h", "key_prefix": "datamcp:"}
    assert nested(loaded)["broker"] == nested(loaded, "broker")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("storge", "did you mean 'storage'?"),
        ("storage.database_ulr", "did you mean 'storage.database_url'?"),
        ("agents.nobody.timeout", "there is no agents.nobody in this configuration"),
        ("broker.url.host", "unknown setting"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_a_hint(
    loaded: Loaded, name: str, message: str
) -> None:
    """What was meant is suggested, or it is said what is not configured."""
    for look in (rows, nested, explain):
        with pytest.raises(ConfigError) as caught:
            look(loaded, name)
        assert message in str(caught.value)


def test_an_explanation_names_every_source_strongest_first(tmp_path: Path) -> None:
    """What was overridden is listed under what holds, down to the default."""
    environ = {"DATAMCP_STORAGE__REPLICATION_FACTOR": "1"}
    explanation = explain(load(environ=environ, cwd=tmp_path), "storage.replication_factor")
    assert explanation.row.value == 1
    names = [str(source.origin) for source in explanation.sources]
    assert names[0] == "DATAMCP_STORAGE__REPLICATION_FACTOR"
    assert "config/base.yaml:" in names[1]
    assert (names[2], explanation.sources[2].value) == ("default", 2)


def test_an_explanation_says_when_a_name_is_read_as_another(loaded: Loaded) -> None:
    """`research_agent` is explained as `research`, and that is said."""
    explanation = explain(loaded, "agents.research_agent.timeout")
    assert explanation.row.name == "agents.research.timeout"
    assert explanation.note == "agents.research_agent is read as agents.research"


@pytest.mark.parametrize(
    "name", ["broker.url", "security.master_key", "integrations.x.url", "integrations.x.options"]
)
def test_an_explanation_holds_no_secret(loaded: Loaded, name: str) -> None:
    """Neither the value nor what a source said is shown."""
    explanation = explain(loaded, name)
    assert explanation.sources
    assert "hunter2" not in str(explanation)


def test_a_section_cannot_be_explained(loaded: Loaded) -> None:
    """The error says how to list it."""
    with pytest.raises(ConfigError, match="datamcp config show storage"):
        explain(loaded, "storage")
