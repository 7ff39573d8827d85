"""Section `monitoring`: metrics, alerts, health checks and logs."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from datamcp.config.section import Seconds, Section
from datamcp.config.system import LogLevel


def _named_and_secret(logins: SecretStr) -> SecretStr:
    for login in logins.get_secret_value().split(","):
        user, colon, password = login.partition(":")
        if not (user.strip() and colon and password.strip()):
            raise PydanticCustomError("login", "must have the form USER:PASSWORD")
    return logins


Logins = Annotated[SecretStr, AfterValidator(_named_and_secret)]
"""Users and their passwords, for HTTP's basic authentication: `USER:PASSWORD,USER:PASSWORD`."""

Port = Annotated[int, Field(ge=0, le=65_535)]
"""A TCP port; 0 for any that is free."""


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
    task_events: bool | None = Field(
        default=None,
        description="Whether workers tell Flower of each task. It costs them some speed. "
        "Unset: in development only.",
    )
    flower_address: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address at which Flower listens. One that other machines can reach needs "
        "`monitoring.flower_auth`.",
    )
    flower_port: Port = Field(
        default=5555, description="Port at which Flower listens; 0 for any that is free."
    )
    flower_auth: Logins | None = Field(
        default=None,
        description="Who may see and use Flower: `USER:PASSWORD`, several between commas; from "
        "the environment only (`DATAMCP_MONITORING__FLOWER_AUTH`). Unset: everybody on this "
        "machine may look, and nobody may change anything; staging and production refuse that.",
    )
