from pathlib import Path

import pytest

from datamcp.storage.location import local_path


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/srv/data", "/srv/data"),
        ("data/flights.csv", "data/flights.csv"),
        ("file:///srv/data", "/srv/data"),
        ("file://localhost/srv/a%20b", "/srv/a b"),
    ],
)
def test_local_locations(location: str, path: str) -> None:
    """A plain path stands for itself, a file URL for its path."""
    assert local_path(location) == Path(path)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("s3://bucket/key", "only local files.*'s3'"),
        ("file://server/share", "names no host, got 'server'"),
        ("", "is not a path"),
        ("a\0b", "is not a path"),
    ],
)
def test_other_locations_are_refused(location: str, reason: str) -> None:
    """Whatever is not a file of this machine is refused with the rule that it breaks."""
    with pytest.raises(ValueError, match=reason):
        local_path(location)
