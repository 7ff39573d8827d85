"""The wall clock of workers and beats, which a small library of ours (`clock.c`) moves."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_LIBRARY, _AHEAD = "clock.so", "clock"
_COMPILERS = ("cc", "gcc", "clang")
_LONGEST = 60  # seconds that a compiler may take


def why_not() -> str | None:
    """Return why no clock can be moved on this machine; None if one can."""
    if sys.platform != "linux":
        return "only Linux loads a library before the system's"
    return None if _compiler() else f"none of {', '.join(_COMPILERS)} is here"


def environment(folder: Path) -> Mapping[str, str]:
    """Return what lets the clock of a process be moved, by files in this folder."""
    if why_not() is not None:
        return {}
    if not (folder / _AHEAD).exists():
        step(folder, 0)
        _compile(folder / _LIBRARY)
    return {"LD_PRELOAD": str(folder / _LIBRARY), "CHAOS_CLOCK": str(folder / _AHEAD)}


def step(folder: Path, seconds: int) -> None:
    """Let the clock of the processes be so far ahead."""
    with (folder / _AHEAD).open("r+b" if (folder / _AHEAD).exists() else "wb") as file:
        file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, _COMPILERS)), None)


def _compile(library: Path) -> None:
    subprocess.run(
        [str(_compiler()), "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)],
        check=True,
        timeout=_LONGEST,
    )
