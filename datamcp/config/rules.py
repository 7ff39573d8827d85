"""Rules that no single setting can break: each looks at a whole configuration. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

from datamcp.config.derive import PAIRS
from datamcp.config.fields import is_secret
from datamcp.config.layer import Entry, Layer, OriginKind, SettingPath, dotted
from datamcp.config.redaction import has_secret
from datamcp.config.settings import GlobalConfig
from datamcp.config.text import variable_of
from datamcp.config.url import Url
from datamcp.errors import Problem

RESERVED_TYPES = frozenset({"beat", "celery", "flower", "maintenance", "pipelines"})
"""Names of other processes, which no agent type may take."""


class Broken(NamedTuple):
    """A rule that does not hold: the setting at fault, why, and what else the rule looked at."""

    path: SettingPath
    message: str
    others: tuple[SettingPath, ...] = ()


def broken_rules(config: GlobalConfig) -> list[Broken]:
    """Return every rule that the configuration breaks."""
    return [broken for rule in _RULES for broken in rule(config)]


def secrets_in_files(layers: Sequence[Layer]) -> list[Problem]:
    """Return every secret that stands in a file, where it does not belong."""
    return [
        Problem(entry.name, f"a secret must not stand in a file{_use_instead(entry)}")
        for layer in layers
        for entry in layer.entries
        if entry.origin.kind is OriginKind.FILE and _holds_secret(entry)
    ]


def cautions(config: GlobalConfig) -> list[Problem]:
    """Return what is allowed and yet dangerous."""
    if config.system.environment.is_guarded and config.security.allow_unsigned_tasks:
        message = (
            f"tasks whose sender is not proven are run in {config.system.environment}: "
            "whoever can write to the broker can run tasks"
        )
        return [Problem("security.allow_unsigned_tasks", message)]
    return []


def _backends_agree(config: GlobalConfig) -> Iterator[Broken]:
    for pair in PAIRS:
        backend, url = _value(config, pair.backend), _value(config, pair.url)
        if url is None or pair.schemes[url.scheme] == backend:
            continue
        message = (
            f"is {backend}, but {dotted(pair.url)} is a {pair.schemes[url.scheme]} URL; "
            "the URL decides, so leave this out or make it agree"
        )
        yield Broken(pair.backend, message, (pair.url,))


def _copies_have_stores(config: GlobalConfig) -> Iterator[Broken]:
    copies, others = config.storage.replication_factor, ("storage", "secondary_urls")
    stores = 1 + len(config.storage.secondary_urls)
    if copies > stores:
        message = (
            f"is {copies}, which is more than the {stores} there can be: the primary and "
            f"{stores - 1} of {dotted(others)}"
        )
        yield Broken(("storage", "replication_factor"), message, (others,))


def _encryption_has_a_key(config: GlobalConfig) -> Iterator[Broken]:
    file, key = ("security", "key_file"), ("security", "master_key")
    is_given = [_value(config, path) is not None for path in (file, key)]
    if config.storage.encryption_enabled and not any(is_given):
        message = f"needs a key: set {dotted(file)}, or {dotted(key)} by {variable_of(key)}"
        yield Broken(("storage", "encryption_enabled"), message, (file, key))
    if all(is_given):
        yield Broken(file, f"is set beside {dotted(key)}; only one of them may be", (key,))


def _limits_are_in_order(config: GlobalConfig) -> Iterator[Broken]:
    for name, agent in config.agents.items():
        most = agent.max_instances or config.agent_manager.max_agents_per_type
        if agent.min_instances > most:
            path = ("agents", name, "min_instances")
            others = (("agents", name, "max_instances"), ("agent_manager", "max_agents_per_type"))
            yield Broken(path, f"is {agent.min_instances}, more than the {most} allowed", others)
    policy, section = config.security.password_policy, ("security", "password_policy")
    if policy.min_length > policy.max_length:
        message = f"is {policy.min_length}, more than max_length, {policy.max_length}"
        yield Broken((*section, "min_length"), message, ((*section, "max_length"),))


def _types_are_free(config: GlobalConfig) -> Iterator[Broken]:
    for name in sorted(RESERVED_TYPES & config.agents.keys()):
        yield Broken(("agents", name), "is the name of a process that is no agent; choose another")


def _schedules_run_one_thing(config: GlobalConfig) -> Iterator[Broken]:
    for name, entry in config.schedules.items():
        if (entry.task is None) == (entry.pipeline is None):
            message = "must name what it runs: either `task` or `pipeline`"
            yield Broken(("schedules", name, "task"), message, (("schedules", name, "pipeline"),))


def _queues_are_served_once(config: GlobalConfig) -> Iterator[Broken]:
    served: dict[str, str] = {**{name: name for name in config.agents}, "pipelines": "pipelines"}
    for name, agent in config.agents.items():
        for queue in agent.queues:
            if served.setdefault(queue, name) != name or queue == name:
                other = "itself" if served[queue] == name else f"agent type {served[queue]}"
                message = f"names queue {queue}, which {other} serves already"
                yield Broken(("agents", name, "queues"), message)


def _guarded_is_safe(config: GlobalConfig) -> Iterator[Broken]:
    environment = config.system.environment
    if not environment.is_guarded:
        return
    if config.system.debug_mode:
        yield Broken(("system", "debug_mode"), f"must be false in {environment}")
    for path, url in _addresses(config):
        if not (url.has_password or url.has_tls):
            yield Broken(path, f"must have a password or TLS in {environment}")
    if not config.security.allow_unsigned_tasks:
        message = f"must be true in {environment}, as tasks cannot be signed yet"
        yield Broken(("security", "allow_unsigned_tasks"), message)


def _value(config: GlobalConfig, path: SettingPath) -> Any:
    return reduce(getattr, path, config)


def _addresses(config: GlobalConfig) -> Iterable[tuple[SettingPath, Url]]:
    """Return the URLs of servers; SQLite is a file, which knows neither password nor TLS."""
    named = (
        (("broker", "url"), config.broker.url),
        (("storage", "database_url"), config.storage.database_url),
        (("storage", "cache_url"), config.storage.cache_url),
    )
    return [(path, url) for path, url in named if url is not None and url.scheme != "sqlite"]


def _holds_secret(entry: Entry) -> bool:
    if entry.value is None:
        return False
    values = entry.value if isinstance(entry.value, list) else [entry.value]
    in_url = any(isinstance(value, str) and has_secret(value) for value in values)
    return in_url or is_secret(entry.path)


def _use_instead(entry: Entry) -> str:
    return f"; set {variable_of(entry.path)} instead ({entry.origin})"


_RULES: tuple[Callable[[GlobalConfig], Iterable[Broken]], ...] = (
    _backends_agree,
    _copies_have_stores,
    _encryption_has_a_key,
    _limits_are_in_order,
    _types_are_free,
    _queues_are_served_once,
    _schedules_run_one_thing,
    _guarded_is_safe,
)
