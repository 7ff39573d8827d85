"""Which files are read: the folder of the shipped ones, and the one more that a user names."""

from collections.abc import Mapping
from pathlib import Path

from datamcp.config.text import CONFIG_DIR, CONFIG_FILE
from datamcp.errors import ConfigError

BASE = "base.yaml"

_HERE = Path(__file__).resolve().parent


def find_directory(environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the folder of base and environment files.

    It is `DATAMCP_CONFIG_DIR`, else `config` in the current folder if it holds `base.yaml`, else
    the copy in the installed package. ConfigError if the variable names a folder without one.
    """
    if named := environ.get(CONFIG_DIR):
        directory = absolute(named, cwd)
        if not (directory / BASE).is_file():
            raise ConfigError(f"{CONFIG_DIR}={named} is no folder that holds {BASE}")
        return directory
    candidates = (cwd / "config", _HERE / "shipped", _HERE.parents[1] / "config")
    for directory in candidates:
        if (directory / BASE).is_file():
            return directory
    raise ConfigError(f"no {BASE} found; name its folder in {CONFIG_DIR}")


def extra_file(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the file that `DATAMCP_CONFIG` names, if it does."""
    named = environ.get(CONFIG_FILE)
    return absolute(named, cwd) if named else None


def absolute(path: str | Path, cwd: Path) -> Path:
    """Return the path as seen from the current folder, with `~` as the user's home."""
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:  # no such user, or no home
        expanded = Path(path)
    return cwd / expanded


def shown(path: Path, cwd: Path) -> str:
    """Return how to call a file: as seen from the current folder, or from the package's."""
    for folder in (cwd, _HERE.parents[1]):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
