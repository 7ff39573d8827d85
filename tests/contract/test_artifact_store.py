"""What every artifact store does: a folder, a storage that moves files, and one of objects."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import _registry
from support import folder_storage
from support.folder_storage import FolderObjects, FolderStorage, away
from support.steps import read_parquet

from datamcp.clock import SystemClock
from datamcp.config.text import child_environment
from datamcp.errors import BackendUnavailable, ConfigError, ProcessingError
from datamcp.pipelines.lineage import columns_in
from datamcp.processors.at_hand import AtHand, as_handed_over
from datamcp.processors.processor import Inputs, Output, ProcessingResult
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.artifacts import Workspace
from datamcp.storage.copies import Copies
from datamcp.storage.roots import AllowedRoots
from datamcp.storage.store import Artifacts, open_artifacts

URLS = {"folder": "", "renaming": "folder://far/runs", "objects": "s3://far/runs"}


@dataclass(frozen=True)
class Bundle:
    """A store, the folder where its files really are, and that of its copies."""

    store: Artifacts
    inside: Path
    scratch: Path

    def workspace(self, run: str = "run", step: str = "step", attempt: int = 1) -> Workspace:
        """Return the place of an attempt."""
        return self.store.workspace(run, step, attempt)

    def publish(self, name: str, text: str, **place: Any) -> str:
        """Publish a file, and return where it is."""
        workspace = self.workspace(**place)
        with workspace.publish(name) as part:
            part.write_text(text)
        return workspace.path_of(name)

    def copies(self, *, roots: tuple[Path, ...] = ()) -> Copies:
        """Return who copies what is in the store."""
        allowed = AllowedRoots(roots, artifacts=self.store.root)
        return Copies(allowed, self.store, lambda: self.workspace(step="reader"))

    def names(self) -> list[str]:
        """Return the files that are in the store."""
        found = (one for one in self.inside.rglob("*") if one.is_file())
        return sorted(one.relative_to(self.inside).as_posix() for one in found)

    def left(self) -> list[Path]:
        """Return the files that are on this machine for a while."""
        return [one for one in self.scratch.rglob("*") if one.is_file() and one.suffix != ".lock"]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bundle]]:
    """Return what opens an empty store of a kind."""
    monkeypatch.setenv(folder_storage.ROOT, str(tmp_path))
    monkeypatch.setitem(_registry, "folder", FolderStorage)
    monkeypatch.setitem(_registry, "s3", FolderObjects)
    inside, scratch = tmp_path / "far" / "runs", tmp_path / "scratch"
    with ExitStack() as stack:

        def open_one(kind: str) -> Bundle:
            store = open_artifacts(URLS[kind] or str(inside), scratch)
            stack.callback(store.close)
            return Bundle(store, inside, scratch)

        yield open_one


@pytest.fixture(params=list(URLS))
def bundle(request: pytest.FixtureRequest, opened: Callable[[str], Bundle]) -> Bundle:
    """Have an empty store of each kind."""
    return opened(request.param)


@pytest.fixture(params=["renaming", "objects"])
def remote(request: pytest.FixtureRequest, opened: Callable[[str], Bundle]) -> Bundle:
    """Have an empty store of each kind that is behind a URL."""
    return opened(request.param)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, str], None]], None]:
    """Return what makes the storages behind URLs fail."""

    def set_fault(happens: Callable[[str, str], None]) -> None:
        monkeypatch.setattr(FolderStorage, "fault", staticmethod(happens))

    return set_fault


def test_what_is_published_is_there_whole(bundle: Bundle) -> None:
    """It is where its name says, has a size, and is read back; nothing is left beside it."""
    location = bundle.publish("deep/a.txt", "something")
    assert location == f"{bundle.store.root}/run/step/1/deep/a.txt"
    assert bundle.names() == ["run/step/1/deep/a.txt"]
    with bundle.copies() as copies:
        here = Path(copies.handed_over(location))
        assert here.read_text() == "something"
        assert copies.find(location).read_text() == "something"
        assert copies.original(str(here)) == location
    assert bundle.left() == []
    assert bundle.names() == ["run/step/1/deep/a.txt"]


def test_sizes(bundle: Bundle) -> None:
    """The attempt that published a file knows its bytes."""
    workspace = bundle.workspace()
    with workspace.publish("a") as part:
        part.write_bytes(b"12345")
    assert workspace.size_of("a") == 5


def test_nothing_is_seen_of_a_block_that_fails(bundle: Bundle) -> None:
    """Neither a file nor a part of one."""
    with pytest.raises(ZeroDivisionError), bundle.workspace().publish("a") as part:
        fail_after_half(part)
    assert bundle.names() == bundle.left() == []


def fail_after_half(part: Path) -> None:
    """Write something, and fail."""
    part.write_text("half")
    raise ZeroDivisionError


def test_attempts_have_places_of_their_own(bundle: Bundle) -> None:
    """An attempt that was thought dead does not touch what its successor wrote."""
    zombie = bundle.workspace(attempt=1)
    second = bundle.publish("a", "second", attempt=2)
    with zombie.publish("a") as part:
        part.write_text("zombie")
    with bundle.copies() as copies:
        assert Path(copies.handed_over(second)).read_text() == "second"
    assert bundle.names() == ["run/step/1/a", "run/step/2/a"]


def test_one_of_many_has_a_place(bundle: Bundle) -> None:
    """`step[3]` is written in a way that no pattern takes for its own."""
    assert "/step=3/" in bundle.publish("a", "", step="step[3]")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../../x", "/etc/x", "a//.b", "a\\b", "%2e"])
def test_unsafe_names(bundle: Bundle, name: str) -> None:
    """No name and no id leads out of its place."""
    with pytest.raises(ProcessingError):
        bundle.workspace().publish(name)
    for place in ("run", "step"):
        with pytest.raises(ProcessingError):
            bundle.workspace(**{place: name})


def test_a_folder_is_found(bundle: Bundle) -> None:
    """With all that is below it."""
    for name in ("docs/a.md", "docs/deep/b.md"):
        bundle.publish(name, name)
    with bundle.copies() as copies:
        found = copies.find(f"{bundle.store.root}/run/step/1/docs")
        assert sorted(one.name for one in found.rglob("*.md")) == ["a.md", "b.md"]


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../outside",
        "{root}/run/../../outside",
        "{root}/%2e%2e/outside",
        "{root}/run%2f..%2f..%2foutside",
        "{root}-other/a",
        "{root}/run/a::file:///etc/passwd",
        "{root}",
    ],
)
def test_what_only_looks_as_if_it_were_inside(remote: Bundle, path: str) -> None:
    """It is not held, not read, and never written."""
    (remote.inside.parent / "outside").parent.mkdir(parents=True, exist_ok=True)
    (remote.inside.parent / "outside").write_text("secret")
    url = path.format(root=remote.store.root)
    assert not remote.store.holds(url)
    roots = AllowedRoots([], artifacts=remote.store.root)
    with remote.copies() as copies:
        assert copies.handed_over(url) == url
        with pytest.raises(ProcessingError):
            copies.find(url)
    with pytest.raises(ProcessingError):
        roots.remote.destination(url)


def test_the_store_is_not_for_others_to_write(remote: Bundle) -> None:
    """A step that names a URL inside of it is refused: its files have places of their own."""
    roots = AllowedRoots([], artifacts=remote.store.root)
    with pytest.raises(ProcessingError, match=r"outside of storage\.allowed_roots"):
        roots.remote.destination(f"{remote.store.root}/run/step/1/a")


def test_a_file_that_is_gone(remote: Bundle) -> None:
    """One line names it; no other attempt would find it."""
    with remote.copies() as copies, pytest.raises(ProcessingError, match="no file '"):
        copies.handed_over(f"{remote.store.root}/run/step/1/a")


def test_a_run_is_removed(bundle: Bundle) -> None:
    """With all of its files, and no other's; twice is fine."""
    for run in ("one", "other"):
        bundle.publish("a", "", run=run)
    for _ in range(2):
        bundle.store.remove("one")
    assert bundle.names() == ["other/step/1/a"]


