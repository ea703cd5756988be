"""The fleet: several processes of each role, restarted when they end, and struck at will.

A supervisor as `detector run` has one, whose children can be had one by one, held down, and
whose deaths are told apart: those we caused, and those with which a process gave up by itself.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.request import urlopen

from detector.config import ROOT
from detector.supervisor import FIRST_PAUSE_S

ROLES: Final = ("ingest", "detect")
TICK_S: Final = 0.02
DRAIN_S: Final = 40.0


@dataclass
class Worker:
    """One process of a role; its log is `<role>-<ordinal>.log` beside the configuration."""

    role: str
    ordinal: int
    config: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    entry: Sequence[str] = ("-m", "detector.cli")
    """What Python runs; the role and its options follow."""
    process: subprocess.Popen[bytes] | None = None
    is_held: bool = False
    """Not started again until released."""
    due_s: float = 0.0
    codes: list[int] = field(default_factory=list)
    """How its processes ended, oldest first."""

    @property
    def name(self) -> str:
        """`detect-1`."""
        return f"{self.role}-{self.ordinal}"

    @property
    def log(self) -> Path:
        """What its processes have said."""
        return self.config.parent / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process, 0 where none runs."""
        return self.process.pid if self.process else 0

    def start(self) -> None:
        """A new process runs."""
        argv = [sys.executable, *self.entry, self.role]
        argv += ["--config", str(self.config.resolve()), "--ordinal", str(self.ordinal)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdout=log, stderr=log, env={**os.environ, "PYTHONFAULTHANDLER": "1", **self.environ}, cwd=ROOT
            )

    def said(self, words: str, since: int = 0) -> int:
        """How often its log has said so, from byte `since` on."""
        return self.log.read_bytes()[since:].count(words.encode()) if self.log.exists() else 0

    def heard(self) -> int:
        """The length of its log: a mark for `said`."""
        return self.log.stat().st_size if self.log.exists() else 0

    @property
    def url(self) -> str:
        """Where the process that started last answers; empty until one has said so."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        addresses: list[str] = re.findall(r"/ready at (http://\S+)", text)
        return addresses[-1] if addresses else ""

    def is_ready(self) -> bool:
        """Whether the process that started last says that it is assigned and at work."""
        return self._says_yes("ready")

    def is_healthy(self) -> bool:
        """Whether it says that its loop comes round."""
        return self._says_yes("health")

    def _says_yes(self, probe: str) -> bool:
        try:
            with urlopen(f"{self.url}/{probe}", timeout=1.0):
                return True
        except (ValueError, OSError):
            return False

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "")


class Fleet:
    """`workers` processes of each role, or so many of each as it says, while in its `with` block."""

    def __init__(self, config: Path, workers: int | Mapping[str, int] = 2) -> None:
        self._config = config
        counts = dict.fromkeys(ROLES, workers) if isinstance(workers, int) else workers
        self.workers = [Worker(role, k, config) for role in ROLES for k in range(counts[role])]
        self.killed = 0
        """Processes that were ended with kill -9."""
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="fleet", daemon=True)

    def of(self, role: str) -> list[Worker]:
        """The workers of a role that have a process."""
        return [worker for worker in self.workers if worker.role == role and worker.process is not None]

    def strike(self, worker: Worker, how: signal.Signals, hold: bool = False) -> None:
        """Send a signal; with `hold` nobody starts it again before `release`."""
        with self._lock:
            worker.is_held = worker.is_held or hold
            if worker.process is not None:
                worker.process.send_signal(how)
                self.killed += how == signal.SIGKILL

    def kill(self, workers: Sequence[Worker], hold: bool = False) -> None:
        """kill -9, all of them within a moment, and wait until they are gone."""
        for worker in workers:
            self.strike(worker, signal.SIGKILL, hold)
        for worker in workers:
            self.gone(worker)

    def gone(self, worker: Worker, limit_s: float = DRAIN_S) -> bool:
        """Wait until a process that was struck has ended, or another runs in its place."""
        pid, until = worker.pid, time.monotonic() + limit_s
        while pid and worker.pid == pid and time.monotonic() < until:
            self._look_after(worker)
            time.sleep(TICK_S)
        return worker.pid != pid or not pid

    def release(self, *workers: Worker) -> None:
        """They are started again, at once."""
        with self._lock:
            for worker in workers:
                worker.is_held, worker.due_s = False, 0.0

    def orphan(self, worker: Worker) -> subprocess.Popen[bytes]:
        """Its process is nobody's any more, whatever it does, and another is started in its place."""
        with self._lock:
            process = worker.process
            assert process is not None
            worker.process, worker.due_s = None, 0.0
            return process

    def join(self, role: str, environ: Mapping[str, str] | None = None) -> Worker:
        """One more worker of a role runs."""
        with self._lock:
            ordinal = 1 + max((worker.ordinal for worker in self.workers if worker.role == role), default=-1)
            worker = Worker(role, ordinal, self._config, environ or {})
            worker.start()
            self.workers.append(worker)
            return worker

    def leave(self, worker: Worker, how: signal.Signals) -> None:
        """A worker goes for good."""
        self.strike(worker, how, hold=True)
        self.gone(worker)

    def gave_up(self) -> int:
        """Processes that ended in failure by themselves so far."""
        return sum(code > 0 for worker in self.workers for code in worker.codes)

    def _tend(self) -> None:
        while not self._ended.wait(TICK_S):
            for worker in list(self.workers):
                self._look_after(worker)

    def _look_after(self, worker: Worker) -> None:
        with self._lock:
            now_s = time.monotonic()
            if worker.process is not None and (code := worker.process.poll()) is not None:
                worker.codes.append(code)
                worker.process, worker.due_s = None, now_s + FIRST_PAUSE_S
            if worker.process is None and not worker.is_held and now_s >= worker.due_s and not self._ended.is_set():
                worker.start()

    def stop(self) -> dict[str, int]:
        """Every process ends in order; returns the exit code of each."""
        self._ended.set()
        self._thread.join()
        running = [worker for worker in self.workers if worker.process is not None]
        for worker in running:
            self.strike(worker, signal.SIGTERM, hold=True)
        for worker in running:
            self.gone(worker)
        return {worker.name: worker.codes[-1] for worker in running if worker.codes}

    def __enter__(self) -> "Fleet":
        for worker in self.workers:
            worker.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for worker in self.workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
