import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datamcp.errors import BackendUnavailable, ProcessingError
from datamcp.storage.atomic import disk_errors, written_whole

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from datamcp.storage.atomic import written_whole
with written_whole(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    """Nothing stands under the final name before the block has ended well."""
    final = tmp_path / "new" / "table"
    with written_whole(final) as part:
        part.write_text("whole")
        assert not final.exists()
    assert final.read_text() == "whole"
    assert list(final.parent.iterdir()) == [final]


def test_failed_block_changes_nothing(tmp_path: Path) -> None:
    """When the block fails, the old file stays and nothing is left beside it."""
    final = tmp_path / "table"
    final.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(final) as part:
        write_half(part)
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def write_half(part: Path) -> None:
    """Write something and fail."""
    part.write_text("half")
    raise ZeroDivisionError


def test_killed_writer_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    """A process killed while it writes leaves nothing that a reader could take for the file."""
    final = tmp_path / "table"
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(final)], check=False)
    assert done.returncode < 0
    assert not final.exists()
    assert all(left.name.endswith(".part") for left in tmp_path.iterdir())


def test_two_writers_of_one_name(tmp_path: Path) -> None:
    """Two writers do not meet: the last to end wins, with its whole content."""
    final = tmp_path / "table"
    with written_whole(final) as first:
        first.write_text("first")
        with written_whole(final) as second:
            second.write_text("second")
        assert final.read_text() == "second"
    assert final.read_text() == "first"


def test_place_where_nothing_may_be_written(tmp_path: Path) -> None:
    """A place that can never hold the file is a ProcessingError that names it."""
    (tmp_path / "file").touch()
    final = tmp_path / "file" / "table"
    with pytest.raises(ProcessingError, match=f"cannot write '{final}'"), written_whole(final):
        pass


def test_full_disk() -> None:
    """What the disk cannot do now is a BackendUnavailable, which may be tried again."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(BackendUnavailable, match="No space left") as caught,
        disk_errors(Path("table")),
    ):
        raise full
    assert caught.value.is_retryable