def test_orphans(bundle: Bundle) -> None:
    """What is old, and nobody's; what is no run's is somebody else's."""
    kept, lost = (f"0000000{number}-0000-7000-8000-000000000000" for number in (1, 2))
    later = SystemClock().now() + timedelta(days=1)
    assert list(bundle.store.orphans(later, lambda _: False)) == []
    for run in (kept, lost, "tasks", "holiday-photos"):
        bundle.publish("a", "", run=run)
    earlier = later - timedelta(days=2)
    assert list(bundle.store.orphans(later, kept.__eq__)) == [lost]
    assert list(bundle.store.orphans(earlier, kept.__eq__)) == []


def test_what_is_checked_before_work(bundle: Bundle) -> None:
    """A store that answers is told of; nothing is written."""
    bundle.store.require()
    assert bundle.store.probe() == str(bundle.store.root)
    assert bundle.names() == []


def test_steps_hand_on(bundle: Bundle, tmp_path: Path) -> None:
    """Each processor reads what the one before it wrote; a table's columns are known."""
    steps = Steps(bundle, tmp_path)
    steps.run(
        "numbers", "sql.transform", sql="select range as n, range % 2 = 0 as even from range(9)"
    )
    steps.run(
        "good",
        "data.validate",
        ("numbers",),
        columns={"n": {"type": "integer", "minimum": 2}},
        key=["n"],
    )
    steps.run("sum", "sql.transform", ("good",), sql="select sum(n) as total from good")
    steps.run("saved", "file.write", ("good",), path="good.csv")
    steps.run("again", "file.read", path=steps.location("saved"), types={"n": "integer"})
    steps.run("text", "file.write", ("sum",), path="notes/sum.jsonl")
    assert steps.rows("sum") == [{"total": 35}]
    assert steps.results["good"].records_rejected == 2
    assert len(steps.rows("again")) == 7
    assert columns_in(bundle.store, steps.location("numbers")) == {"n": "BIGINT", "even": "BOOLEAN"}
    assert columns_in(bundle.store, steps.location("saved")) is None
    assert columns_in(bundle.store, steps.location("sum") + ".parquet") is None
    assert bundle.left() == []


