"""The artifact store that `storage.artifacts_url` means: a folder, or whatever fsspec reaches."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from datamcp.storage.artifacts import ArtifactStore, Workspace
from datamcp.storage.remote import is_remote
from datamcp.storage.remote_artifacts import RemoteArtifacts
from datamcp.storage.scratch import Scratch


class Artifacts(Protocol):
    """Where the steps of runs leave files for each other."""

    @property
    def is_remote(self) -> bool:
        """Tell whether it is reached over a network, or by whatever else is behind a URL."""
        ...

    @property
    def root(self) -> Path | str:
        """Return the folder or the URL that holds all."""
        ...

    def workspace(self, run_id: str, step_id: str, attempt: int | str, /) -> Workspace:
        """Return the place of one attempt; ProcessingError if an id cannot be part of a path."""
        ...

    def holds(self, location: str, /) -> bool:
        """Tell whether a location is inside the store, and has to be copied to be read."""
        ...

    def fetch_all(self, location: str, folder: Path, /) -> Path:
        """Return a file or a folder on this machine; what is not here is copied below `folder`."""
        ...

    def fetch_footer(self, location: str, folder: Path, /) -> Path:
        """Return a file on this machine that has at least the end of a file of the store."""
        ...

    def place_of(self, run_id: str) -> str:
        """Return where everything is that a run wrote, to be shown."""
        ...

    def remove(self, run_id: str) -> None:
        """Remove everything that a run wrote."""
        ...

    def orphans(self, instant: datetime, is_kept: Callable[[str], bool]) -> Iterator[str]:
        """Yield runs that nobody keeps, of which nothing was written since an instant."""
        ...

    def require(self) -> None:
        """Make sure that all is installed that the store needs; raises ConfigError."""
        ...

    def probe(self) -> str:
        """Return what there is to tell of the store; raises ConfigError or BackendUnavailable."""
        ...

    def close(self) -> None:
        """Remove what this process keeps on this machine."""
        ...


def open_artifacts(root_url: str, scratch: Path) -> Artifacts:
    """Return the store at a path or URL; `scratch` is a folder of this machine for its copies.

    Nothing is opened. Raises ConfigError for what is neither.
    """
    if is_remote(root_url):
        return RemoteArtifacts(root_url, Scratch(scratch))
    return ArtifactStore(root_url)
