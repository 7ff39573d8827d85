"""The whole configuration: one model with a section for each part."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from datamcp.config.agents import AgentConfig, AgentManagerConfig, AgentType
from datamcp.config.broker import BrokerConfig
from datamcp.config.integrations import IntegrationConfig, IntegrationName
from datamcp.config.monitoring import MonitoringConfig
from datamcp.config.pipelines import OrchestratorConfig
from datamcp.config.scheduler import SchedulerConfig
from datamcp.config.schedules import ScheduleConfig, ScheduleName
from datamcp.config.section import Section
from datamcp.config.security import SecurityConfig
from datamcp.config.storage import MemoryConfig
from datamcp.config.system import Environment, SystemConfig


class GlobalConfig(Section):
    """Global system configuration. Its JSON form and its repr hold no secrets."""

    system: SystemConfig = Field(default_factory=SystemConfig)
    broker: BrokerConfig = Field(default_factory=BrokerConfig)
    agents: dict[AgentType, AgentConfig] = Field(default_factory=dict)
    agent_manager: AgentManagerConfig = Field(default_factory=AgentManagerConfig)
    scheduler: SchedulerConfig = Field(default_factory=SchedulerConfig)
    schedules: dict[ScheduleName, ScheduleConfig] = Field(default_factory=dict)
    pipelines: OrchestratorConfig = Field(default_factory=OrchestratorConfig)
    storage: MemoryConfig = Field(default_factory=MemoryConfig)
    security: SecurityConfig = Field(default_factory=SecurityConfig)
    monitoring: MonitoringConfig = Field(default_factory=MonitoringConfig)
    integrations: dict[IntegrationName, IntegrationConfig] = Field(default_factory=dict)

    @field_validator("agents", "integrations", "schedules", mode="before")
    @classmethod
    def _drop_what_is_switched_off(cls, value: Any) -> Any:
        """Leave out entries that are null: so a later source removes what an earlier one named."""
        if not isinstance(value, Mapping):
            return value
        return {name: entry for name, entry in value.items() if entry is not None}

    @property
    def log_level(self) -> str:
        """Return the level that holds: of `monitoring`, or of `system` if only that is set."""
        return str(self._first_set(("monitoring", "log_level"), ("system", "log_level")))

    @property
    def health_check_interval(self) -> int:
        """Return the seconds that hold: of `monitoring`, else of another section that is set."""
        name = "health_check_interval"
        places = (("monitoring", name), ("system", name), ("agent_manager", name))
        return int(self._first_set(*places))

    @property
    def metrics_interval(self) -> int:
        """Return the seconds that hold: of `monitoring`, or of `system` if only that is set."""
        places = (("monitoring", "metrics_interval"), ("system", "metrics_collection_interval"))
        return int(self._first_set(*places))

    @property
    def sends_task_events(self) -> bool:
        """Tell whether workers announce each task, so that Flower can show it."""
        said = self.monitoring.task_events
        return self.system.environment is Environment.DEVELOPMENT if said is None else said

    def _first_set(self, *places: tuple[str, str]) -> Any:
        """Return the value of the first place that was set, else the first one's default."""
        found = [
            getattr(section, name)
            for section, name in ((getattr(self, part), name) for part, name in places)
            if name in section.model_fields_set
        ]
        part, name = places[0]
        return found[0] if found else getattr(getattr(self, part), name)
