"""The files that the steps of a run hand to each other.

Each attempt of a step has a folder of its own, `<root>/<run>/<step>/<attempt>/`. So an attempt
that was thought dead and wakes up again cannot touch what its successor wrote.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datamcp.errors import ConfigError, Problem, ProcessingError
from datamcp.storage.atomic import disk_errors, written_whole
from datamcp.storage.location import local_path
from datamcp.types import new_token

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,199}")  # no separator, no leading dot


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one attempt of a step writes; the folder is made with the first file."""

    folder: Path

    def publish(self, name: str) -> AbstractContextManager[Path]:
        """Give a temporary path that becomes the file `name` if the block ends well.

        `name` may hold folders (`tables/flights.parquet`), never `..`. ProcessingError for a name
        that is not safe; the disk's errors as `written_whole` says.
        """
        return written_whole(self.path_of(name))

    def path_of(self, name: str) -> Path:
        """Return where the file `name` is, or will be."""
        return self.folder.joinpath(*(_safe(part) for part in PurePosixPath(name).parts or [name]))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder for intermediate data; it is gone after the block."""
        folder = self.folder / f".scratch-{new_token()}"
        with disk_errors(folder):
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class ArtifactStore:
    """Gives every attempt of every step its place in the artifact store."""

    def __init__(self, root_url: str) -> None:
        """Take the root as `file:///path` or a plain path; ConfigError for anything else."""
        try:
            self.root = _plain(local_path(root_url).resolve())
        except ValueError as error:
            problem = Problem("storage.artifacts_url", str(error))
            raise ConfigError(f"the artifact store cannot be used: {problem}", [problem]) from error

    def run_folder(self, run_id: str) -> Path:
        """Return the folder that holds everything that a run wrote."""
        return self.root / _safe(run_id)

    def workspace(self, run_id: str, step_id: str, attempt: int | str) -> Workspace:
        """Return the place of one attempt; ProcessingError if an id cannot be a folder's name."""
        return Workspace(self.run_folder(run_id) / _safe(step_id) / _safe(str(attempt)))


def _plain(root: Path) -> Path:
    if set("*?[") & set(str(root)):  # engines take such a path for a pattern of many
        raise ValueError(f"{str(root)!r} may not have any of * ? [")
    return root


def _safe(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise ProcessingError(
            f"{name!r} cannot be part of an artifact's path: letters, digits and _ . = + - "
            "are allowed, at most 200, the first one a letter, a digit or _"
        )
    return name
