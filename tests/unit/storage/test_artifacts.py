from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.errors import ConfigError, ProcessingError
from datamcp.storage.artifacts import ArtifactStore


def test_attempts_have_places_of_their_own(tmp_path: Path) -> None:
    """What one attempt publishes is not touched by another attempt of the same step."""
    store = ArtifactStore(tmp_path.as_uri())
    for attempt in (1, 2):
        with store.workspace("run", "step", attempt).publish("table.parquet") as part:
            part.write_text(str(attempt))
    assert (tmp_path / "run" / "step" / "1" / "table.parquet").read_text() == "1"
    assert (tmp_path / "run" / "step" / "2" / "table.parquet").read_text() == "2"
    assert store.run_folder("run") == tmp_path / "run"


def test_published_name_may_hold_folders(tmp_path: Path) -> None:
    """A name with folders makes them."""
    workspace = ArtifactStore(str(tmp_path)).workspace("run", "step", 1)
    with workspace.publish("out/tables/a.csv") as part:
        part.touch()
    assert Path(workspace.path_of("out/tables/a.csv")).is_file()


def test_scratch_is_gone_afterwards(tmp_path: Path) -> None:
    """A scratch folder vanishes with all it holds, also when the block fails."""
    workspace = ArtifactStore(str(tmp_path)).workspace("run", "step", 1)
    with pytest.raises(ZeroDivisionError), workspace.scratch() as scratch:
        fail_beside(scratch / "spilled")
    assert list(workspace.folder.iterdir()) == []


def fail_beside(file: Path) -> None:
    """Leave a file behind and fail."""
    file.touch()
    raise ZeroDivisionError


def test_scratch_where_nothing_may_be_written(tmp_path: Path) -> None:
    """Where the folder cannot be made, one line says so."""
    (tmp_path / "run").touch()
    workspace = ArtifactStore(str(tmp_path)).workspace("run", "step", 1)
    with pytest.raises(ProcessingError, match="cannot write"), workspace.scratch():
        pass


@pytest.mark.parametrize("root", ["s3://bucket/runs", "file://host/x", "", "/srv/run[1]"])
def test_other_stores_are_a_config_error(root: str) -> None:
    """Only local folders are supported; the setting at fault is named."""
    with pytest.raises(ConfigError) as caught:
        ArtifactStore(root)
    assert caught.value.problems[0].path == "storage.artifacts_url"


@given(st.text(max_size=30), st.sampled_from(["run", "step", "name"]))
def test_no_name_leads_out(name: str, place: str) -> None:
    """Whatever the ids and names are, a path is inside the store, or refused."""
    store = ArtifactStore("/srv/artifacts")
    ids = {"run": "r", "step": "s", "name": "n"} | {place: name}
    try:
        path = Path(store.workspace(ids["run"], ids["step"], 1).path_of(ids["name"]))
    except ProcessingError:
        return
    assert ".." not in path.parts
    assert path.is_relative_to(store.root)
    assert not any(part.startswith(".") for part in path.relative_to(store.root).parts)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "/etc", ".hidden", "a\n", "x" * 201]
)
def test_unsafe_ids(name: str) -> None:
    """Separators, dots in front, empty and overlong ids are refused by name."""
    with pytest.raises(ProcessingError, match="cannot be part of an artifact's path"):
        ArtifactStore("/srv").workspace(name, "step", 1)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../../x", "/etc/x", "a//.b"])
def test_unsafe_names(name: str) -> None:
    """A published name never leads out of its workspace."""
    workspace = ArtifactStore("/srv").workspace("run", "step", 1)
    with pytest.raises(ProcessingError):
        workspace.publish(name)
