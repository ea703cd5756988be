"""Memory: what is in force, as the decisions topic alone tells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SnapshotError
from detector.records import parse_number
from detector.units import HOUR_MS
from detector.verdict.decisions import Decision
from detector.verdict.memory import KEEP_MS, PRUNE_AT, PRUNE_MS, Case, Memory
from detector.verdict.slot import Slot
from tests.verdict.moments import MOBILE, START_MS
from tests.verdict.test_decisions import change

CASE = Case(MOBILE, "voice", "originating")


def after(*decisions: Decision) -> Memory:
    """A memory that took these decisions."""
    memory = Memory()
    for decision in decisions:
        memory.apply(decision)
    return memory


def test_a_decision_is_in_force_until_it_expires() -> None:
    """
    issued          expires              forgotten
      |--- in force ---|--- remembered ------|
    """
    decision = change(issued_at=START_MS, expires_at=START_MS + 1000)
    memory = after(decision)
    assert memory.in_force(CASE, START_MS + 999) == Slot.of(decision)
    assert memory.in_force(CASE, START_MS + 1000) is None
    assert memory.latest(CASE, START_MS + 999 + KEEP_MS) == decision
    assert memory.latest(CASE, START_MS + 1000 + KEEP_MS) is None
    assert memory.in_force(CASE._replace(service="sms"), START_MS) is None


def test_decisions_in_force_are_counted_by_action() -> None:
    """At a moment: what has expired by then is remembered and not counted."""
    memory = after(
        change(service="voice", action="block", expires_at=START_MS + 1000),
        change(service="sms", action="block", expires_at=START_MS + 2000),
        change(service="voice", scope="trunk:7", action="flag", expires_at=START_MS + 2000),
    )
    assert memory.count_in_force(START_MS) == {"block": 2, "flag": 1}
    assert memory.count_in_force(START_MS + 1000) == {"block": 1, "flag": 1}
    assert memory.count_in_force(START_MS + 2000) == {}
    assert len(memory) == 3


def test_the_latest_decision_of_a_case_holds() -> None:
    """Whatever was before."""
    memory = after(change(version=1), change(version=2, action="release"))
    slot = memory.in_force(CASE, START_MS)
    assert slot is not None
    assert slot.decision().version == 2
    assert len(memory) == 1


def test_a_release_protects_its_case_and_one_of_all_scopes_every_case() -> None:
    """Until it expires, and not beyond."""
    until = START_MS + 1000
    one = after(change(action="release", protected_until=until))
    assert one.protected(CASE, START_MS)
    assert not one.protected(CASE, until)
    assert not one.protected(CASE._replace(scope="zone:882-satellite"), START_MS)
    every = after(change(action="release", scope="all", protected_until=until))
    assert every.protected(CASE._replace(scope="zone:882-satellite"), START_MS)
    assert not every.protected(CASE._replace(service="sms"), START_MS)


def test_blocks_count_in_the_hour_they_began_in() -> None:
    """Renewals and operators' blocks take nothing from the budget, and a release gives it back."""
    block = change(since=START_MS)
    other = change(number="+99970000001", since=START_MS + HOUR_MS)
    memory = after(block, other, change(number="+99970000002", source="operator:ann"))
    assert (memory.blocks_in(START_MS), memory.blocks_in(START_MS + HOUR_MS)) == (1, 1)
    memory.apply(change(version=3, renewals=1, since=START_MS, issued_at=START_MS + 2 * HOUR_MS))
    assert (memory.blocks_in(START_MS), memory.blocks_in(START_MS + 2 * HOUR_MS)) == (1, 0)
    memory.apply(change(version=4, action="release"))
    assert memory.blocks_in(START_MS) == 0


decisions = st.builds(
    change,
    number=st.sampled_from(["+99970000001", "+99970000002@7", "sender:ACME@11"]),
    service=st.sampled_from(["voice", "sms"]),
    scope=st.sampled_from(["originating", "all", "trunk:7"]),
    action=st.sampled_from(["flag", "block", "release"]),
    source=st.sampled_from(["detector", "operator:ann"]),
    since=st.integers(0, 5).map(lambda hour: START_MS + hour * HOUR_MS),
    expires_at=st.integers(0, 50).map(lambda hour: START_MS + hour * HOUR_MS),
    protected_until=st.one_of(st.none(), st.just(START_MS + HOUR_MS)),
)


