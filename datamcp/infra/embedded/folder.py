"""A short private folder for one embedded server.

The path of a Unix socket may have about 100 bytes, so the folder cannot lie just anywhere. Its
mode (only its owner may enter) is what protects the socket.
"""

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from datamcp.errors import ConfigError
from datamcp.infra.leash import User

_SOCKET_PATH_LIMIT = 100
_LONGEST_NAME = len("/datamcp-valkey-xxxxxxxx/sockets/.s.PGSQL.5432")


def make_private_folder(kind: str, owner: User | None = None) -> Path:
    """Make an empty folder that only `owner` (by default: we) can enter.

    It stands in the folder for temporary files; or in /tmp, if that one's path is too long or
    leads through a folder that the owner may not enter. Raises ConfigError if neither will do.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"datamcp-{kind}-", dir=_choose_parent(owner)))
    if owner is not None:
        os.chown(folder, owner.uid, owner.gid)
    return folder


def takes_sockets(path: Path) -> bool:
    """Tell whether a socket may lie there: the path is short enough, and the disk knows sockets."""
    if path.is_socket():
        return True
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
    except OSError:
        return False
    path.unlink()
    return True


def remove_folder(folder: Path) -> None:
    """Remove the folder with all that is in it; it is fine if it is gone."""
    shutil.rmtree(folder, ignore_errors=True)


def _choose_parent(owner: User | None) -> Path:
    candidates = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108  mkdtemp is private
    for candidate in candidates:
        if _is_short(candidate) and (owner is None or _is_open_to_all(candidate)):
            return candidate.resolve()
    raise ConfigError(
        f"no folder for a server's socket: {candidates[0]} has too long a path or is closed to "
        "other users, and so is /tmp; set TMPDIR to another one"
    )


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder.resolve())) + _LONGEST_NAME < _SOCKET_PATH_LIMIT


def _is_open_to_all(folder: Path) -> bool:
    resolved = folder.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (resolved, *resolved.parents))
