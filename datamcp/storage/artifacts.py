"""The files that the steps of a run hand to each other, in a folder of this machine.

Each attempt of a step has a folder of its own, `<root>/<run>/<step>/<attempt>/`. So an attempt
that was thought dead and wakes up again cannot touch what its successor wrote.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from datamcp.errors import ConfigError, Problem, ProcessingError
from datamcp.storage.atomic import disk_errors, written_whole
from datamcp.storage.location import local_path
from datamcp.types import new_token

_LOOKED_AT = 1000  # folders of one look

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,199}")  # no separator, no leading dot


_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ONE_OF_MANY = re.compile(r"\[(\d+)\]$")


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one attempt of a step writes; the folder is made with the first file."""

    folder: Path

    def publish(self, name: str) -> AbstractContextManager[Path]:
        """Give a temporary path that becomes the file `name` if the block ends well.

        `name` may hold folders (`tables/flights.parquet`), never `..`. ProcessingError for a name
        that is not safe; the disk's errors as `written_whole` says.
        """
        return written_whole(Path(self.path_of(name)))

    def path_of(self, name: str) -> str:
        """Return where the file `name` is, or will be: a path, or a URL in a remote store."""
        return str(self.folder.joinpath(*parts_of(name)))

    def size_of(self, name: str) -> int:
        """Return the bytes of the file `name`, which this attempt has published."""
        return Path(self.path_of(name)).stat().st_size

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

    is_remote = False

    def __init__(self, root_url: str) -> None:
        """Take the root as `file:///path` or a plain path; ConfigError for anything else."""
        try:
            self.root = _plain(local_path(root_url).resolve())
        except ValueError as error:
            raise unusable(str(error)) from error

    def run_folder(self, run_id: str) -> Path:
        """Return the folder that holds everything that a run wrote."""
        return self.root / safe(run_id)

    def place_of(self, run_id: str) -> str:
        """Return where everything is that a run wrote, to be shown."""
        return str(self.run_folder(run_id))

    def remove(self, run_id: str) -> None:
        """Remove everything that a run wrote; what can't be removed now is left."""
        shutil.rmtree(self.run_folder(run_id), ignore_errors=True)

    def orphans(self, instant: datetime, is_kept: Callable[[str], bool]) -> Iterator[str]:
        """Yield runs that nobody keeps, in whose folders nothing was added since an instant."""
        for run_id in self._untouched_since(instant):
            if not is_kept(run_id):
                yield run_id

    def _untouched_since(self, instant: datetime) -> list[str]:
        before = instant.timestamp()
        found: list[str] = []
        with suppress(OSError), os.scandir(self.root) as entries:
            for entry in entries:
                if is_run_id(entry.name) and entry.is_dir() and entry.stat().st_mtime < before:
                    found.append(entry.name)
                    if len(found) >= _LOOKED_AT:
                        break
        return found

    def workspace(self, run_id: str, step_id: str, attempt: int | str) -> Workspace:
        """Return the place of one attempt; ProcessingError if an id cannot be a folder's name."""
        return Workspace(self.run_folder(run_id) / folder_of(step_id) / safe(str(attempt)))

    def holds(self, _location: str) -> bool:
        """Tell whether a location has to be copied to be read: nothing of a folder's has."""
        return False

    def fetch_all(self, location: str, _folder: Path) -> Path:
        """Return where the file or folder is: here."""
        return Path(location)

    def fetch_footer(self, location: str, _folder: Path) -> Path:
        """Return where the file is: here."""
        return Path(location)

    def require(self) -> None:
        """Make sure that all is installed that the store needs, which is nothing."""

    def probe(self) -> str:
        """Return what there is to tell of the store."""
        return str(self.root)

    def close(self) -> None:
        """Do nothing: the store holds nothing."""


def folder_of(step_id: str) -> str:
    """Return the name of a step's folder: `signals=3` of `signals[3]`, one of many.

    ProcessingError if it can't be a folder's name.
    """
    return safe(_ONE_OF_MANY.sub(r"=\1", step_id))


def _plain(root: Path) -> Path:
    if set("*?[") & set(str(root)):  # engines take such a path for a pattern of many
        raise ValueError(f"{str(root)!r} may not have any of * ? [")
    return root


def is_run_id(name: str) -> bool:
    """Tell whether a name may be that of a run; whatever else there is, is not ours to remove."""
    return _RUN_ID.fullmatch(name) is not None


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts of a published file's name; ProcessingError if it is not safe."""
    return tuple(safe(part) for part in PurePosixPath(name).parts or [name])


def unusable(reason: str) -> ConfigError:
    """Return the refusal of a store that can't be used, for a reason."""
    problem = Problem("storage.artifacts_url", reason)
    return ConfigError(f"the artifact store cannot be used: {problem}", [problem])


def safe(name: str) -> str:
    """Return a name that may be part of an artifact's path; ProcessingError if it may not."""
    if not _SAFE_NAME.fullmatch(name):
        raise ProcessingError(
            f"{name!r} cannot be part of an artifact's path: letters, digits and _ . = + - "
            "are allowed, at most 200, the first one a letter, a digit or _"
        )
    return name
