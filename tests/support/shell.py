"""A user's shell: programs run in a folder of their own, and what they leave running is seen."""

import fcntl
import json
import logging
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from support.eventually import eventually

PROGRAMS = Path(sys.executable).parent
START = 90.0  # seconds that a process may take to start on a busy machine


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        """What it wrote to stdout, as JSON and nothing else."""
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The one line that it wrote to stderr."""
        (line,) = self.stderr.splitlines()
        return line


@dataclass(frozen=True)
class Shell:
    """A folder, and the environment of the programs that run in it."""

    folder: Path
    programs: Path = PROGRAMS
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        """The folder for temporary files of all programs."""
        return self.folder / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a program: nothing of the test run's own."""
        return {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            **self.settings,
        }

    def run(self, *words: str, stdin: str = "", timeout: float = 180.0) -> Ran:
        """Run a program to its end."""
        began = time.monotonic()
        with self.start(*words) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                stdout, stderr = process.communicate()
                raise AssertionError(
                    f"{words} did not end in {timeout:g} s:\n{stdout}{stderr}"
                ) from None
        return Ran(process.returncode, stdout, stderr, time.monotonic() - began)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program."""
        return subprocess.Popen(
            [shutil.which(words[0], path=self.environment["PATH"]) or words[0], *words[1:]],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_on_terminal(self, *words: str, columns: int = 80) -> tuple[int, str]:
        """Run a program on a terminal, and return its exit code and all that it wrote there."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            [self.programs / words[0], *words[1:]],
            cwd=self.folder,
            env={**self.environment, "TERM": "xterm-256color"},
            stdin=its,
            stdout=its,
            stderr=its,
        )
        os.close(its)
        written = b""
        with ended(process):
            with suppress(OSError):  # so Linux tells that the other end is closed
                while chunk := os.read(ours, 65_536):
                    written += chunk
            process.wait(30)
        os.close(ours)
        return process.returncode, written.decode()

    @contextmanager
    def running(self, *words: str, sign: str) -> Iterator[subprocess.Popen[bytes]]:
        """Have a program that runs until the block ends, once its log shows a sign."""
        log = self.temporary / f"{words[-1]}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words, cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return sign in log.read_text()

        with ended(process):
            eventually(is_ready, timeout=START)
            yield process
        if process.returncode:
            logging.getLogger(__name__).warning("%s", log.read_text())
        log.unlink()

    def processes(self) -> list[psutil.Process]:
        """Return what runs in the folder, or in one of its temporary folders."""
        return [process for process in psutil.process_iter() if self._is_here(process)]

    def left(self) -> list[str]:
        """Return what still runs, a moment later, and end it."""
        with suppress(AssertionError):
            eventually(lambda: not self.processes(), timeout=60)
        found = self.processes()
        names = [" ".join(process.cmdline()) for process in found]
        for process in found:
            process.kill()
        return names

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            return is_alive and Path(process.cwd()).is_relative_to(self.folder)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            return False


@contextmanager
def ended(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """End a process after the block, the hard way if it must be."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def shell(**settings: str) -> Iterator[Shell]:
    """Have a shell in a new folder. That it leaves something running is a failure."""
    # A short path, so that a server's socket has room in the folder for temporary files.
    folder = Path(tempfile.mkdtemp(prefix="dm-", dir="/tmp")).resolve()
    opened = Shell(folder, settings=settings)
    opened.temporary.mkdir()
    try:
        yield opened
        left = opened.left()
    finally:
        opened.left()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []
