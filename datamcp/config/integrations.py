"""Section `integrations`: the named connections of processors, language models and alerts."""

from typing import Annotated

from pydantic import Field, JsonValue, PlainSerializer, SecretStr, StringConstraints

from datamcp.config.redaction import redact
from datamcp.config.section import Section

IntegrationName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)
]

Options = Annotated[dict[str, JsonValue], PlainSerializer(redact, when_used="json")]
"""Open settings of a connection; those whose name looks secret are never shown."""


class IntegrationConfig(Section):
    """A connection to something outside, which others refer to by its name."""

    type: str = Field(min_length=1, description="Kind of the connection, such as `postgresql`.")
    url: SecretStr | None = Field(
        default=None,
        description="Address with its credentials; from the environment only "
        "(`DATAMCP_INTEGRATIONS__NAME__URL`), and never shown.",
    )
    options: Options = Field(
        default_factory=dict,
        repr=False,
        description="Further settings, as the kind of connection defines them.",
    )
