from pathlib import Path

import pytest
from pydantic import ValidationError

from datamcp.config.storage import MemoryConfig
from datamcp.config.url import Url


def test_folders_and_urls() -> None:
    """A root is a folder's path, or a URL; both come back from JSON as they went."""
    config = MemoryConfig.model_validate({"allowed_roots": ["/srv", "data", "s3://bucket/in/"]})
    assert config.allowed_roots == (Path("/srv"), Path("data"), Url("s3://bucket/in/"))
    assert [type(root) for root in config.allowed_roots][2] is Url
    assert MemoryConfig.model_validate_json(config.model_dump_json()) == config
    assert MemoryConfig(allowed_roots=(Path("/srv"),)).allowed_roots == (Path("/srv"),)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("s3://", "names no bucket or host"),
        ("file:///srv", "is a folder of this machine; write its path"),
        ("local:///srv", "is a folder of this machine"),
        ("sftp://me:secret@host/in", "may not hold a password"),
        ("s3://bucket/*", r"may not have any of \* \? \["),
        ("s3://bucket/../x", r"may not have empty parts, \. or \.\."),
        ("s3://bucket/%2e%2e/x", r"may not have empty parts, \. or \.\."),
        ("s3://bucket/a::b", "may not have ::"),
        (7, "must be a path, or a URL such as"),
    ],
)
def test_roots_that_are_refused(root: object, reason: str) -> None:
    """A URL that says more than where something is, or less, is refused without its password."""
    with pytest.raises(ValidationError, match=reason) as caught:
        MemoryConfig.model_validate({"allowed_roots": [root]})
    assert "secret" not in "".join(error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize("url", ["/srv/runs", "runs", "file:///srv/runs", "s3://bucket/runs"])
def test_artifacts(url: str) -> None:
    """The artifacts are in a folder, or behind a URL; it stays as it was written."""
    assert MemoryConfig.model_validate({"artifacts_url": url}).artifacts_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("memory://runs", "memory:// is a store of one process alone"),
        ("sftp://me:secret@host/runs", "may not hold a password"),
        ("s3://bucket/../runs", "may not have empty parts"),
        ("s3://bucket/runs*", "may not have any of"),
        ("local:///srv", "is a folder of this machine"),
    ],
)
def test_artifacts_that_are_refused(url: str, reason: str) -> None:
    """What other processes would not find, or what holds a secret."""
    with pytest.raises(ValidationError, match=reason) as caught:
        MemoryConfig.model_validate({"artifacts_url": url})
    assert "secret" not in "".join(error["msg"] for error in caught.value.errors())
