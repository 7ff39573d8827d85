"""Section `security`: encryption, sessions, passwords, and what is let through."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from datamcp.config.section import Count, Seconds, Section

Classification = Literal["public", "internal", "confidential", "restricted"]


class PasswordPolicy(Section):
    """What passwords must be like: long and not well known (NIST SP 800-63B-4)."""

    min_length: Annotated[int, Field(ge=8, le=1024)] = Field(
        default=15, description="Fewest characters of a password that stands alone."
    )
    min_length_with_second_factor: Annotated[int, Field(ge=8, le=1024)] = Field(
        default=8, description="Fewest characters of a password beside a second factor."
    )
    max_length: Annotated[int, Field(ge=64, le=4096)] = Field(
        default=128, description="Most characters of a password."
    )
    blocklist: tuple[str, ...] = Field(
        default=(), description="Passwords that are refused, in any case of letters."
    )


class SecurityPolicy(Section):
    """Security policy configuration."""

    encryption_algorithm: Literal["AES-256-GCM"] = Field(
        default="AES-256-GCM", description="How contents are encrypted."
    )
    key_rotation_interval: Seconds = Field(
        default=86400, description="Seconds after which a new data key is used for writing."
    )
    session_timeout: Seconds = Field(
        default=3600, description="Seconds without use after which a session ends."
    )
    max_login_attempts: Count = Field(
        default=3, description="Failed logins after which an account is slowed down."
    )
    password_policy: PasswordPolicy = Field(
        default_factory=PasswordPolicy, description="What passwords must be like."
    )
    audit_logging: bool = Field(
        default=True, description="Whether security events are written to the audit log."
    )
    data_classification: dict[str, Classification] = Field(
        default_factory=dict,
        description="Field or namespace → `public`, `internal`, `confidential` or `restricted`. "
        "Confidential and above are encrypted; restricted is never cached or logged.",
    )


class SecurityConfig(SecurityPolicy):
    """The policy, the source of its keys, and what is let through meanwhile."""

    key_file: Path | None = Field(
        default=None, description="File that holds the master key of the encryption."
    )
    master_key: SecretStr | None = Field(
        default=None,
        description="The master key itself; from the environment only "
        "(`DATAMCP_SECURITY__MASTER_KEY`).",
    )
    allow_unsigned_tasks: bool = Field(
        default=False,
        description="Run tasks whose sender is not proven. Tasks cannot be signed yet, so "
        "staging and production start only with `true`, and warn about it.",
    )
