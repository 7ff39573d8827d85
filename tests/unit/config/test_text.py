import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.config.fields import settings
from datamcp.config.text import read_environment, read_overrides, to_environ
from datamcp.errors import ConfigError, Problem


def test_variables_become_paths() -> None:
    """Two underscores lead one level down; case does not matter; other programs' are left alone."""
    layer, problems, ignored = read_environment(
        {"DATAMCP_STORAGE__CACHE_BACKEND": "none", "PATH": "/bin", "DATAMCP_TEST_REDIS_URL": "x"}
    )
    assert layer.tree() == {"storage": {"cache_backend": "none"}}
    assert (problems, ignored) == ([], [])
    assert str(layer.entries[0].origin) == "DATAMCP_STORAGE__CACHE_BACKEND"


def test_an_empty_variable_is_not_given() -> None:
    """Compose files pass empty variables on; they set nothing."""
    layer, _, _ = read_environment({"DATAMCP_BROKER__URL": ""})
    assert layer.entries == ()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("storage.secondary_urls", "a, b,", ["a", "b"]),
        ("storage.secondary_urls", '["a", "b"]', ["a", "b"]),
        ("broker.url", "null", None),
        ("agents.research.timeout", "null", None),
        ("agents.research", "null", None),
        ("broker.key_prefix", "null", "null"),
        ("integrations.x.options.retries", "3", 3),
        ("integrations.x.options.name", "a b", "a b"),
        ("scheduler.max_retries", "3", "3"),
    ],
)
def test_text_is_read_as_the_setting_wants_it(name: str, text: str, value: object) -> None:
    """Lists, null and open options have a written form; all else is left to the models."""
    layer, problems = read_overrides({name: text})
    assert problems == []
    assert layer.entries[0].value == value


def test_a_whole_section_is_json_and_a_longer_name_is_stronger() -> None:
    """A section may be given as an object; a variable for one of its settings wins."""
    layer, _, _ = read_environment(
        {
            "DATAMCP_AGENTS__BENCH__CONCURRENCY": "4",
            "DATAMCP_AGENTS": '{"bench": {"module": "a.b:C", "concurrency": 2}}',
        }
    )
    assert layer.tree() == {"agents": {"bench": {"module": "a.b:C", "concurrency": "4"}}}


@pytest.mark.parametrize("name", ["agents", "agents.bench", "security.data_classification"])
def test_a_mapping_that_is_no_json_object_is_a_problem(name: str) -> None:
    """The problem names the setting and the source, and not the text."""
    _, problems = read_overrides({name: "x: 1"})
    assert problems == [Problem(name, "must be a JSON object (command line)")]


def test_a_list_that_is_no_json_list_is_a_problem() -> None:
    """Text that starts like a JSON list must be one."""
    _, problems = read_overrides({"storage.secondary_urls": "[a"})
    assert "JSON list" in problems[0].message


def test_a_setting_with_single_underscores_is_a_problem() -> None:
    """The most likely slip is refused with the right name."""
    _, problems, _ = read_environment({"DATAMCP_BROKER_URL": "x"})
    assert problems == [
        Problem("DATAMCP_BROKER_URL", "is no setting; did you mean 'DATAMCP_BROKER__URL'?")
    ]


def test_another_variable_of_our_prefix_is_only_warned_about() -> None:
    """Orchestrators inject variables named after a service; those must not stop a start."""
    _, problems, ignored = read_environment({"DATAMCP_SERVICE_HOST": "10.0.0.1"})
    assert problems == []
    assert ignored == [Problem("DATAMCP_SERVICE_HOST", "is no setting; ignored")]


@given(
    st.sampled_from([setting.path for setting in settings() if setting.path[0] != "integrations"])
)
def test_what_is_written_to_the_environment_is_read_from_it(path: tuple[str, ...]) -> None:
    """A variable made for a setting leads back to the same setting."""
    path = tuple(name.lower() for name in path)
    layer, _, _ = read_environment(to_environ({".".join(path): "{}"}))
    assert layer.entries[0].path == path


@pytest.mark.parametrize("name", ["broker.ulr", "agents.my__bench.timeout", "agents.Bench.timeout"])
def test_only_settings_have_variables(name: str) -> None:
    """A name that would not come back as the same setting is refused."""
    with pytest.raises(ConfigError, match="no setting"):
        to_environ({name: "x"})
