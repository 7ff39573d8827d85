"""A kind of storage for fsspec that is a folder: it stands in for one that is far away.

It needs nothing but fsspec, so that a copy of this file may be installed beside a worker.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from fsspec.spec import AbstractFileSystem

ROOT = "FOLDER_STORAGE"
"""The environment variable that names the folder."""


class FolderStorage(AbstractFileSystem):  # type: ignore[misc]
    """`folder://place/a` is the file `place/a` of the folder; what is put is seen as it grows."""

    protocol = "folder"
    cachable = False
    fault: ClassVar[Callable[[str, str], None]] = staticmethod(lambda _verb, _path: None)
    """Told of each act before, or half way through it; may raise."""

    def _place(self, path: str) -> Path:
        return Path(_root(), self._strip_protocol(path))

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        """List a folder, or a file."""
        type(self).fault("ls", path)
        place = self._place(path)
        found = sorted(place.iterdir()) if place.is_dir() else [place]
        described = [self._about(one) for one in found]
        return described if detail else [one["name"] for one in described]

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Describe a file."""
        type(self).fault("info", path)
        return self._about(self._place(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        self._place(path).mkdir(parents=True, exist_ok=exist_ok)

    def put_file(self, lpath: str, rpath: str, *_args: Any, **_options: Any) -> None:
        """Write a file, the second half after the fault."""
        content = Path(lpath).read_bytes()
        half = len(content) // 2
        with self._place(rpath).open("wb") as file:
            file.write(content[:half])
            file.flush()
            type(self).fault("put", rpath)
            file.write(content[half:])

    def get_file(self, rpath: str, lpath: str, *_args: Any, **_options: Any) -> None:
        """Read a file."""
        type(self).fault("get", rpath)
        shutil.copyfile(self._place(rpath), lpath)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_options: Any) -> bytes:
        """Return a part of a file."""
        return self._place(path).read_bytes()[start:end]

    def mv(self, path1: str, path2: str, *_args: Any, **_options: Any) -> None:
        """Move a file."""
        type(self).fault("mv", path2)
        self._place(path1).replace(self._place(path2))

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        type(self).fault("rm", path)
        self._place(path).unlink()

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove a file, or all of a folder."""
        type(self).fault("rm", path)
        if recursive and maxdepth is None:
            shutil.rmtree(self._place(path))
        else:
            self._place(path).unlink()

    def _about(self, place: Path) -> dict[str, Any]:
        about = place.stat()
        return {
            "name": place.relative_to(_root()).as_posix(),
            "size": about.st_size,
            "type": "directory" if place.is_dir() else "file",
            "mtime": about.st_mtime,
        }


class FolderObjects(FolderStorage):
    """The same as an object store: what is put is seen whole, there are no folders, and no moves."""

    protocol = "s3"

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Refuse: there are none."""
        raise AssertionError("an object store was asked for a folder")

    def put_file(self, lpath: str, rpath: str, *_args: Any, **_options: Any) -> None:
        """Write a file, and show it when all of it is there."""
        type(self).fault("put", rpath)
        place = self._place(rpath)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lpath, place)

    def mv(self, path1: str, path2: str, *_args: Any, **_options: Any) -> None:
        """Refuse: there are none."""
        raise AssertionError("an object store was asked to move")


def _root() -> str:
    return os.environ[ROOT]  # noqa: TID251  it is told by the test, in whichever process


def away(_verb: str, _path: str) -> None:
    """Raise what a network does."""
    raise OSError(errno.ENETUNREACH, "network is unreachable")


def install(folder: Path) -> None:
    """Make `folder://` known to fsspec in programs that find modules in a folder."""
    shutil.copyfile(__file__, folder / "folder_storage.py")
    about = folder / "folder_storage-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: folder_storage\nVersion: 1.0\n")
    entry = "[fsspec.specs]\nfolder = folder_storage:FolderStorage\n"
    (about / "entry_points.txt").write_text(entry)
