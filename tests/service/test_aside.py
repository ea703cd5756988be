"""Calls beside the loop: in order, with their outcome, and never in the way of an end."""

import subprocess
import sys
from threading import Event

import pytest

from detector.service.aside import Aside

STUCK = """
from threading import Event
from detector.service.aside import Aside
begun = Event()
Aside(1, "stuck").submit(lambda: (begun.set(), Event().wait()))
begun.wait()
raise SystemExit(3)
"""


def test_calls_are_made_in_their_order_and_their_outcomes_kept() -> None:
    """What one raises is its own: the next is made all the same."""
    seen: list[int] = []
    aside = Aside(1, "test")
    first = aside.submit(seen.append, 1)
    wrong = aside.submit(int, "one")
    last = aside.submit(lambda a, b: a + b, 2, 3)
    assert last.result(20) == 5
    assert first.result(20) is None
    assert seen == [1]
    with pytest.raises(ValueError, match="'one'"):
        wrong.result(20)
    aside.shutdown()


def test_one_that_waits_does_not_hold_up_the_other() -> None:
    """With two threads."""
    aside, gate = Aside(2, "test"), Event()
    waiting = aside.submit(gate.wait, 20)
    assert aside.submit(int, "7").result(20) == 7
    assert not waiting.done()
    gate.set()
    assert waiting.result(20)
    aside.shutdown()


def test_a_call_that_never_returns_does_not_keep_the_process_from_ending() -> None:
    """A worker that must end would keep its place in the group, and its partitions from the others."""
    assert subprocess.run([sys.executable, "-c", STUCK], check=False, timeout=60).returncode == 3
