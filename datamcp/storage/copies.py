"""Copies on this machine of what an attempt reads behind URLs; they are gone when it ends."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from datamcp.storage.artifacts import Workspace
from datamcp.storage.remote import is_remote
from datamcp.storage.roots import AllowedRoots
from datamcp.storage.store import Artifacts
from datamcp.types import new_token


class Copies:
    """Finds what an attempt asks for; what is not on this machine is copied, once."""

    def __init__(
        self, roots: AllowedRoots, artifacts: Artifacts, workspace: Callable[[], Workspace]
    ) -> None:
        """Take where files may be; `workspace` is where copies go, asked for with the first one."""
        self._roots = roots
        self._artifacts = artifacts
        self._workspace = workspace
        self._stack = ExitStack()
        self._mutex = Lock()
        self._folder: Path | None = None
        self._copies: dict[str, Path] = {}

    def find(self, path: str) -> Path:
        """Return the file or folder that `path` means, or the copy of what a URL means.

        ProcessingError if there is none, or it may not be read; BackendUnavailable.
        """
        return self._copy(path, self._roots.at_hand) if is_remote(path) else self._roots.find(path)

    def handed_over(self, location: str) -> str:
        """Return where a step's output is on this machine; what is outside of the store stays.

        Errors as `find`.
        """
        if not self._artifacts.holds(location):
            return location
        return str(self._copy(location, self._artifacts.fetch_all))

    def original(self, path: str) -> str:
        """Return of what a path is the copy; the path itself if it is none."""
        return next((url for url, copy in self._copies.items() if str(copy) == path), path)

    def _copy(self, url: str, fetch: Callable[[str, Path], Path]) -> Path:
        with self._mutex:
            if url not in self._copies:
                if self._folder is None:
                    self._folder = self._stack.enter_context(self._workspace().scratch())
                self._copies[url] = fetch(url, self._folder / new_token())
            return self._copies[url]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove all copies."""
        self._stack.__exit__(kind, error, trace)
