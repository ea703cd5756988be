"""The supervisor: `detector run` keeps a set of processes alive on one machine and ends them gently.

A process that ends by itself was not asked to, whatever its exit code, and is started again
after a pause that doubles up to half a minute; one that has lived for a minute starts over
with the shortest pause. Exit 2 means a wrong configuration, which no restart mends: then
everything stops.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
"""A process that lived this long had started well: its death is a new event, not the same one again."""
DRAIN_S: Final = 30.0
"""Time to finish a batch, commit and write snapshots before the kill: a transaction ends within 10 s."""
TICK_S: Final = 0.1
LEAVE: Final = signal.SIGUSR1
"""Stop, and do not keep the place in the group. A rolling restart keeps it (SIGTERM): nobody else is disturbed, and
the successor is back within the session timeout. A worker that will not be back would hold its partitions up for as
long; what it is, only who stops it knows."""
CONFIG_EXIT: Final = 2
SUPERVISOR: Final = "DETECTOR_SUPERVISOR"
"""In a child's environment: the process id of the supervisor that started it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A process to keep alive: its name in the log, and its command line."""

    name: str
    argv: tuple[str, ...]


@dataclass
class _Child:
    task: Task
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    due_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S


class Supervisor:
    """Runs tasks until it is told to stop; `say` gets one line for every event."""

    def __init__(self, tasks: Sequence[Task], say: Callable[[str], None], drain_s: float = DRAIN_S) -> None:
        self._children = [_Child(task) for task in tasks]
        self._say, self._drain_s = say, drain_s
        self._stopping = False
        self._leaving = False
        self._exit = 0

    def stop(self) -> None:
        """Make `run` end the processes and return. Safe to call from a signal handler."""
        self._stopping = True

    def leave(self) -> None:
        """The same, and they are told that they will not be back."""
        self._leaving = self._stopping = True

    def run(self) -> int:
        """Every task runs until `stop`, or until one says that its configuration is wrong; the exit code."""
        try:
            while not self._stopping:
                for child in self._children:
                    self._look_after(child)
                time.sleep(TICK_S)
        finally:
            self._drain()
        return self._exit

    def _look_after(self, child: _Child) -> None:
        now_s = time.monotonic()
        if child.process is None:
            if now_s >= child.due_s and not self._stopping:
                # A session of its own: a Ctrl-C at the terminal reaches the supervisor alone, which drains in order.
                environment = os.environ | {SUPERVISOR: str(os.getpid())}
                child.process = subprocess.Popen(child.task.argv, start_new_session=True, env=environment)
                child.started_s = now_s
                self._say(f"{child.task.name}: started as process {child.process.pid}")
            return
        code = child.process.poll()
        if code is None:
            return
        child.process = None
        if code == CONFIG_EXIT:
            self._say(
                f"{child.task.name}: ended with exit code {code}: its configuration is wrong; stopping everything"
            )
            self._exit, self._stopping = CONFIG_EXIT, True
            return
        if now_s - child.started_s >= STEADY_AFTER_S:
            child.pause_s = FIRST_PAUSE_S
        child.due_s = now_s + child.pause_s
        self._say(f"{child.task.name}: ended with {_ending(code)}; starting again in {child.pause_s:g} s")
        child.pause_s = min(2 * child.pause_s, LONGEST_PAUSE_S)

    def _drain(self) -> None:
        """1. Ask every process to end. 2. Wait for the commit and the snapshot. 3. Kill what is left."""
        running = [(child.task.name, child.process) for child in self._children if child.process is not None]
        for _, process in running:  # 1
            process.send_signal(LEAVE if self._leaving else signal.SIGTERM)
        deadline_s = time.monotonic() + self._drain_s
        for name, process in running:  # 2
            try:
                code = process.wait(max(0.0, deadline_s - time.monotonic()))
                self._say(f"{name}: drained, {_ending(code)}")
                # A process that did not listen yet had nothing to finish.
                self._exit = self._exit or (0 if code in (0, -signal.SIGTERM, -LEAVE) else 1)
            except subprocess.TimeoutExpired:  # 3
                process.kill()
                process.wait()
                self._say(f"{name}: killed, for it had not drained after {self._drain_s:g} s")
                self._exit = self._exit or 1


def until_told_or_alone(told: Callable[[], bool]) -> Callable[[], bool]:
    """Whether a child should stop: it is told to, or the supervisor that started it is gone.

    Orphans would keep the admin ports, and with them their successors from starting.
    """
    supervisor = int(os.environ.get(SUPERVISOR, "0"))
    return lambda: told() or (supervisor != 0 and os.getppid() != supervisor)


def stop_on_signals(stop: Callable[[], None], leave: Callable[[], None]) -> None:
    """SIGTERM and SIGINT call `stop`, SIGUSR1 calls `leave`; a second one does what it does by default."""

    def handle(number: int, frame: FrameType | None) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        (leave if number == LEAVE else stop)()

    for name in (signal.SIGTERM, signal.SIGINT, LEAVE):
        signal.signal(name, handle)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
