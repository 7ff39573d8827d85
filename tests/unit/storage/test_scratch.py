import os
import subprocess
import sys
from pathlib import Path

import pytest

from datamcp.errors import ProcessingError
from datamcp.storage.scratch import Scratch


def test_a_process_has_one_folder(tmp_path: Path) -> None:
    """It is made when it is first asked for, stays the same, and is gone when closed."""
    scratch = Scratch(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()
    folder = scratch.folder()
    assert folder.is_dir()
    assert scratch.folder() == folder
    scratch.close()
    assert list((tmp_path / "deep").iterdir()) == []
    scratch.close()


def test_folders_of_the_living_stay(tmp_path: Path) -> None:
    """Whoever makes one removes those alone whose process was killed."""
    first = Scratch(tmp_path).folder()
    (first / "file").touch()
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, stdout=subprocess.PIPE
    )
    left = Path(died.stdout.decode().strip())
    assert (left / "file").exists()
    Scratch(tmp_path).folder()
    assert (first / "file").exists()
    assert not left.exists()
    assert not left.with_suffix(".lock").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from datamcp.storage.scratch import Scratch
folder = Scratch(Path(sys.argv[1])).folder()
(folder / "file").touch()
print(folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_makes_its_own(tmp_path: Path) -> None:
    """After a fork, a folder is not shared, and closing it leaves the parent's."""
    scratch = Scratch(tmp_path)
    folder = scratch.folder()
    child = os.fork()
    if child == 0:
        other = scratch.folder()
        scratch.close()
        os._exit(0 if other != folder and not other.exists() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert folder.is_dir()


def test_where_nothing_may_be_written(tmp_path: Path) -> None:
    """One line says so."""
    (tmp_path / "file").touch()
    with pytest.raises(ProcessingError, match="cannot write"):
        Scratch(tmp_path / "file").folder()
