"""Section `monitoring`: metrics, alerts, health checks and logs."""

from pydantic import Field

from datamcp.config.section import Seconds, Section
from datamcp.config.system import LogLevel


class MonitoringConfig(Section):
    """Monitoring and alerting configuration."""

    metrics_enabled: bool = Field(default=True, description="Whether metrics are collected.")
    metrics_interval: Seconds = Field(
        default=60, description="Seconds between two collections of metrics."
    )
    metrics_retention: Seconds = Field(
        default=2_592_000, description="Seconds that metrics are kept (30 days)."
    )
    alerting_enabled: bool = Field(default=True, description="Whether alerts are sent.")
    alert_channels: list[str] = Field(
        default_factory=lambda: ["email", "slack"],
        description="Where alerts go: `email`, `slack`, or the name of an integration.",
    )
    health_check_interval: Seconds = Field(default=30, description="Seconds between health checks.")
    health_check_timeout: Seconds = Field(
        default=10, description="Seconds that one health check may take."
    )
    log_level: LogLevel = Field(
        default="INFO",
        description="The least severe message that is logged. Unset: `system.log_level`.",
    )
    log_retention: Seconds = Field(
        default=604_800, description="Seconds that logs are kept (7 days)."
    )
    structured_logging: bool = Field(
        default=True, description="Whether log lines are JSON objects instead of prose."
    )
