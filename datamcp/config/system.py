"""Section `system`: the environment and the limits of a process."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from datamcp.config.section import Seconds, Section
from datamcp.config.size import Size


class Environment(StrEnum):
    """What an installation is for; each has a file of its own."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    TESTING = "testing"

    @property
    def is_guarded(self) -> bool:
        """Tell whether settings that are unsafe on a network are refused here."""
        return self in {Environment.STAGING, Environment.PRODUCTION}


def _to_upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_to_upper)
]
"""The least severe message that is logged; in any case of letters."""


class SystemConfig(Section):
    """Global system configuration."""

    environment: Environment = Field(
        default=Environment.DEVELOPMENT,
        description="What this installation is for. Chooses the environment's file. "
        "`staging` and `production` refuse unsafe settings.",
    )
    log_level: LogLevel = Field(
        default="INFO",
        description="The least severe message that is logged; "
        "read only if `monitoring.log_level` is not set.",
    )
    debug_mode: bool = Field(
        default=False,
        description="Show more in error reports. Refused in staging and production.",
    )
    max_memory_usage: Size = Field(
        default=Size("8GB"), description="Memory that one process may use."
    )
    max_cpu_usage: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of the machine that one process may use, as a fraction.",
    )
    health_check_interval: Seconds = Field(
        default=30,
        description="Seconds between health checks; "
        "read only if `monitoring.health_check_interval` is not set.",
    )
    metrics_collection_interval: Seconds = Field(
        default=60,
        description="Seconds between two collections of metrics; "
        "read only if `monitoring.metrics_interval` is not set.",
    )
    state_dir: Path = Field(
        default=Path(".datamcp"),
        description="Folder of what belongs to this installation on this machine: "
        "the SQLite ledger, artifacts, and the record of a running stack.",
    )
