"""The examples of the documentation: found in its pages, and carried out as a reader would.

A page's blocks are carried out in order, in one folder:

- `python` and `yaml` whose first line is `# a/path` become that file; YAML is loaded, too;
- other `python` is run as a program. What follows `print(…)  # ` is what it must print;
- `console` is typed in. Lines below a `$ command` are what it must say; without any, it must end
  well. Workers and beats stay until the page ends.

In what is expected, `…` stands for anything, and a line of its own for any lines. Empty lines do
not count.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from datamcp.config.loader import load
from datamcp.infra.processes import Child, Supervisor
from datamcp.pipelines.loader import parse
from support.eventually import eventually
from support.source import REPOSITORY

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|ya?ml))\n")
_PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
_SERVES = re.compile(r"(?:datamcp|celery -A \S+) (?:worker|beat)\b")
_TIMEOUT = 180.0  # seconds for one command

GIVEN = "export DATAMCP_BROKER__URL=redis://localhost:6379/0"
"""How a page names its reader's broker. The reader of the tests has one already."""


@dataclass(frozen=True, slots=True)
class Block:
    """One example: its language, its text, and the line of its page where it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The path of the file that it is, if it is one."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """Return the examples of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 2)
        for found in _BLOCK.finditer(text)
    ]


class Reader:
    """Someone who follows a page to the letter, in a folder of their own."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], supervisor: Supervisor
    ) -> None:
        """Take where to work, the settings that are given, and what ends the servers."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        self._environment = {"PATH": path, "HOME": str(folder), "COLUMNS": "200", **environment}
        self._folder = folder
        self._supervisor = supervisor
        self._last_code = 0
        self._starting: list[str] = []

    def follow(self, block: Block) -> None:
        """Carry out one example; AssertionError if it does not do what the page says."""
        match block.language:
            case "python" | "yaml" if block.file:
                self._write(block.file, block.text)
            case "python":
                self._run_program(block)
            case "console":
                self._type(block.text)
        if block.language == "yaml":
            self._load(block)

    def leave(self) -> None:
        """Look whether all servers of the page still run; AssertionError if one does not."""
        ended = self._supervisor.exits()
        assert not ended, f"{ended[0]}: {self._supervisor[ended[0].name].log_tail(20)}"

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _load(self, block: Block) -> None:
        if "pipeline_id" in yaml.safe_load(block.text):
            parse(block.text)
        else:
            self._write("loaded.yaml", block.text)
            load(environ={"DATAMCP_CONFIG": "loaded.yaml"}, cwd=self._folder)

    def _run_program(self, block: Block) -> None:
        self._write(f"line_{block.line}.py", block.text)
        said, code = self._run([sys.executable, f"line_{block.line}.py"])
        assert code == 0, said
        expect(_PRINTED.findall(block.text), said)

    def _type(self, text: str) -> None:
        for command, expected in typed(text):
            said, self._last_code = self._answer(command)
            if expected:
                expect(expected, said)
            else:
                assert self._last_code == 0, f"{command}: {said}"

    def _answer(self, command: str) -> tuple[str, int]:
        if command == "echo $?":
            return str(self._last_code), 0
        if command == GIVEN:
            return "", 0
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = shlex.split(value)[0]
            return "", 0
        if _SERVES.match(command):
            self._serve(command)
            return "", 0
        if command.startswith(("make ", "pip install ")):
            command = _in_checkout(command)
        return self._run(["bash", "-c", command])

    def _serve(self, command: str) -> None:
        log = self._folder / f"{re.sub(r'[^a-z]+', '-', command)}.log"
        argv = ["bash", "-c", f"exec {command}"]
        self._supervisor.start(command, argv, log_path=log, env=self._environment, cwd=self._folder)
        if " worker" in command:
            self._starting.append(command)

    def _await_workers(self) -> None:
        """Wait until those that were started serve; they start side by side."""
        while self._starting:
            worker = self._supervisor[self._starting.pop()]

            def serves(worker: Child = worker) -> bool:
                assert worker.is_alive, worker.log_tail(20)
                return " ready." in worker.log_path.read_text()

            eventually(serves, timeout=_TIMEOUT)

    def _run(self, argv: Sequence[str]) -> tuple[str, int]:
        self._await_workers()
        told = subprocess.run(
            argv,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        return told.stdout, told.returncode


def typed(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a console, each with the lines below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        command = lines.pop(0)
        while command.endswith("\\"):
            command = command.removesuffix("\\") + lines.pop(0).lstrip("> ")
        yield command.partition("  #")[0].strip(), [line for line in lines if line.strip()]


def expect(expected: Sequence[str], said: str) -> None:
    """AssertionError if what a command said does not look as expected."""
    patterns = [
        "(?:.*\n)*" if line.strip() == "…" else _pattern(line.rstrip()) + "\n" for line in expected
    ]
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    text = "".join(f"{line}\n" for line in lines)
    assert re.fullmatch("".join(patterns), text), f"expected {expected}, got:\n{said}"


def _pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("…"))


def _in_checkout(command: str) -> str:
    """Return what a command of the checkout comes to, after a look whether it is there."""
    kind, *words = shlex.split(command)
    if kind == "make":
        targets = (REPOSITORY / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", targets, re.MULTILINE) for target in words)
        return "env -u DATAMCP_BROKER__URL datamcp demo" if words == ["demo"] else "true"
    wanted = re.fullmatch(r"datamcp(?:\[(\w+)\])?", words[-1])
    assert wanted, command
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert wanted[1] is None or wanted[1] in project["optional-dependencies"]
    return "true"
