"""Decisions in force, a page at a time: each of them once, whatever is decided and ends in between."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.admin.http import Refused
from detector.admin.listing import Wanted, page
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from detector.verdict.slot import Slot
from tests.demo.stories import decision

NOW_MS: Final = 1_800_000_000_000


def made(place: int, at_ms: int, action: str = "flag", service: str = "voice") -> Decision:
    """One that holds for a day from `at_ms` on."""
    return decision(
        f"+99971{place:07}",
        at_ms,
        action,
        decision_id=f"0-{place}-0-simbox",
        expires_at=at_ms + DAY_MS,
        service=service,
    )


def read(**query: object) -> Wanted:
    """What a query asks for."""
    return Wanted.read({name: str(value) for name, value in query.items()})


def pages(groups: Sequence[Sequence[Decision]], limit: int, **query: object) -> list[tuple[Decision, ...]]:
    """One after the other, to the last."""
    slots = [[Slot.of(one) for one in group] for group in groups]
    found = [page(slots, read(limit=limit, **query), NOW_MS)]
    while found[-1].next is not None:
        found.append(page(slots, read(limit=limit, after=found[-1].next, **query), NOW_MS))
    assert len({one.total for one in found}) == 1
    return [one.decisions for one in found]


DECISIONS = st.lists(
    st.builds(
        made,
        st.integers(0, 10**6),
        # Few moments, so that many decisions share one; some have ended.
        st.integers(-3, 5).map(lambda hours: NOW_MS - DAY_MS + hours * 3_600_000),
        st.sampled_from(["flag", "block", "release"]),
        st.sampled_from(["voice", "sms"]),
    ),
    unique_by=lambda one: one.decision_id,
    max_size=40,
)


@given(DECISIONS, st.integers(1, 7), st.sampled_from([{}, {"action": "release"}, {"service": "sms"}]))
def test_pages_together_are_one_plain_sort(found: list[Decision], limit: int, query: dict[str, str]) -> None:
    """Each decision that holds and is asked for once, the newest first, pages full but for the last."""
    wanted = [
        one
        for one in sorted(found, key=lambda one: (-one.issued_at, one.decision_id))
        if one.expires_at > NOW_MS
        and all(getattr(one, name) == value for name, value in query.items())
        and (one.action != "release" or "action" in query)
    ]
    got = pages([found[::2], found[1::2]], limit, **query)
    assert [one for some in got for one in some] == wanted
    assert all(len(some) == limit for some in got[:-1])
    assert len(got) == max(1, -(-len(wanted) // limit))


def test_what_is_decided_between_two_pages_moves_nothing() -> None:
    """
    first page    5 4
    then          7 6 decided, 3 ended
    second page   2 1      not 4 again, and not 3
    """
    held = [Slot.of(made(i, NOW_MS - 10_000 + 1_000 * i)) for i in range(1, 6)]
    first = page([held], read(limit=2), NOW_MS)
    later = [*held[:2], *held[3:], Slot.of(made(6, NOW_MS)), Slot.of(made(7, NOW_MS + 1))]
    second = page([later], read(limit=2, after=first.next), NOW_MS)
    assert [one.number[-1] for one in (*first.decisions, *second.decisions)] == ["5", "4", "2", "1"]
    assert (first.total, second.total, second.next) == (5, 6, None)


@pytest.mark.parametrize("after", ["", "1", "1:", ":1", "x:1", "1" * 16 + ":1", "1:" + "x" * 201, "1:\x00"])
def test_a_place_that_no_answer_gave_is_refused(after: str) -> None:
    """And not repeated."""
    with pytest.raises(Refused, match=r"^after: wanted what an answer has under next$"):
        read(after=after)
