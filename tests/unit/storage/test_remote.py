import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from datamcp.errors import BackendUnavailable, ConfigError, ProcessingError
from datamcp.storage.remote import RemoteFiles, is_remote
from datamcp.storage.roots import AllowedRoots


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """Have fsspec's store in memory, empty before and after."""
    store = MemoryFileSystem()
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture
def remote() -> RemoteFiles:
    """Return what may be reached: `in` of the store in memory, and a bucket."""
    return RemoteFiles(["memory://in/", "s3://bucket"])


def test_what_is_remote() -> None:
    """A URL of a kind of storage is; paths and file URLs are not."""
    assert [is_remote(one) for one in ("s3://b/k", "memory://x", "/a", "a", "file:///a")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_files_go_there_and_back(
    memory: MemoryFileSystem, remote: RemoteFiles, tmp_path: Path
) -> None:
    """What was sent is fetched; a file that was there is replaced, and no part is left."""
    for content in ("old", "new"):
        (tmp_path / "a").write_text(content)
        remote.send(tmp_path / "a", "memory://in/deep/a.csv")
    remote.fetch("memory://in/deep/a.csv", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_text() == "new"
    assert list(memory.store) == ["/in/deep/a.csv"]


def test_patterns(memory: MemoryFileSystem, remote: RemoteFiles) -> None:
    """A pattern finds files below the prefix, sorted; hidden ones and folders are none."""
    for name in ("b.csv", "a.csv", "x/c.csv", "x/.d.csv", ".e.csv.1f.part", "f.txt"):
        memory.pipe_file(f"/in/{name}", b"a\n")
    assert remote.matching("memory://in/*.csv") == ("memory://in", ["a.csv", "b.csv"])
    assert remote.matching("memory://in/x/*") == ("memory://in/x", ["c.csv"])
    assert remote.matching("memory://in/**/*.csv")[1] == ["a.csv", "b.csv", "x/c.csv"]
    with pytest.raises(ProcessingError, match=r"no file matches 'memory://in/\*\.gz'"):
        remote.matching("memory://in/*.gz")


@pytest.mark.parametrize(
    "url",
    [
        "memory://out/a.csv",
        "memory://in",
        "memory://inside/a.csv",
        "s3://bucket2/a.csv",
        "s3://Bucket/a.csv",
        "gs://bucket/a.csv",
        "memory://in/../out/a.csv",
        "memory://in/%2E%2e/out/a.csv",
        "memory://in/%2e%2e%2fout/a.csv",
        "memory://in//a.csv",
        "memory://in/./a.csv",
        "memory://in/a.csv::file:///etc/passwd",
        "memory://in/..\\a.csv",
        "memory://",
    ],
)
def test_places_outside_are_refused(
    memory: MemoryFileSystem, remote: RemoteFiles, url: str, tmp_path: Path
) -> None:
    """Nothing is read or written that is not clearly below a prefix."""
    memory.pipe_file("/out/a.csv", b"a\n")
    (tmp_path / "a").touch()
    with pytest.raises(ProcessingError, match=r"is outside of storage\.allowed_roots|cannot use"):
        remote.fetch(url, tmp_path / "b")
    with pytest.raises(ProcessingError, match=r"is outside of storage\.allowed_roots|cannot "):
        remote.send(tmp_path / "a", url)
    with pytest.raises(ProcessingError):
        remote.matching(f"{url}/*")
    assert list(memory.store) == ["/out/a.csv"]


def test_a_destination_is_one_file(remote: RemoteFiles, tmp_path: Path) -> None:
    """A pattern or a folder cannot be written."""
    for url in ("memory://in/*.csv", "memory://in/a/"):
        with pytest.raises(ProcessingError, match="it is not the name of a file"):
            remote.send(tmp_path, url)


def test_what_breaks_off_leaves_the_older_file(
    memory: MemoryFileSystem,
    remote: RemoteFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A storage that fails on the way may work later; the file is what it was."""
    memory.pipe_file("/in/a.csv", b"old")
    (tmp_path / "a").write_text("new")

    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "network is down")

    monkeypatch.setattr(MemoryFileSystem, "cp_file", failing)
    with pytest.raises(BackendUnavailable, match=r"memory://in/a\.csv' is unreachable: network is"):
        remote.send(tmp_path / "a", "memory://in/a.csv")
    assert dict.fromkeys(memory.store) == {"/in/a.csv": None}
    assert memory.cat_file("/in/a.csv") == b"old"


def test_a_file_that_is_not_there(
    memory: MemoryFileSystem, remote: RemoteFiles, tmp_path: Path
) -> None:
    """A missing file is named."""
    with pytest.raises(ProcessingError, match=r"no file 'memory://in/a\.csv'"):
        remote.fetch("memory://in/a.csv", tmp_path / "a")


def test_what_has_to_be_installed(
    remote: RemoteFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what is missing: fsspec, or its package for a kind of storage."""
    with pytest.raises(ConfigError, match=r"^s3:// needs fsspec's package for it, too: Install s3"):
        remote.fetch("s3://bucket/a", tmp_path / "a")
    odd = RemoteFiles(["nosuch://x"])
    with pytest.raises(ConfigError, match="nosuch:// is nothing that fsspec knows"):
        odd.fetch("nosuch://x/a", tmp_path / "a")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"^s3:// needs fsspec: pip install 'datamcp\[remote\]'$"):
        remote.fetch("s3://bucket/a", tmp_path / "a")


def test_roots_know_both(tmp_path: Path) -> None:
    """URLs among the roots are no folders, and folders allow no URL."""
    roots = AllowedRoots([tmp_path, "memory://in"])
    assert roots.remote.allowed("memory://in/a") == "memory://in/a"
    with pytest.raises(ProcessingError, match=f"no file 'a'; looked in {tmp_path} "):
        roots.resolve("a")
    with pytest.raises(
        ProcessingError, match=r"outside of storage.allowed_roots \(no URL is there"
    ):
        AllowedRoots([tmp_path]).remote.allowed("memory://in/a")