def test_documents_of_a_run(bundle: Bundle, tmp_path: Path) -> None:
    """A file of the run, a folder of it and a pattern are read."""
    steps = Steps(bundle, tmp_path)
    location = bundle.publish("docs/a.md", "# Title\n\nSome text.\n")
    folder = location.rpartition("/")[0]
    for path in (location, folder, f"{folder}/*.md"):
        steps.run("read", "document.extract", path=path)
        assert [row["text"] for row in steps.rows("read")] == ["Title", "Some text."]
    assert bundle.left() == []


def test_a_copy_that_is_handed_on_is_the_original(remote: Bundle) -> None:
    """A step that leaves its input's file leaves the one in the store."""
    location = remote.publish("a", "")
    with remote.copies() as copies:
        output = AtHand({"up": Output(path=location, records_out=1)}, copies)["up"]
        assert output.path != location
        result = ProcessingResult(output=output, records_out=1)
        assert as_handed_over(output, copies) == Output(path=location, records_out=1)
        assert as_handed_over(result, copies).output.path == location
        assert as_handed_over(3, copies) == 3


def test_an_upload_that_breaks_off(
    remote: Bundle, fault: Callable[[Callable[[str, str], None]], None]
) -> None:
    """It may go well later, one line says so; nothing of it is seen, then or afterwards."""
    fault(lambda verb, path: away(verb, path) if verb == "put" else None)
    with pytest.raises(BackendUnavailable, match="is unreachable") as caught:
        remote.publish("a", "something")
    assert "\n" not in str(caught.value)
    assert remote.names() == remote.left() == []
    fault(lambda _verb, _path: None)
    remote.publish("a", "something", attempt=2)
    assert remote.names() == ["run/step/2/a"]


@pytest.mark.parametrize("verb", ["get", "ls"])
def test_a_store_that_is_away(
    remote: Bundle, fault: Callable[[Callable[[str, str], None]], None], verb: str
) -> None:
    """Whoever reads, looks or cleans is told so, and may try again; nothing is left."""
    location = remote.publish("a", "")
    fault(away)
    with remote.copies() as copies, pytest.raises(BackendUnavailable):
        copies.handed_over(location)
    for act in (remote.store.probe, lambda: list(remote.store.orphans(SystemClock().now(), bool))):
        with pytest.raises(BackendUnavailable):
            act()
    assert remote.left() == []


