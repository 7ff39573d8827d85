from pathlib import Path

from datamcp.stack import logs


def test_a_new_stack_begins_new_logs(tmp_path: Path) -> None:
    """Some older ones are kept; empty logs and the one that is open already are left alone."""
    log, own, empty = (tmp_path / name for name in ("lab.log", logs.STACK_LOG, "empty.log"))
    own.write_text("open")
    empty.touch()
    for number in range(6):
        log.write_text(f"start {number}")
        logs.begin(tmp_path)
    kept = {path.name: path.read_text() for path in tmp_path.glob("lab.log*")}
    assert kept == {"lab.log.1": "start 5", "lab.log.2": "start 4", "lab.log.3": "start 3"}
    assert own.read_text() == "open"
    assert empty.exists()


def test_a_long_log_is_put_aside_while_it_is_written_to(tmp_path: Path) -> None:
    """Whoever has it open goes on at its new beginning; nothing that was written before is lost."""
    with (tmp_path / "lab.log").open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(b"%d" % number * 100)
            assert logs.bound(tmp_path, limit=99) == []
            writer.write(b"-")
            assert logs.bound(tmp_path, limit=99) == []
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {
        "lab.log": "-",
        "lab.log.1": "-" + "4" * 100,
        "lab.log.2": "-" + "3" * 100,
        "lab.log.3": "-" + "2" * 100,
    }


def test_a_log_that_can_not_be_copied_is_cut(tmp_path: Path) -> None:
    """A disk that is full must not get fuller."""
    log = tmp_path / "lab.log"
    log.write_text("x" * 100)
    (tmp_path / "lab.log.1").mkdir()  # nothing can be written there
    (tmp_path / "lab.log.2").mkdir()
    (tmp_path / "lab.log.2" / "full").touch()
    (tmp_path / "lab.log.3").mkdir()
    (tmp_path / "lab.log.3" / "full").touch()
    assert logs.bound(tmp_path, limit=99) == [log]
    assert log.stat().st_size == 0
