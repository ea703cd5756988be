"""Slot: a decision, packed."""

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from detector.features.catalogue import FEATURES
from detector.verdict.decisions import Decision, Enforcement, Evidence, Position, ReasonGiven, Score
from detector.verdict.memory import Memory
from detector.verdict.slot import Slot
from tests.verdict.test_decisions import change

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        change,
        action=st.sampled_from(["flag", "warn", "block", "release", "allow"]),
        source=st.sampled_from(["detector", "operator:ann"]),
        reason=st.text(),
        score=st.one_of(st.none(), st.builds(Score, numbers, st.floats(0, 1))),
        protected_until=st.one_of(st.none(), st.integers(0, 1 << 50)),
        evidence=st.builds(Evidence, st.integers(0, 1 << 50), st.dictionaries(st.text(), numbers), st.just(())),
        enforcement=st.one_of(st.none(), st.just(Enforcement(sip_code=603))),
    )
)
def test_what_is_packed_comes_out_again(decision: Decision) -> None:
    """Every word of it; those kept outside are the decision's own."""
    slot = Slot.of(decision)
    assert slot.decision() == decision
    assert (slot.action, slot.rule, slot.service) == (decision.action, decision.rule, decision.service)
    assert (slot.issued_at, slot.since, slot.expires_at) == (decision.issued_at, decision.since, decision.expires_at)
    assert (slot.decision_id, slot.protected_until) == (decision.decision_id, decision.protected_until)
    assert slot.is_counted is (decision.action == "block" and decision.source == "detector")


def as_in_production(i: int, chance: random.Random) -> Decision:
    """A decision with all counts and five reasons, as the model's have; `i` < 10^7 makes it a case of its own."""
    drawn = chance.sample(FEATURES, 5)
    return change(
        number=f"+9997{i:07}",
        decision_id=f"{i % 12}-{10_000_000 + i}-{i % 500}-model-flag",
        since=1_790_000_000_000 + i,
        issued_at=1_790_000_000_000 + i,
        expires_at=1_790_086_400_000 + i,
        score=Score(chance.uniform(1, 9), round(chance.random(), 4)),
        reasons=tuple(
            ReasonGiven(
                one.name, round(chance.uniform(0, 50), 4), one.unit, 99.5, round(chance.random(), 4), f"{one.meaning} 7"
            )
            for one in drawn
        ),
        evidence=Evidence(
            1_790_000_000_000 + i,
            {one.name: float(chance.randrange(200)) for one in FEATURES[:30]},
            (Position("plain", i % 12, 9_000_000 + i),),
        ),
    )


def test_memory_knows_what_its_cases_take() -> None:
    """Within a fifth of what Python counts; and that is below a quarter of what the decisions take unpacked."""
    chance = random.Random(1)
    drawn = [as_in_production(i, chance) for i in range(3_000)]
    made = [(one.key().encode(), one.to_json()) for one in drawn]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        unpacked = [Decision.from_json(value) for _, value in made]
        plain = tracemalloc.get_traced_memory()[0] - before
        del unpacked
        before = tracemalloc.get_traced_memory()[0]
        memory = Memory.rebuild(made)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * taken <= memory.nbytes <= 1.2 * taken
    assert taken < plain / 4


def test_what_is_superseded_or_deleted_takes_nothing() -> None:
    """Bytes are of what is remembered."""
    chance = random.Random(2)
    memory = Memory()
    first = as_in_production(1, chance)
    memory.apply(first)
    alone = memory.nbytes
    memory.apply(change(number=first.number, version=2, action="release"))
    assert 0 < memory.nbytes < alone
    key = first.key().encode()
    assert Memory.rebuild([(key, first.to_json()), (key, None)]).nbytes == 0
