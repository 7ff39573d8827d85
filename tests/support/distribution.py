"""Installs small packages of others in a folder, as pip would leave them there."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.source import REPOSITORY


def install(folder: Path, name: str, entries: Mapping[str, str], source: str = "") -> None:
    """Put a package with one module, named as the package is, and entry points into a folder."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
    (info / "entry_points.txt").write_text(f"[datamcp.processors]\n{lines}")


def run_with(folder: Path, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own, in which the folder's packages are installed."""
    prelude = f"import sys; sys.path[:0] = {[str(folder), str(REPOSITORY / 'tests')]!r}\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