def test_a_store_that_refuses(
    remote: Bundle, fault: Callable[[Callable[[str, str], None]], None]
) -> None:
    """A check names the setting; a step is told in one line, whatever class the error has."""

    class NoCredentialsError(Exception):
        """As botocore's."""

    for error in (PermissionError(13, "Access Denied"), NoCredentialsError("Unable to locate")):

        def refuse(_verb: str, _path: str, error: Exception = error) -> None:
            raise error

        fault(refuse)
        with pytest.raises(ConfigError, match=r"storage\.artifacts_url: cannot use '.*/runs': "):
            remote.store.probe()
        with pytest.raises(ProcessingError, match="cannot use"):
            remote.publish("a", "")


def test_killed_between_upload_and_move(opened: Callable[[str], Bundle], tmp_path: Path) -> None:
    """The output is not there; the next attempt's is, and what was left goes with the run.

    What the dead process kept on this machine goes when another one needs the folder.
    """
    folder_storage.install(tmp_path)
    program = f"""
import os, folder_storage
from pathlib import Path
from datamcp.storage.store import open_artifacts
folder_storage.FolderStorage.fault = staticmethod(
    lambda verb, path: os._exit(9) if verb == "mv" else None
)
store = open_artifacts("folder://far/runs", Path({str(tmp_path / "scratch")!r}))
with store.workspace("run", "step", 1).publish("a") as part:
    part.write_text("something")
"""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([str(tmp_path), source])
    environment = {**child_environment({}), folder_storage.ROOT: str(tmp_path), "PYTHONPATH": path}
    died = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert died.returncode == 9
    bundle = opened("renaming")
    assert [Path(name).name[:3] for name in bundle.names()] == [".a."]
    assert [one.name for one in bundle.left()] == ["part"]
    bundle.publish("a", "something", attempt=2)
    assert bundle.left() == []
    assert not (bundle.inside / "run" / "step" / "1" / "a").exists()
    assert (bundle.inside / "run" / "step" / "2" / "a").read_text() == "something"
    bundle.store.remove("run")
    assert bundle.names() == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nowhere://far/runs", "nowhere:// is nothing that fsspec knows"),
        ("gs://far/runs", "gs:// needs fsspec's package for it, too: "),
    ],
)
def test_what_is_not_installed(
    url: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check says so before anything runs, by the setting's name."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    store = open_artifacts(url, tmp_path)
    for act in (store.require, store.probe):
        with pytest.raises(ConfigError) as caught:
            act()
        assert str(caught.value).startswith(
            f"the artifact store cannot be used: storage.artifacts_url: {told}"
        )


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    with pytest.raises(ConfigError, match=r"pip install 'datamcp\[remote\]'"):
        open_artifacts("s3://far/runs", tmp_path).require()


class Steps:
    """Runs processors on a store, each on copies of what it receives."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        """Take the store; nothing outside of it may be read."""
        self._bundle = bundle
        roots = AllowedRoots([], artifacts=bundle.store.root)
        self._registry = ProcessorRegistry(roots=roots, threads=1, memory_limit="512MB")
        self._folder = folder
        self.results: dict[str, ProcessingResult] = {}

    def run(self, step: str, processor: str, inputs: tuple[str, ...] = (), **given: Any) -> None:
        """Run one step, and remember what it left."""
        config = self._registry.config_model(processor).model_validate(given)
        outputs: Mapping[str, Output] = {name: self.results[name].output for name in inputs}
        with self._bundle.copies() as copies:
            data = Inputs(AtHand(outputs, copies), self._bundle.workspace(step=step))
            result = asyncio.run(self._registry.create(processor).process(data, config))
        self.results[step] = result

    def location(self, step: str) -> str:
        """Return where a step's file is."""
        path = self.results[step].output.path
        assert path is not None
        return path

    def rows(self, step: str) -> list[dict[str, Any]]:
        """Return the table that a step left."""
        with self._bundle.copies() as copies:
            return read_parquet(copies.handed_over(self.location(step)))
