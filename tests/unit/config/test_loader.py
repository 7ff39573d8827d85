import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from datamcp.config import GlobalConfig, Loaded, load
from datamcp.errors import ConfigError
from datamcp.stack.lock import sole_stack

Load = Callable[..., Loaded]

SAFE = {
    "DATAMCP_BROKER__URL": "rediss://:hunter2@h",
    "DATAMCP_STORAGE__DATABASE_URL": "postgresql://me:hunter2@h/d",
    "DATAMCP_STORAGE__SECONDARY_URLS": "postgresql://a:hunter2@h/d,postgresql://b:hunter2@h/d",
    "DATAMCP_SECURITY__MASTER_KEY": "hunter2",
    "DATAMCP_SECURITY__ALLOW_UNSIGNED_TASKS": "true",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with base and environment files in `config`."""
    config = tmp_path / "config"
    config.mkdir()
    write(config / "base.yaml", "storage:\n  replication_factor: 1\n  encryption_enabled: false\n")
    write(config / "development.yaml", "scheduler:\n  max_retries: 1\n  max_workers: 1\n")
    return tmp_path


def write(path: Path, content: str) -> None:
    """Write a file."""
    path.write_text(content, encoding="utf-8")


def problems(cwd: Path, environ: Mapping[str, str], **overrides: str) -> dict[str, str]:
    """Return everything that is wrong, by path."""
    given = {name.replace("__", "."): text for name, text in overrides.items()}
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, overrides=given, cwd=cwd)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_each_source_is_laid_over_the_last(folder: Path) -> None:
    """Defaults, base, environment, one more file, variables, command line: the later one holds."""
    write(folder / "config/base.yaml", "storage: {replication_factor: 1, encryption_enabled: false}\n"
          "scheduler: {max_retries: 1, max_workers: 1, max_queue_size: 1, retry_delay: 1}\n")  # fmt: skip
    write(
        folder / "config/development.yaml",
        "scheduler: {max_workers: 2, max_queue_size: 2, retry_delay: 2, task_timeout: 2}\n",
    )
    write(folder / "my.yaml", "scheduler: {max_queue_size: 3, retry_delay: 3, task_timeout: 3}\n")
    environ = {
        "DATAMCP_CONFIG": "my.yaml",
        "DATAMCP_SCHEDULER__RETRY_DELAY": "4",
        "DATAMCP_SCHEDULER__TASK_TIMEOUT": "4",
    }
    loaded = load(environ=environ, overrides={"scheduler.task_timeout": "5"}, cwd=folder)
    scheduler = loaded.config.scheduler
    assert (scheduler.max_retries, scheduler.max_workers, scheduler.max_queue_size) == (1, 2, 3)
    assert (scheduler.retry_delay, scheduler.task_timeout) == (4, 5)
    assert {name: str(loaded.origins[f"scheduler.{name}"]) for name in type(scheduler).model_fields} == {
        "max_retries": "config/base.yaml:2",
        "max_workers": "config/development.yaml:1",
        "max_queue_size": "my.yaml:1",
        "retry_delay": "DATAMCP_SCHEDULER__RETRY_DELAY",
        "task_timeout": "command line",
        "lease": "default",
        "short_task": "default",
        "task_retention": "default",
        "enable_persistence": "default",
        "persistence_backend": "default",
    }  # fmt: skip
    assert loaded.file_names == ("config/base.yaml", "config/development.yaml", "my.yaml")
    assert type(loaded.config) is GlobalConfig


def test_lists_are_replaced_and_mappings_are_merged(folder: Path) -> None:
    """A later list is not appended to an earlier one; a later mapping adds its keys."""
    write(folder / "my.yaml", "security: {data_classification: {a: public}}\n"
          "monitoring: {alert_channels: [ops]}\n")  # fmt: skip
    environ = {
        "DATAMCP_CONFIG": "my.yaml",
        "DATAMCP_SECURITY__DATA_CLASSIFICATION": '{"b": "restricted"}',
    }
    loaded = load(environ=environ, cwd=folder)
    assert loaded.config.monitoring.alert_channels == ["ops"]
    assert loaded.config.security.data_classification == {"a": "public", "b": "restricted"}
    assert str(loaded.origins["security.data_classification"]).startswith("DATAMCP_")


def test_what_is_unset_keeps_its_default_and_is_not_said_to_be_set(folder: Path) -> None:
    """Absent differs from default: only what a source gave counts as set."""
    config = load(environ={}, cwd=folder).config
    assert config.scheduler.model_fields_set == {"max_retries", "max_workers"}


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_a_laptop_starts_with_the_shipped_files_alone(tmp_path: Path, environment: str) -> None:
    """Without any setting there is a SQLite ledger in the state folder, and no warning."""
    loaded = load(environ={"DATAMCP_SYSTEM__ENVIRONMENT": environment}, cwd=tmp_path)
    assert loaded.config.system.environment == environment
    assert loaded.config.storage.database_url == f"sqlite:///{tmp_path}/.datamcp/ledger.db"
    assert loaded.config.storage.artifacts_url == f"{tmp_path}/.datamcp/artifacts"
    assert loaded.config.broker.url is None
    assert loaded.config.agents["research"].module == "datamcp.agent_types.research:ResearchAgent"
    assert loaded.warnings == ()


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_guarded_environments_start_when_they_are_safe(tmp_path: Path, environment: str) -> None:
    """With passwords, a key and the explicit permission they start, and warn."""
    loaded = load(environ={**SAFE, "DATAMCP_SYSTEM__ENVIRONMENT": environment}, cwd=tmp_path)
    assert [warning.path for warning in loaded.warnings] == ["security.allow_unsigned_tasks"]
    assert "hunter2" not in repr(loaded)


def test_production_lists_all_that_is_missing(tmp_path: Path) -> None:
    """Everything that production needs is said at once."""
    environ = {
        "DATAMCP_SYSTEM__ENVIRONMENT": "production",
        "DATAMCP_BROKER__URL": "redis://h",
        "DATAMCP_STORAGE__DATABASE_URL": "sqlite:///x.db",
        "DATAMCP_SYSTEM__DEBUG_MODE": "true",
    }
    found = problems(tmp_path, environ)
    assert found.keys() == {
        "system.debug_mode",
        "broker.url",
        "storage.primary_backend",
        "storage.replication_factor",
        "storage.encryption_enabled",
        "security.allow_unsigned_tasks",
    }
    assert "(DATAMCP_BROKER__URL)" in found["broker.url"]


def test_all_problems_come_at_once_with_their_places(folder: Path) -> None:
    """Typos, wrong values, missing ones and broken rules of every source are in one list."""
    write(
        folder / "my.yaml",
        "storage:\n  cache_bakend: none\n  replication_factor: 2\nagents:\n  x:\n    timeout: soon\n",
    )
    found = problems(
        folder,
        {"DATAMCP_CONFIG": "my.yaml", "DATAMCP_BROKER_URL": "x", "DATAMCP_BROKER__URL": "hunter2"},
        max_retries="3",
        scheduler__max_workers="many",
        system__environment="producton",
    )  # fmt: skip
    assert found == {
        "storage.cache_bakend": "unknown setting; did you mean 'storage.cache_backend'? (my.yaml:2)",
        "storage.replication_factor": "is 2, which is more than the 1 there can be: the primary and "
        "0 of storage.secondary_urls (my.yaml:3)",
        "agents.x.timeout": "must be a whole number, got text: 'soon' (my.yaml:6)",
        "agents.x.module": "is missing (my.yaml:6)",
        "DATAMCP_BROKER_URL": "is no setting; did you mean 'DATAMCP_BROKER__URL'?",
        "broker.url": "must be a URL: scheme://host, such as redis://host:6379/0, got text "
        "(DATAMCP_BROKER__URL)",
        "max_retries": "unknown setting; did you mean 'scheduler.max_retries'? (command line)",
        "scheduler.max_workers": "must be a whole number, got text: 'many' (command line)",
        "system.environment": "must be development, staging, production or testing, "
        "got text: 'producton'; did you mean 'production'? (command line)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("system.debug_mode", "maybe", "must be true or false, got text: 'maybe'"),
        ("system.max_cpu_usage", "2", "must be at most 1"),
        ("system.max_cpu_usage", "nan", "must be a finite number"),
        ("system.max_memory_usage", "10G", "must be a size such as"),
        ("scheduler.task_timeout", "0", "must be at least 1, got text: '0'"),
        ("scheduler.task_timeout", "1.5", "must be a whole number"),
        ("scheduler.persistence_backend", "databse", "did you mean 'database'?"),
        ("storage.secondary_urls", "redis://h,x", "must be a URL"),
        ("agents.research.module", "os", "must have the form package.module:Class"),
        ("security.data_classification", '{"a": "secret"}', "must be public, internal"),
        ("broker.key_prefix", "a b", "must match"),
        ("storage", "[]", "must be a JSON object"),
    ],
)
def test_each_kind_of_mistake_is_said_in_plain_words(
    tmp_path: Path, setting: str, value: str, message: str
) -> None:
    """The message states the rule, the kind of the value, and the value where it is no secret."""
    with pytest.raises(ConfigError) as caught:
        load(environ={}, overrides={setting: value}, cwd=tmp_path)
    [problem] = caught.value.problems
    assert problem.path.startswith(setting)
    assert message in problem.message
    assert problem.message.endswith("(command line)")


def test_a_secret_is_in_no_message(folder: Path) -> None:
    """However wrong a configuration is, its messages never repeat what may be a secret."""
    write(
        folder / "my.yaml",
        "broker: {url: 'redis://:hunter2@h:port'}\nsecurity: {master_key: [hunter2], pasword: hunter2}\n"
        "integrations: {x: {type: [], url: {a: hunter2}, options: hunter2}}\nstorage: {cache_url: hunter2}\n",
    )
    found = problems(folder, {"DATAMCP_CONFIG": "my.yaml", "DATAMCP_AGENTS": "hunter2"})
    assert len(found) >= 7
    assert "hunter2" not in json.dumps(found)


def test_a_broken_file_is_a_problem_among_others(folder: Path) -> None:
    """A file that is missing or malformed is named, and the rest is checked all the same."""
    write(folder / "config/development.yaml", "scheduler: [\n")
    with pytest.raises(ConfigError) as caught:
        load(environ={"DATAMCP_CONFIG": "gone.yaml"}, overrides={"broker.ulr": "x"}, cwd=folder)
    listed = str(caught.value)
    assert "gone.yaml: does not exist" in listed
    assert "config/development.yaml:2: " in listed
    assert "broker.ulr: unknown setting; did you mean 'broker.url'?" in listed


def test_an_agent_may_be_named_with_its_suffix(folder: Path) -> None:
    """`research_agent` is `research`, across sources, and the origin says so."""
    write(folder / "config/base.yaml", "agents: {research: {module: a.b:C, timeout: 1}}\n"
          "storage: {replication_factor: 1, encryption_enabled: false}\n")  # fmt: skip
    write(folder / "config/development.yaml", "agents: {research_agent: {timeout: 2}}\n")
    environ = {"DATAMCP_AGENTS__RESEARCH_AGENT__CONCURRENCY": "3"}
    loaded = load(environ=environ, cwd=folder)
    research = loaded.config.agents["research"]
    assert (list(loaded.config.agents), research.timeout, research.concurrency) == (["research"], 2, 3)  # fmt: skip
    origin = str(loaded.origins["agents.research.timeout"])
    assert origin == "config/development.yaml:1, written as research_agent"


def test_an_agent_with_both_names_in_one_source_is_a_problem(folder: Path) -> None:
    """Which of the two would hold could only be guessed."""
    write(folder / "config/development.yaml",
          "agents: {x: {module: a.b:C}, x_agent: {module: a.b:C}}\n")  # fmt: skip
    assert problems(folder, {}) == {"agents.x_agent": "is given twice: also as agents.x"}


def test_an_agent_can_be_switched_off(tmp_path: Path) -> None:
    """Null in a later source removes what an earlier one named."""
    agents = load(environ={"DATAMCP_AGENTS__RESEARCH": "null"}, cwd=tmp_path).config.agents
    assert list(agents) == ["trading"]


def test_the_environment_may_be_chosen_by_file_or_command_line(folder: Path) -> None:
    """The environment's file is that of the strongest choice."""
    write(folder / "config/testing.yaml", "scheduler: {max_retries: 9}\n")
    write(folder / "my.yaml", "system: {environment: testing}\n")
    by_file = load(environ={"DATAMCP_CONFIG": "my.yaml"}, cwd=folder).config
    assert (by_file.system.environment, by_file.scheduler.max_retries) == ("testing", 9)
    chosen = {"system.environment": "development"}
    by_line = load(environ={"DATAMCP_CONFIG": "my.yaml"}, overrides=chosen, cwd=folder).config
    assert (by_line.system.environment, by_line.scheduler.max_retries) == ("development", 1)


def test_an_environments_file_may_not_name_another(folder: Path) -> None:
    """A copied file that was not edited is found out."""
    write(folder / "config/development.yaml", "system: {environment: production}\n")
    assert problems(folder, {}) == {
        "system.environment": "must be development in the file of that environment "
        "(config/development.yaml:1)"
    }


def test_a_secret_in_a_file_is_a_warning_on_a_laptop_and_an_error_elsewhere(folder: Path) -> None:
    """Secrets come only from the environment."""
    write(folder / "my.yaml", "broker: {url: 'redis://:hunter2@h'}\n")
    environ = {"DATAMCP_CONFIG": "my.yaml"}
    loaded = load(environ=environ, cwd=folder)
    assert [warning.path for warning in loaded.warnings] == ["broker.url"]
    found = problems(folder, environ, system__environment="staging")
    assert "set DATAMCP_BROKER__URL instead (my.yaml:1)" in found["broker.url"]


def test_a_running_stack_is_found_and_is_weakest(tmp_path: Path) -> None:
    """Its addresses hold only where nothing else gives one."""
    state = tmp_path / "mine"
    state.mkdir()
    record = {"broker_url": "redis://s", "cache_url": "redis://s"}
    write(state / "stack.json", json.dumps(record))
    environ = {"DATAMCP_SYSTEM__STATE_DIR": "mine", "DATAMCP_STORAGE__CACHE_URL": "redis://mine"}
    with sole_stack(state):
        loaded = load(environ=environ, cwd=tmp_path)
    assert loaded.config.broker.url == "redis://s"
    assert str(loaded.origins["broker.url"]) == "running stack (mine/stack.json)"
    assert loaded.config.storage.cache_url == "redis://mine"
    assert loaded.config.storage.database_url == f"sqlite:///{state}/ledger.db"


def test_a_variable_that_is_no_setting_is_a_warning(tmp_path: Path) -> None:
    """What an orchestrator injects does not stop a start."""
    loaded = load(environ={"DATAMCP_PORT": "tcp://10.0.0.1:6379"}, cwd=tmp_path)
    assert [warning.path for warning in loaded.warnings] == ["DATAMCP_PORT"]


def test_the_processes_own_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments, environment and folder are those of the process."""
    monkeypatch.setenv("DATAMCP_SCHEDULER__MAX_RETRIES", "7")
    monkeypatch.chdir(tmp_path)
    loaded = load()
    assert loaded.config.scheduler.max_retries == 7
    assert loaded.config.system.state_dir == tmp_path / ".datamcp"


def test_unprefixed_variables_are_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that happens to be named like a section is not ours."""
    monkeypatch.setenv("STORAGE", '{"cache_backend": "none"}')
    monkeypatch.setenv("BROKER", "x")
    assert load(cwd=tmp_path).config.storage.cache_backend == "memory"
