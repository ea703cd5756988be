"""Processes under load: the two roles as they run in production, and what they cost."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from detector.errors import Fatal

TICKS: Final = os.sysconf("SC_CLK_TCK")
STOP_S: Final = 30


class Watched:
    """A command that runs while in its `with` block, its words in a log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._command, self._log, self._env = command, log, env

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._env)
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raises `Fatal` with its last words if it has ended."""
        if self._process.poll() is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise Fatal(f"{self.name} ended with {self._process.returncode}:\n" + "\n".join(lines[-20:]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class RoleProcess(Watched):
    """`detector ROLE --config FILE --ordinal K`; its log is beside the configuration."""

    def __init__(self, role: str, config: Path, ordinal: int = 0) -> None:
        command = [sys.executable, "-m", "detector.cli", role, "--config", str(config), "--ordinal", f"{ordinal}"]
        super().__init__(f"{role}-{ordinal}", command, config.parent / f"{role}-{ordinal}.log")


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used, its threads included (Linux, /proc)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held (Linux, /proc)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
