"""The supervisor keeps processes alive, and ends them gently."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.supervisor import Supervisor, Task

PATIENCE_S = 20.0


def python(name: str, code: str) -> Task:
    """A task that runs a few lines of Python."""
    return Task(name, (sys.executable, "-c", code))


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true, within reason."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


class Run:
    """A supervisor at work in a thread, and what it said."""

    def __init__(self, *tasks: Task, drain_s: float = 10.0) -> None:
        self.lines: list[str] = []
        self.codes: list[int] = []
        self.supervisor = Supervisor(tasks, self.lines.append, drain_s)
        self._thread = threading.Thread(target=lambda: self.codes.append(self.supervisor.run()))
        self._thread.start()
        BEGUN.append(self)

    def saw(self, text: str, times: int = 1) -> bool:
        """Whether so many lines hold `text`."""
        return sum(text in line for line in self.lines) >= times

    def pid(self, name: str) -> int:
        """The newest process of a task."""
        started = [line for line in self.lines if line.startswith(f"{name}: started as process ")]
        return int(started[-1].rsplit(" ", 1)[1])

    def stop(self) -> int:
        """End it; its exit code."""
        self.supervisor.stop()
        return self.join()

    def join(self) -> int:
        """Wait for its end; its exit code."""
        self._thread.join(PATIENCE_S)
        return self.codes[0]


BEGUN: list[Run] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Whatever a test says, its supervisor and processes are gone when it ends."""
    yield
    while BEGUN:
        BEGUN.pop().stop()


GENTLE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", file=open({!r}, "w"), flush=True)
time.sleep(60)
"""


def test_stop_ends_every_process_and_waits_for_it(tmp_path: Path) -> None:
    """SIGTERM goes to each; each may finish; the exit code is 0 when all went well."""
    marks = [tmp_path / "a", tmp_path / "b"]
    run = Run(*(python(mark.name, GENTLE.format(str(mark))) for mark in marks))
    until(lambda: all(mark.exists() for mark in marks))
    assert run.stop() == 0
    assert run.lines[2:] == ["a: drained, exit code 0", "b: drained, exit code 0"]


def test_processes_that_will_not_be_back_are_told_so(tmp_path: Path) -> None:
    """SIGUSR1 in place of SIGTERM: they give their places up. One that does not listen yet has none."""
    mark = tmp_path / "a"
    leaving = GENTLE.format(str(mark)).replace("SIGTERM, lambda *_: sys.exit(0)", "SIGUSR1, lambda *_: sys.exit(0)")
    run = Run(python("a", leaving), python("deaf", "import time; time.sleep(60)"))
    until(mark.exists)
    run.supervisor.leave()
    assert run.join() == 0
    assert run.lines[2:] == ["a: drained, exit code 0", "deaf: drained, signal SIGUSR1"]


def test_a_dead_process_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    """kill -9 on one of two: a new process of the same name, the other keeps its own."""
    marks = [tmp_path / "a", tmp_path / "b"]
    run = Run(*(python(mark.name, GENTLE.format(str(mark))) for mark in marks))
    until(lambda: all(mark.exists() for mark in marks))
    first, other = run.pid("a"), run.pid("b")
    marks[0].unlink()
    os.kill(first, signal.SIGKILL)
    until(marks[0].exists)
    assert run.saw("a: ended with signal SIGKILL; starting again in 0.1 s")
    assert run.pid("a") != first
    assert run.pid("b") == other
    assert run.stop() == 0


def test_the_pause_doubles_while_a_process_keeps_dying() -> None:
    """A process that cannot start must not eat the machine."""
    run = Run(python("a", "raise SystemExit(1)"))
    until(lambda: run.saw("starting again", times=2))
    run.stop()
    pauses = [line.split(" in ")[1] for line in run.lines if "starting again" in line]
    assert pauses[:2] == ["0.1 s", "0.2 s"]


def test_a_wrong_configuration_stops_everything(tmp_path: Path) -> None:
    """Exit 2 is not mended by a restart: the others are drained, and run answers 2 as well."""
    mark = tmp_path / "up"
    wait = f"import os, time\nwhile not os.path.exists({str(mark)!r}): time.sleep(0.02)\nraise SystemExit(2)"
    run = Run(python("bad", wait), python("good", GENTLE.format(str(mark))))
    assert run.join() == 2
    assert run.lines[-1] == "good: drained, exit code 0"


def test_a_process_that_will_not_drain_is_killed(tmp_path: Path) -> None:
    """After its time is up it is killed, and the exit code says that something was left undone."""
    mark = tmp_path / "up"
    stubborn = GENTLE.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN").format(str(mark))
    run = Run(python("a", stubborn), drain_s=0.3)
    until(mark.exists)
    assert run.stop() == 1
    assert run.lines[-1] == "a: killed, for it had not drained after 0.3 s"


ORPHAN = """
import sys, time
from detector.supervisor import until_told_or_alone
stop = until_told_or_alone(lambda: False)
open(sys.argv[1], "w").write("here")
while not stop():
    time.sleep(0.02)
open(sys.argv[1], "w").write("left")
"""
ALONE = """
import sys
from detector.supervisor import Supervisor, Task
Supervisor([Task("child", (sys.executable, "-c", sys.argv[1], sys.argv[2]))], print).run()
"""


def test_the_children_of_a_supervisor_that_was_killed_leave_by_themselves(tmp_path: Path) -> None:
    """kill -9 gives it no chance to tell them; they would keep the ports that their successors need."""
    sign = tmp_path / "sign"
    supervisor = subprocess.Popen([sys.executable, "-c", ALONE, ORPHAN, str(sign)], stdout=subprocess.DEVNULL)
    until(lambda: sign.exists() and sign.read_text() == "here")
    supervisor.kill()
    supervisor.wait()
    until(lambda: sign.read_text() == "left")
