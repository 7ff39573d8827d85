"""Folders of this machine, or what remote addresses begin with: allowed roots, and the artifacts'."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, PlainSerializer, PlainValidator, TypeAdapter
from pydantic_core import PydanticCustomError

from datamcp.config.url import Url, scheme_of

_LOCAL = frozenset({"file", "local"})
_OF_ONE_PROCESS = frozenset({"memory"})


def fault_of_remote(url: str) -> str:
    """Return what keeps a URL from naming one place below its host or bucket; empty if nothing.

    A folder's last slash is no fault. What is refused could lead out of the folder that a URL seems
    to be in: `..`, in whatever spelling, empty parts, and `::`, which chains several places.
    """
    scheme, _, rest = url.partition("://")
    if not rest.strip("/"):
        return "names no bucket or host"
    if scheme.lower() in _LOCAL:
        return "is a folder of this machine; write its path"
    if "::" in url or "\\" in url or not url.isprintable():
        return "may not have ::, \\ or unprintable characters"
    parts = [unquote(part) for part in rest.removesuffix("/").split("/")]
    if any(part in {"", ".", ".."} or "/" in part or "\\" in part for part in parts):
        return "may not have empty parts, . or .. in its path"
    return ""


def _parsed(value: Any) -> Url | Path:
    if not isinstance(value, str | Path):
        raise PydanticCustomError("root", "must be a path, or a URL such as s3://bucket/in/")
    if isinstance(value, Path) or not scheme_of(value):
        return Path(value)
    return _remote(value)


def _remote(value: str) -> Url:
    url: Url = TypeAdapter(Url).validate_python(value)
    fault = "may not hold a password" if url.has_password else fault_of_remote(url)
    if fault or {"*", "?", "["} & set(url):
        raise PydanticCustomError(
            "root", "{fault}", {"fault": fault or "may not have any of * ? ["}
        )
    return url


def _store(value: str) -> str:
    scheme = scheme_of(value)
    if scheme in _OF_ONE_PROCESS:
        raise PydanticCustomError(
            "root",
            "{scheme}:// is a store of one process alone, and steps run in several; name a folder",
            {"scheme": scheme},
        )
    return _remote(value) if scheme not in {"", "file"} else value


Root = Annotated[
    Url | Path,
    PlainValidator(_parsed, json_schema_input_type=str),
    PlainSerializer(str, return_type=str, when_used="json"),
]
"""A folder's path, or the beginning of URLs, such as `s3://bucket/in/`."""

ArtifactsUrl = Annotated[str, AfterValidator(_store)]
"""The root of the artifacts: a folder's path or `file://` URL, or a URL that all workers reach."""
