import subprocess
import sys
from pathlib import Path

import pytest

from chaos import clock

_LOOK = """
import datetime, threading, time
for _ in range(2):
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
    time.sleep(0.05)
    threading.Event().wait(0.05)
    input()
"""


def test_a_clock_that_is_stepped_keeps_nobody_asleep(tmp_path: Path) -> None:
    """The wall clock jumps; what waits by the other one goes on as if nothing had been."""
    reason = clock.why_not()
    if reason is not None:
        pytest.skip(reason)
    with subprocess.Popen(
        [sys.executable, "-c", _LOOK],
        env=clock.environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = [float(word) for word in process.stdout.readline().split()]
        clock.step(tmp_path, -3600)
        process.stdin.write("\n")
        process.stdin.flush()
        after = [float(word) for word in process.stdout.readline().split()]
        process.stdin.write("\n")
    assert process.returncode == 0
    wall, local, steady = (later - earlier for earlier, later in zip(before, after, strict=True))
    assert wall == pytest.approx(steady - 3600, abs=1)
    assert local == pytest.approx(steady - 3600, abs=1)
    assert 0 < steady < 3000
