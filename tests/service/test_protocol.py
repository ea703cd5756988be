"""Anything at any step of the protocol: hypothesis chooses what goes wrong, where and in which order.

The real roles, two and more workers each, on the simulated broker. Whatever happened, at the end
healthy workers finish what there is, and then every row, reject and decision is there exactly once,
and state is that of one undisturbed pass, byte for byte.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from detector.broker.simulated import Point
from detector.errors import Abort, Fatal, Recoverable
from tests.service.simulation import Crash, Network

NAMES = ("ingest-0", "ingest-1", "ingest-2", "detect-0", "detect-1", "detect-2")
START = ("ingest-0", "ingest-1", "detect-0", "detect-1")
ERRORS: dict[Point, tuple[type[Exception], ...]] = {
    Point.POLL: (Recoverable, Fatal),
    Point.COMMITTED: (Recoverable,),
    Point.WATERMARKS: (Recoverable,),
    Point.READ: (Recoverable,),
    Point.BEGIN: (Recoverable,),
    Point.SEND: (Abort,),
    Point.OFFSETS: (Abort, Fatal),
    Point.COMMIT: (Abort, Fatal),
    Point.COMMITTED_UNHEARD: (Fatal,),
    Point.ABORT: (Fatal,),
    Point.ABORTED_UNHEARD: (Fatal,),
}
"""What a broker may answer at each point; an answer that is not heard leaves the outcome unknown, which is fatal."""

names = st.sampled_from(START + NAMES)
"""Mostly workers that are there."""
detectors = st.sampled_from([name for name in NAMES if name.startswith("detect")])
points = st.sampled_from(list(Point))
in_transaction = st.sampled_from([Point.BEGIN, Point.SEND, Point.OFFSETS, Point.COMMIT, Point.COMMITTED_UNHEARD])
few = st.integers(0, 4)


class Protocol(RuleBasedStateMachine):
    """What may happen to the network, one rule each."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="protocol-"))
        self.patch = pytest.MonkeyPatch()
        self.network = Network(self.folder, self.patch)
        self.broker = self.network.broker

    @initialize(records=st.integers(5, 40))
    def begin(self, records: int) -> None:
        """Two workers of each role, and something to do."""
        for partition in range(3):
            self.network.publish(records, partition)
        for name in START:
            self.network.start(name)
        for name in START * 4:
            self.network.step(name)

    def teardown(self) -> None:
        try:
            self.network.settle()
            self.network.check()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    def struck(self, name: str, point: Point, after: int, action: Callable[[], None], steps: int) -> None:
        """The worker steps until the action has happened, or has not come up."""
        self.broker.strike(point, action, after)
        for _ in range(steps):
            self.network.step(name)
        self.broker.spare()

    def feed(self) -> None:
        """Records, and if ingest works, rows for every partition."""
        for partition in range(3):
            self.network.publish(8, partition)
        for name in NAMES[:3]:
            self.network.step(name)

    # Work.

    @rule(records=st.integers(1, 30), partition=st.integers(0, 2))
    def publish(self, records: int, partition: int) -> None:
        self.network.publish(records, partition)

    @rule(action=st.sampled_from(["block", "release", "allow"]))
    def command(self, action: str) -> None:
        self.network.command(action)

    @rule(name=names, steps=st.integers(1, 6))
    def work(self, name: str, steps: int) -> None:
        for _ in range(steps):
            self.network.step(name)

    @rule(rounds=st.integers(1, 3))
    def all_work(self, rounds: int) -> None:
        for name in list(self.network.workers) * rounds:
            self.network.step(name)

    # Coming and going.

    @rule(name=names)
    def join(self, name: str) -> None:
        """One more, or one that died; one that lives is replaced, and its old self is fenced if it is met again."""
        if name not in self.network.at_work:
            self.network.start(name)

    @rule(name=names, for_good=st.booleans())
    def leave(self, name: str, for_good: bool) -> None:
        """It stops; its place is kept for its session timeout, unless it leaves for good."""
        self.network.leave(name, for_good)

    @rule(name=names)
    def expire(self, name: str) -> None:
        """Its lease is lost, and it does not know."""
        self.broker.expire(*self.network.identity(name))

    @rule()
    def expire_all(self) -> None:
        for name in self.network.workers:
            self.broker.expire(*self.network.identity(name))

    @rule(name=names)
    def fence(self, name: str) -> None:
        self.broker.fence(self.network.identity(name)[1])

    # Restores beside the stream.

    @rule(name=detectors)
    def restore_slowly(self, name: str) -> None:
        """What it takes from now on is not restored before something says so."""
        self.network.slow.add(name)

    @rule(name=detectors, restores=st.integers(1, 3))
    def restore(self, name: str, restores: int) -> None:
        self.network.restore(name, restores)

    @rule(name=detectors)
    def restore_at_once(self, name: str) -> None:
        self.network.slow.discard(name)

    @rule(
        name=detectors,
        other=detectors,
        point=st.sampled_from([Point.COMMITTED, Point.WATERMARKS, Point.READ]),
        after=st.integers(0, 12),
        steps=st.integers(1, 4),
        leaves=st.booleans(),
    )
    def lose_in_a_restore(self, name: str, other: str, point: Point, after: int, steps: int, leaves: bool) -> None:
        """In mid-restore its lease is lost and another works; it learns of it at once, for its loop goes on."""

        def others_work() -> None:
            self.broker.expire(*self.network.identity(name))
            for _ in range(steps):
                self.network.step(other)
            if leaves:
                self.network.leave(other)
            self.network.step(name)

        self.feed()
        self.network.slow.add(name)
        self.broker.expire(*self.network.identity(name))
        self.network.step(name)
        self.broker.strike(point, others_work, after)
        self.network.restore(name)
        self.broker.spare()
        self.network.slow.discard(name)

    @rule(
        name=detectors, after=st.integers(0, 12), which=st.sampled_from([Point.COMMITTED, Point.WATERMARKS, Point.READ])
    )
    def crash_in_a_restore(self, name: str, after: int, which: Point) -> None:
        self.network.slow.add(name)
        self.broker.expire(*self.network.identity(name))
        self.network.step(name)
        self.broker.strike(which, _raising(Crash()), after)
        self.network.restore(name)
        self.broker.spare()
        self.network.slow.discard(name)

    # Faults in mid-step.

    @rule(name=names, point=points, after=few)
    def crash(self, name: str, point: Point, after: int) -> None:
        self.struck(name, point, after, _raising(Crash()), 2)

    @rule(name=names, point=points, after=few, which=st.integers(0, 1))
    def fail(self, name: str, point: Point, after: int, which: int) -> None:
        kinds = ERRORS[point]
        self.struck(name, point, after, _raising(kinds[which % len(kinds)]("injected")), 2)

    @rule(name=names, after=few, more=st.integers(1, 6))
    def fail_after_an_abort(self, name: str, after: int, more: int) -> None:
        """The polls after an abort are where an outage is noticed."""
        self.broker.strike(Point.POLL, _raising(Recoverable("injected")), after=1 + more)
        self.struck(name, Point.OFFSETS, 0, _raising(Abort("injected")), 1 + after)

    @rule(name=names, other=names, point=in_transaction, after=few, steps=st.integers(1, 4))
    def overtake(self, name: str, other: str, point: Point, after: int, steps: int) -> None:
        """In mid-transaction the worker stands still for longer than its session, and another one works."""

        def others_work() -> None:
            self.broker.expire(*self.network.identity(name))
            for _ in range(steps):
                self.network.step(other)

        self.feed()
        self.struck(name, point, after, others_work, 2)

    @rule(name=names, other=names, after=few, steps=st.integers(1, 4))
    def overtake_while_it_settles(self, name: str, other: str, after: int, steps: int) -> None:
        """Its transaction was aborted; while it polls, its partitions go to another and, if that leaves, come back."""

        def others_work() -> None:
            self.broker.expire(*self.network.identity(name))
            for _ in range(steps):
                self.network.step(other)
            self.network.leave(other)

        self.feed()
        self.broker.strike(Point.OFFSETS, _raising(Abort("injected")))
        self.struck(name, Point.POLL, 1 + after, others_work, 2)

    @rule(name=names, point=in_transaction, after=few)
    def supplant(self, name: str, point: Point, after: int) -> None:
        """A second process of the same name comes up in mid-transaction."""
        self.struck(name, point, after, lambda: self.network.start(name), 1)

    # What is late.

    @rule(name=detectors, other=detectors, s=st.integers(1, 15), steps=st.integers(1, 3))
    def hand_over_while_decisions_are_late(self, name: str, other: str, s: int, steps: int) -> None:
        """Whoever takes the partitions finds stable offsets, and decisions that are not visible yet."""
        self.feed()
        self.broker.delay_markers(self.network.settings.topics.decisions, 1_000 * s)
        for _ in range(steps):
            self.network.step(name)
        self.broker.expire(*self.network.identity(name))
        for _ in range(steps):
            self.network.step(other)

    @rule(topic=st.sampled_from(["decisions", "decisions.shadow", "events.by-number", "rejects"]), s=st.integers(0, 20))
    def delay_markers(self, topic: str, s: int) -> None:
        self.broker.delay_markers(topic, 1_000 * s)

    @rule(role=st.sampled_from(["ingest", "detect"]), s=st.integers(0, 20))
    def delay_offsets(self, role: str, s: int) -> None:
        """Outputs are there, and the offsets that go with them are pending."""
        self.broker.delay_markers(f"detector-{role}", 1_000 * s)

    @rule()
    def release_markers(self) -> None:
        self.broker.release_markers()

    @rule(ms=st.sampled_from([10, 500, 2_000, 7_000, 11_000]))
    def advance(self, ms: int) -> None:
        self.broker.advance(ms)

    # Snapshots.

    @rule(chance=st.integers(0, 2**20), how=st.sampled_from(["truncate", "flip", "remove", "half"]))
    def damage_a_snapshot(self, chance: int, how: str) -> None:
        files = sorted(path for path in (self.folder / "snapshots").rglob("*") if path.is_file())
        if not files:
            return
        path = files[chance % len(files)]
        content = bytearray(path.read_bytes())
        match how:
            case "truncate":
                path.write_bytes(content[: chance % (len(content) + 1)])
            case "flip" if content:
                content[chance % len(content)] ^= 1 << chance % 8
                path.write_bytes(content)
            case "remove":
                path.unlink()
            case "half":
                half = path.parent.parent / "tmp-7-1"
                half.mkdir(exist_ok=True)
                (half / path.name).write_bytes(content[: len(content) // 2])

    @rule(name=detectors, crash=st.booleans(), renamed=st.booleans())
    def fail_in_a_snapshot(self, name: str, crash: bool, renamed: bool) -> None:
        """Killed, or the disk is full, before the snapshot has its name or after."""
        fails = _raising(Crash() if crash else OSError("no space left on device"))
        self.network.at_sync = [lambda: None, fails] if renamed else [fails]
        self.feed()
        for _ in range(3):
            self.broker.advance(1_500)
            self.network.step(name)
        self.network.at_sync = []

    @rule()
    def lose_all_snapshots(self) -> None:
        """A new worker without the store of the others: the log reaches back far enough."""
        shutil.rmtree(self.folder / "snapshots", ignore_errors=True)


def _raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_everything_is_there_exactly_once() -> None:
    """A few stories, the same ones every time."""
    _run(examples=40, steps=30)


@pytest.mark.slow
def test_whatever_happens_at_length_everything_is_there_exactly_once() -> None:
    """Many and longer ones."""
    _run(examples=300, steps=50)
