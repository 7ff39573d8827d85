"""Section `storage`: the ledger, memories, the cache in front of them, and artifacts."""

from typing import Annotated, Literal

from pydantic import Field

from datamcp.config.root import ArtifactsUrl, Root
from datamcp.config.section import Seconds, Section
from datamcp.config.size import Size
from datamcp.config.url import CacheUrl, DatabaseUrl, Url


class MemoryConfig(Section):
    """Where data is kept, in how many copies, and in which form."""

    primary_backend: Literal["postgresql", "mongodb", "sqlite"] = Field(
        default="postgresql",
        description="Kind of the primary store. Unset: what the scheme of `storage.database_url` "
        "says; set, it must agree with it.",
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        description="Address of the primary store, such as `postgresql://user@host/datamcp`. "
        "Unset: the running stack's; with `primary_backend: sqlite`, `ledger.db` in "
        "`system.state_dir`.",
    )
    cache_backend: Literal["redis", "memory", "none"] = Field(
        default="redis",
        description="Kind of the cache. Unset: what the scheme of `storage.cache_url` says; set, "
        "it must agree with it. `memory` is a cache of one process.",
    )
    cache_url: CacheUrl | None = Field(
        default=None,
        description="Address of the Redis or Valkey cache. Unset: the running stack's.",
    )
    secondary_urls: tuple[Url, ...] = Field(
        default=(), description="Addresses of the stores that hold copies."
    )
    replication_factor: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2,
        description="Stores that hold each memory, the primary included: at most one more than "
        "`storage.secondary_urls` has.",
    )
    consistency_level: Literal["strong", "eventual", "weak"] = Field(
        default="eventual",
        description="How fresh what is read must be: from the primary (`strong`), or from "
        "copies that follow it.",
    )
    compression_enabled: bool = Field(
        default=True, description="Whether large contents are compressed."
    )
    encryption_enabled: bool = Field(
        default=True,
        description="Whether contents are encrypted where they are kept. Needs "
        "`security.key_file` or `security.master_key`.",
    )
    ttl_default: Seconds = Field(
        default=86400, description="Seconds that a memory lives which does not say so itself."
    )
    max_memory_size: Size = Field(
        default=Size("10GB"), description="Space that all memories together may take."
    )
    artifacts_url: ArtifactsUrl | None = Field(
        default=None,
        min_length=1,
        description="Folder of the data that steps hand on, or a URL such as `s3://bucket/runs` "
        "(needs `datamcp[remote]`, and fsspec's package for its kind), of this installation "
        "alone. Unset: `artifacts` in `system.state_dir`.",
    )
    allowed_roots: tuple[Root, ...] = Field(
        default=(),
        description="Folders that pipelines may read from and write to, besides the artifacts "
        "and the data that is shipped with the product. A URL such as `s3://bucket/in/` allows "
        "what is below it (needs `datamcp[remote]`, and fsspec's package for its kind).",
    )


StorageConfig = MemoryConfig
"""The section's other name in the specification."""