@given(st.lists(decisions, max_size=20), st.data())
def test_what_compaction_leaves_gives_the_same_memory(log: list[Decision], data: st.DataObject) -> None:
    """Any superseded message of the topic may be gone: nothing here depended on it."""
    last = {decision.key(): i for i, decision in enumerate(log)}
    kept = [d for i, d in enumerate(log) if last[d.key()] == i or data.draw(st.booleans())]
    lived, rebuilt = after(*log), Memory.rebuild((d.key().encode(), d.to_json()) for d in kept)
    for decision in log:
        case = Case(parse_number(decision.number), decision.service, decision.scope)
        for hour in range(0, 60, 7):
            now = START_MS + hour * HOUR_MS
            assert lived.latest(case, now) == rebuilt.latest(case, now)
            assert (lived.in_force(case, now) is None) is (rebuilt.in_force(case, now) is None)
            assert lived.protected(case, now) == rebuilt.protected(case, now)
            assert lived.blocks_in(now) == rebuilt.blocks_in(now)
        assert lived.cases_of(case.number) == rebuilt.cases_of(case.number)
    assert [slot.decision_id for slot in lived.slots()] == [slot.decision_id for slot in rebuilt.slots()]
    assert len(lived) == len(rebuilt)


def test_a_number_and_the_whole_are_told_with_the_last_of_each_case() -> None:
    """Expired ones too: who looks says as of when."""
    first, other = change(), change(number="+99970000002")
    last = change(version=2, action="release")
    memory = after(first, other, last)
    assert [slot.decision() for slot in memory.slots()] == [other, last]
    assert memory.decisions_of(parse_number(first.number)) == (last,)
    assert memory.decisions_of(parse_number("+99970000009")) == ()


def test_a_release_that_a_block_outlived_keeps_its_case_from_being_dropped() -> None:
    """The block is long over; what an operator promised is not."""
    until = START_MS + 4 * PRUNE_MS
    memory = after(change(expires_at=START_MS, protected_until=until))
    for i in range(PRUNE_AT):
        memory.apply(change(number=f"+9997{i:07}", issued_at=START_MS + 2 * PRUNE_MS, expires_at=until))
    assert memory.protected(CASE, until - 1)
    assert memory.latest(CASE, until + KEEP_MS - 1) is not None
    assert memory.latest(CASE, until + KEEP_MS) is None


def test_a_deleted_key_forgets_its_case() -> None:
    """A message without a value is Kafka's word for that."""
    memory = Memory.rebuild([(change().key().encode(), change().to_json()), (change().key().encode(), None)])
    assert len(memory) == 0
    assert memory.cases_of(MOBILE) == ()
    assert memory.blocks_in(change().since) == 0


@pytest.mark.parametrize("value", [b"{}", change(number="999712345678").to_json()])
def test_a_topic_that_holds_something_else_is_refused(value: bytes) -> None:
    """Going on would forget what is in force. Whose it is is not said: it goes to the log."""
    with pytest.raises(SnapshotError, match=r"^wanted a decision") as refused:
        Memory.rebuild([(b"+999712345678|voice|originating", value)])
    assert "712345678" not in str(refused.value)


def test_cases_long_expired_are_dropped_so_that_memory_does_not_grow() -> None:
    """Only those that `latest` would no longer tell of."""
    memory = after(*(change(number=f"+9997{i:07}", expires_at=START_MS) for i in range(PRUNE_AT - 1)))
    assert len(memory) == PRUNE_AT - 1
    memory.apply(change(issued_at=START_MS + PRUNE_MS + 1, expires_at=START_MS + 2 * PRUNE_MS))
    assert len(memory) == 1
    assert memory.blocks_in(change().since) == 1
