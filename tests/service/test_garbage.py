"""When cycles are collected: between steps, and all the same."""

import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from detector.metrics import Metrics
from detector.service import garbage, run
from detector.service.garbage import STEPS, Garbage


class Cycle:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test does, the collector works by itself afterwards, and nothing is kept from it."""
    yield
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_cycle_is_collected_in_a_pause() -> None:
    """At the first step that found nothing to do."""
    with Garbage() as collector:
        held = weakref.ref(Cycle())
        collector.collect(idle=False)
        assert held() is not None
        collector.collect(idle=True)
        assert held() is None


def test_a_cycle_is_collected_where_there_is_no_pause() -> None:
    """After so many steps."""
    with Garbage() as collector:
        held = weakref.ref(Cycle())
        for _ in range(STEPS - 1):
            collector.collect(idle=False)
        assert held() is not None
        collector.collect(idle=False)
        assert held() is None


def test_a_cycle_that_has_grown_old_is_collected_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was alive when it was looked at is looked at once more."""
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    with Garbage() as collector:
        cycle = Cycle()
        held = weakref.ref(cycle)
        collector.collect(idle=True)
        collector.collect(idle=True)
        del cycle
        collector.collect(idle=True)
        assert held() is not None
        now_s += garbage.ALL_S
        collector.collect(idle=False)
        assert held() is None


def test_a_role_works_without_the_collector() -> None:
    """From its building to its end."""
    seen = []

    class Working:
        reachable = True

        def step(self) -> int:
            seen.append((gc.isenabled(), gc.get_freeze_count() > 0))
            return 1

        def close(self, *, leave: bool = False) -> None:
            seen.append((gc.isenabled(), gc.get_freeze_count() > 0))

    run(Working, lambda: len(seen) == 2, Metrics())
    assert seen == [(False, True)] * 3
