from typing import Any

import pytest

from datamcp.config import GlobalConfig
from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank
from datamcp.config.rules import broken_rules, cautions, secrets_in_files

LAPTOP: dict[str, Any] = {"replication_factor": 1, "encryption_enabled": False}
GUARDED: dict[str, Any] = {
    "system": {"environment": "production"},
    "broker": {"url": "redis://:pw@h"},
    "storage": {"replication_factor": 1, "database_url": "postgresql://h/d?sslmode=require"},
    "security": {"key_file": "/etc/key", "allow_unsigned_tasks": True},
}


def broken(**sections: Any) -> dict[str, str]:
    """Return the settings at fault and why."""
    config = GlobalConfig.model_validate({"storage": LAPTOP, **sections})
    return {".".join(rule.path): rule.message for rule in broken_rules(config)}


def test_a_laptops_settings_break_nothing() -> None:
    """One copy, no encryption: no rule has anything to say."""
    assert broken() == {}


def test_the_class_defaults_alone_are_refused() -> None:
    """Two copies and encryption need stores and a key, and the messages name the settings."""
    found = broken(storage={})
    assert found.keys() == {"storage.replication_factor", "storage.encryption_enabled"}
    assert "storage.secondary_urls" in found["storage.replication_factor"]
    assert "security.key_file" in found["storage.encryption_enabled"]
    assert "DATAMCP_SECURITY__MASTER_KEY" in found["storage.encryption_enabled"]


def test_as_many_copies_as_stores_are_fine() -> None:
    """The primary and its secondaries may all hold a copy."""
    stores = {**LAPTOP, "secondary_urls": ["sqlite:///b", "sqlite:///c"], "replication_factor": 3}
    assert broken(storage=stores) == {}
    assert "at most" not in broken(storage={**stores, "replication_factor": 4})
    assert "storage.replication_factor" in broken(storage={**stores, "replication_factor": 4})


def test_one_key_source_is_enough() -> None:
    """Either source of the key will do; two are a contradiction."""
    storage = {"replication_factor": 1}
    assert broken(storage=storage, security={"key_file": "/k"}) == {}
    assert broken(storage=storage, security={"master_key": "k"}) == {}
    both = broken(storage=storage, security={"key_file": "/k", "master_key": "k"})
    assert both.keys() == {"security.key_file"}


@pytest.mark.parametrize(
    ("section", "backend", "url"),
    [
        ("storage", {"primary_backend": "sqlite"}, {"database_url": "postgresql://h/d"}),
        ("storage", {"cache_backend": "none"}, {"cache_url": "redis://h"}),
        ("pipelines", {"storage_backend": "sqlite"}, {"database_url": "postgresql://h/d"}),
    ],
)
def test_a_backend_must_agree_with_its_url(
    section: str, backend: dict[str, str], url: dict[str, str]
) -> None:
    """The message names both settings."""
    sections: dict[str, Any] = {"storage": {**LAPTOP, **url}}
    sections[section] = {**sections.get(section, {}), **backend}
    name = f"{section}.{next(iter(backend))}"
    assert f"storage.{next(iter(url))} is a" in broken(**sections)[name]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_guarded_environments_refuse_what_is_unsafe(environment: str) -> None:
    """Debugging, open servers and unproven senders are refused, all at once."""
    found = broken(
        system={"environment": environment, "debug_mode": True},
        broker={"url": "redis://h"},
        storage={**LAPTOP, "database_url": "postgresql://me@h/d", "cache_url": "redis://h"},
    )
    assert found.keys() == {
        "system.debug_mode",
        "broker.url",
        "storage.database_url",
        "storage.cache_url",
        "security.allow_unsigned_tasks",
    }
    assert environment in found["broker.url"]


def test_a_guarded_environment_with_everything_in_place_is_fine() -> None:
    """A password or TLS is enough; that tasks are not signed is a caution."""
    config = GlobalConfig.model_validate(GUARDED)
    assert broken_rules(config) == []
    assert [caution.path for caution in cautions(config)] == ["security.allow_unsigned_tasks"]


def test_a_laptop_is_not_cautioned() -> None:
    """Unsigned tasks are normal in development."""
    assert cautions(GlobalConfig.model_validate({"security": {"allow_unsigned_tasks": True}})) == []


def test_limits_must_be_in_order() -> None:
    """A least that is more than the most is refused."""
    agent = {"module": "a.b:C", "min_instances": 3, "max_instances": 2}
    assert broken(agents={"x": agent}).keys() == {"agents.x.min_instances"}
    policy = {"password_policy": {"min_length": 100, "max_length": 64}}
    assert broken(security=policy).keys() == {"security.password_policy.min_length"}


def test_an_agent_type_may_not_take_a_process_name() -> None:
    """`pipelines` is a worker pool already."""
    assert broken(agents={"pipelines": {"module": "a.b:C"}}).keys() == {"agents.pipelines"}


@pytest.mark.parametrize(
    ("one", "other", "at_fault"),
    [
        (["celery"], ["celery"], {"agents.b.queues"}),
        (["b"], [], {"agents.a.queues"}),
        (["pipelines"], [], {"agents.a.queues"}),
        (["a"], [], {"agents.a.queues"}),
        (["celery", "urgent"], ["slow"], set()),
    ],
)
def test_a_queue_is_served_by_one_type(
    one: list[str], other: list[str], at_fault: set[str]
) -> None:
    """A worker of another type would throw away what it does not know."""
    agents = {
        name: {"module": "a.b:C", "queues": queues} for name, queues in (("a", one), ("b", other))
    }
    assert broken(agents=agents).keys() == at_fault


@pytest.mark.parametrize(
    ("path", "value", "is_secret"),
    [
        (("broker", "url"), "redis://:pw@h", True),
        (("broker", "url"), "redis://h", False),
        (("storage", "secondary_urls"), ["redis://h", "redis://:pw@h"], True),
        (("security", "master_key"), "k", True),
        (("security", "master_key"), None, False),
        (("security", "key_file"), "/k", False),
        (("integrations", "x", "url"), "https://hooks.example/T0/B0", True),
        (("integrations", "x", "options", "api_key"), "k", True),
        (("integrations", "x", "options", "credentials", "user"), "k", True),
        (("integrations", "x", "options", "max_tokens"), 5, False),
    ],
)
def test_secrets_do_not_belong_into_files(
    path: tuple[str, ...], value: object, *, is_secret: bool
) -> None:
    """Passwords in URLs and settings that hold secrets are found, and only in files."""
    file = Layer(Rank.EXTRA_FILE, (Entry(path, value, Origin(OriginKind.FILE, "x.yaml", 3)),))
    variable = Layer(Rank.ENVIRONMENT, (Entry(path, value, Origin(OriginKind.ENVIRONMENT, "X")),))
    found = secrets_in_files([file, variable])
    assert bool(found) == is_secret
    assert all("x.yaml:3" in problem.message and "DATAMCP_" in problem.message for problem in found)
