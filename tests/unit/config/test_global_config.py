import json

import pytest
from pydantic import BaseModel, ValidationError

from datamcp.config import (
    AgentConfig,
    AgentManagerConfig,
    GlobalConfig,
    IntegrationConfig,
    MemoryConfig,
    MonitoringConfig,
    OrchestratorConfig,
    SchedulerConfig,
    SecurityPolicy,
    SystemConfig,
)
from datamcp.config.fields import settings

_SPECIFIED: list[tuple[BaseModel, dict[str, object]]] = [
    (
        SystemConfig(),
        {
            "log_level": "INFO",
            "debug_mode": False,
            "max_memory_usage": "8GB",
            "max_cpu_usage": 0.8,
            "health_check_interval": 30,
            "metrics_collection_interval": 60,
        },
    ),
    (
        AgentManagerConfig(),
        {
            "max_agents_per_type": 10,
            "health_check_interval": 30,
            "load_balancing_strategy": "round_robin",
            "agent_timeout": 300,
            "retry_attempts": 3,
            "enable_auto_scaling": True,
            "metrics_collection": True,
        },
    ),
    (
        SchedulerConfig(),
        {
            "max_workers": 20,
            "max_queue_size": 1000,
            "task_timeout": 3600,
            "retry_delay": 60,
            "max_retries": 3,
            "enable_persistence": True,
            "persistence_backend": "redis",
        },
    ),
    (
        MemoryConfig(),
        {
            "primary_backend": "postgresql",
            "cache_backend": "redis",
            "replication_factor": 2,
            "consistency_level": "eventual",
            "compression_enabled": True,
            "encryption_enabled": True,
            "ttl_default": 86400,
            "max_memory_size": "10GB",
        },
    ),
    (
        OrchestratorConfig(),
        {
            "max_concurrent_pipelines": 10,
            "max_concurrent_tasks": 50,
            "default_timeout": 3600,
            "heartbeat_interval": 30,
            "cleanup_interval": 300,
            "max_retry_attempts": 3,
            "enable_metrics": True,
            "enable_logging": True,
            "storage_backend": "postgresql",
        },
    ),
    (
        SecurityPolicy(),
        {
            "encryption_algorithm": "AES-256-GCM",
            "key_rotation_interval": 86400,
            "session_timeout": 3600,
            "max_login_attempts": 3,
            "audit_logging": True,
            "data_classification": {},
        },
    ),
    (
        MonitoringConfig(),
        {
            "metrics_enabled": True,
            "metrics_interval": 60,
            "metrics_retention": 2592000,
            "alerting_enabled": True,
            "alert_channels": ["email", "slack"],
            "health_check_interval": 30,
            "health_check_timeout": 10,
            "log_level": "INFO",
            "log_retention": 604800,
            "structured_logging": True,
        },
    ),
]


@pytest.mark.parametrize(
    ("section", "defaults"), _SPECIFIED, ids=[type(one).__name__ for one, _ in _SPECIFIED]
)
def test_the_specified_defaults_hold(section: BaseModel, defaults: dict[str, object]) -> None:
    """Every field that the specification names is there with its default."""
    assert {name: getattr(section, name) for name in defaults} == defaults


def test_every_setting_says_what_it_means() -> None:
    """No setting goes without a description."""
    assert [setting.name for setting in settings() if not setting.description] == []


def test_the_configuration_is_frozen() -> None:
    """Nothing can be changed after it was read."""
    config = GlobalConfig()
    with pytest.raises(ValidationError):
        config.broker.url = None  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong", ["Bench", "a.b", "a.b:", ":C", "a..b:C", "a.b:C.d", "a-b:C", "a.b:C\n", "os; x:C"]
)
def test_a_module_must_have_its_form(wrong: str) -> None:
    """An agent's class is `package.module:Class` and nothing else."""
    with pytest.raises(ValidationError):
        AgentConfig(module=wrong)


@pytest.mark.parametrize("wrong", ["a.b:C", "a..b", "a-b", "", "a b", "a.b\n"])
def test_a_module_with_tasks_must_have_its_form(wrong: str) -> None:
    """It is `package.module` and nothing else."""
    with pytest.raises(ValidationError):
        AgentConfig(tasks=(wrong,))


def test_an_agent_type_has_a_class_or_tasks() -> None:
    """Exactly one of them."""
    assert AgentConfig(tasks=("a.b", "c")).module is None
    with pytest.raises(ValidationError, match="must not be set beside tasks"):
        AgentConfig(module="a.b:C", tasks=("a.b",))
    with pytest.raises(ValidationError, match="is missing"):
        AgentConfig()


def test_a_boolean_is_no_number() -> None:
    """`timeout: yes` is an error and not one second."""
    with pytest.raises(ValidationError, match="must not be a boolean"):
        AgentConfig.model_validate({"module": "a.b:C", "timeout": True})


def test_an_entry_that_is_null_is_left_out() -> None:
    """A later source switches off what an earlier one named."""
    config = GlobalConfig.model_validate({"agents": {"a": None, "b": {"module": "a.b:C"}}})
    assert list(config.agents) == ["b"]


def test_intervals_and_level_come_from_the_nearest_section_that_is_set() -> None:
    """`monitoring` wins; the other sections are read only if they are set."""
    nothing = GlobalConfig()
    assert (nothing.log_level, nothing.health_check_interval, nothing.metrics_interval) == (
        "INFO",
        30,
        60,
    )
    system = {"log_level": "debug", "health_check_interval": 5, "metrics_collection_interval": 7}
    own = GlobalConfig.model_validate({"system": system})
    assert (own.log_level, own.health_check_interval, own.metrics_interval) == ("DEBUG", 5, 7)
    both = GlobalConfig.model_validate({"system": system, "monitoring": {"log_level": "ERROR"}})
    assert (both.log_level, both.health_check_interval) == ("ERROR", 5)
    agents = GlobalConfig.model_validate({"agent_manager": {"health_check_interval": 9}})
    assert agents.health_check_interval == 9


def test_no_secret_is_printed_or_dumped() -> None:
    """Neither repr nor JSON of a configuration holds a secret."""
    config = GlobalConfig.model_validate(
        {
            "broker": {"url": "redis://:hunter2@h"},
            "security": {"master_key": "hunter2"},
            "storage": {"secondary_urls": ["postgresql://me:hunter2@h/db"]},
            "integrations": {
                "x": {"type": "http", "url": "http://hunter2", "options": {"api_key": "hunter2"}}
            },
        }
    )
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config)
    assert "hunter2" not in json.dumps(config.model_dump(mode="json"))
    assert isinstance(config.integrations["x"], IntegrationConfig)
    assert config.integrations["x"].options == {"api_key": "hunter2"}
