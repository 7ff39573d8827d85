"""The configuration: what may be set, where it is read from, and what holds in the end.

* `section`, `size`, `url`, `root`, `redaction`: the values that settings are made of, and what is hidden.
* `system`, `broker`, `agents`, `scheduler`, `pipelines`, `storage`, `security`, `monitoring`,
  `integrations`, `schedules`: one module for each section; `settings` puts them together as `GlobalConfig`.
* `layer`: what one source says, and where.
* `fields`: what the models say about a path.
* `document`, `text`, `stack`: read YAML files, variables and command line, and a running stack.
* `names`, `directory`: other names of settings, and the folder of the files.
* `derive`: settings that follow from others.
* `rules`, `problems`: what must hold between settings, and how it is said that something does not.
* `loader`: all of this in order; `load` is the one way to a configuration.
* `view`: settings, values and origins in a form that may be shown.
* `reference`: the page that documents every setting.
"""

from datamcp.config.agents import AgentConfig, AgentManagerConfig
from datamcp.config.broker import BrokerConfig
from datamcp.config.integrations import IntegrationConfig
from datamcp.config.layer import Origin, OriginKind
from datamcp.config.loader import Loaded, load
from datamcp.config.monitoring import MonitoringConfig
from datamcp.config.pipelines import OrchestratorConfig
from datamcp.config.redaction import redact_url
from datamcp.config.scheduler import SchedulerConfig
from datamcp.config.security import PasswordPolicy, SecurityConfig, SecurityPolicy
from datamcp.config.settings import GlobalConfig
from datamcp.config.size import Size
from datamcp.config.storage import MemoryConfig, StorageConfig
from datamcp.config.system import Environment, SystemConfig
from datamcp.config.text import to_environ
from datamcp.config.url import Url

__all__ = [
    "AgentConfig",
    "AgentManagerConfig",
    "BrokerConfig",
    "Environment",
    "GlobalConfig",
    "IntegrationConfig",
    "Loaded",
    "MemoryConfig",
    "MonitoringConfig",
    "OrchestratorConfig",
    "Origin",
    "OriginKind",
    "PasswordPolicy",
    "SchedulerConfig",
    "SecurityConfig",
    "SecurityPolicy",
    "Size",
    "StorageConfig",
    "SystemConfig",
    "Url",
    "load",
    "redact_url",
    "to_environ",
]
