"""The settings of one test's installation, as text: they win over all that is configured."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datamcp.agents.agent import BaseAgent
from datamcp.errors import ConfigError

NO_BROKER = "null"


@dataclass(frozen=True, slots=True)
class Broker:
    """A corner of a broker: its URL, and the prefix of the keys in it."""

    url: str
    key_prefix: str


def settings_of(
    folder: Path,
    *,
    database_url: str,
    broker: Broker | None = None,
    agents: Iterable[type[BaseAgent]] = (),
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the settings of an installation that keeps all it has in a folder.

    `agents` are classes that are switched on besides those that are configured. `settings` come
    last: `{"agents.bench.timeout": "5"}`. Raises ConfigError for a class that can't be imported
    by name.
    """
    return {
        "system.environment": "testing",
        "system.state_dir": str(folder),
        "storage.database_url": database_url,
        "broker.url": NO_BROKER if broker is None else broker.url,
        **({} if broker is None else {"broker.key_prefix": broker.key_prefix}),
        **{f"agents.{agent.agent_type}.module": _path(agent) for agent in agents},
        **(settings or {}),
    }


def _path(agent: type[BaseAgent]) -> str:
    name = agent.__name__
    if not agent.agent_type:
        raise ConfigError(f"{name} has no agent_type: give the class one")
    if getattr(sys.modules.get(agent.__module__), name, None) is not agent:
        raise ConfigError(f"{agent.__qualname__} can't be imported: define it in a module's body")
    return f"{agent.__module__}:{name}"
