"""Section `broker`: where messages travel."""

from pydantic import Field

from datamcp.config.section import Section
from datamcp.config.url import BrokerUrl


class BrokerConfig(Section):
    """The message broker."""

    url: BrokerUrl | None = Field(
        default=None,
        description="Address of the broker: Redis or Valkey (`redis://`, `rediss://`, "
        "`redis+socket://`, `sentinel://`) or RabbitMQ (`amqp://`, `amqps://`). "
        "Unset: the running stack's.",
    )
    key_prefix: str = Field(
        default="datamcp:",
        pattern=r"^[A-Za-z0-9._:-]*$",
        max_length=64,
        description="Put in front of every key in Redis, so that several installations "
        "may share one server.",
    )
