"""What was known: fraud while a label says so, honest after silence, and nothing that became known later."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.learning.decided import Hidden
from detector.learning.known import NOBODY, Known
from detector.learning.labelfile import DETECTOR, HOLD_OUT, RANDOM_AUDIT, NumberLabel
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, MEMORY_MS, NEITHER
from detector.units import DAY_MS
from tests.strategies import NUMBERS

BAD, GOOD = NUMBERS[0], NUMBERS[1]
BY = 100 * DAY_MS
DELAY = 14 * DAY_MS
FRAUD = NumberLabel(BAD, True, 10 * DAY_MS, 20 * DAY_MS, 22 * DAY_MS, "complaint", "simbox")


def at(
    labels: list[NumberLabel], *days: float, number: int = BAD, by_ms: int = BY, hidden: Hidden | None = None
) -> list[int]:
    """What the number was on each day."""
    known = Known(labels, by_ms, DELAY, hidden)
    moments = np.array([int(day * DAY_MS) for day in days], np.int64)
    found: list[int] = known.of(np.full(len(days), number, np.uint64), moments).label.tolist()
    return found


def test_a_number_of_whom_nobody_says_anything_is_honest_once_the_delay_is_over() -> None:
    """
    honest .....................|-- delay, 14 d --| known by
                                86               100
    """
    assert at([], 0, 86, 86.1, 99.9, 100, 101) == [HONEST_ROW, HONEST_ROW, NEITHER, NEITHER, NEITHER, NEITHER]


def test_fraud_is_fraud_while_the_label_says_so_and_nothing_else_around_it() -> None:
    """
    neither ....|FFFFFFFFFF|---- 7 d ----|.... neither still: nobody knows whose number it was
                10         20           27
    """
    assert at([FRAUD], 0, 9.9, 10, 19.9, 20, 26.9, 27, 60, 90) == [
        NEITHER,
        NEITHER,
        FRAUD_ROW,
        FRAUD_ROW,
        *[NEITHER] * 5,
    ]
    assert at([FRAUD], 15, number=GOOD) == [HONEST_ROW]


def test_what_became_known_later_is_not_there() -> None:
    """On day 21 nobody had complained: as far as anybody knew, the number was honest."""
    early = FRAUD.known_at_ms - DAY_MS
    assert at([FRAUD], 1, 6.9, 15, by_ms=early) == [HONEST_ROW, HONEST_ROW, NEITHER]
    assert at([FRAUD], 15, by_ms=FRAUD.known_at_ms) == [FRAUD_ROW]


def test_fraud_that_has_not_ended_goes_on_until_the_day_of_knowing() -> None:
    """An open end is no knowledge of the future."""
    assert at([replace(FRAUD, active_until_ms=None)], 15, 99.9, 100, 150) == [FRAUD_ROW, FRAUD_ROW, NEITHER, NEITHER]


def test_our_own_decision_says_nothing_and_takes_nothing_from_what_others_say() -> None:
    """
    detector          |=======    neither where nobody else speaks: never honest, for people may be silent because of us
    complaint  |FFF|              fraud, and what is said of others' labels, as without us
    analyst        |HHH|          honest, though a decision of ours was there
              10  20  30  40
    """
    own = replace(FRAUD, source=DETECTOR, active_from_ms=40 * DAY_MS, active_until_ms=None, known_at_ms=41 * DAY_MS)
    cleared = replace(
        FRAUD, fraud=False, source="analyst", type=None, active_from_ms=20 * DAY_MS, active_until_ms=30 * DAY_MS
    )
    assert at([own], 1, 15, 39, 60) == [NEITHER] * 4
    assert at([own, FRAUD], 1, 15, 22, 60) == [NEITHER, FRAUD_ROW, NEITHER, NEITHER]
    assert at([own, cleared], 1, 25, 35, 60) == [NEITHER, HONEST_ROW, NEITHER, NEITHER]
    assert at([own], 15, number=GOOD) == [HONEST_ROW]
    assert at([own], 15, by_ms=30 * DAY_MS) == [HONEST_ROW]  # our decision was not there yet


def test_an_honest_label_needs_no_delay_but_not_while_fraud_is_remembered() -> None:
    """
    honest says  |=====================|
                 15                    95
    fraud    |FFFFFFFFF|--- 7 d ---|
            10         20          27
    """
    audit = replace(
        FRAUD, fraud=False, source="audit", type=None, active_from_ms=15 * DAY_MS, active_until_ms=95 * DAY_MS
    )
    assert at([FRAUD, audit], 15, 21, 27, 90, 96) == [FRAUD_ROW, NEITHER, HONEST_ROW, HONEST_ROW, NEITHER]
    assert at([audit], 14, 90, 96) == [HONEST_ROW, HONEST_ROW, NEITHER]


def test_the_silence_about_whom_we_blocked_says_nothing() -> None:
    """
    silence  honest ....|block| 7 d |.... honest       nobody complains of somebody who is blocked
                        3     5    12
    """
    hidden = {BAD: [(3 * DAY_MS, 12 * DAY_MS), (40 * DAY_MS, 50 * DAY_MS)]}
    moments = [2.9, 3, 4, 11.9, 12, 39, 40, 49.9, 50]
    spoken = [HONEST_ROW, NEITHER, NEITHER, NEITHER, HONEST_ROW, HONEST_ROW, NEITHER, NEITHER, HONEST_ROW]
    assert at([], *moments, hidden=hidden) == spoken
    assert at([], *moments, hidden=hidden, number=GOOD) == [HONEST_ROW] * 9


def test_what_people_say_of_whom_we_blocked_counts() -> None:
    """Whoever says it: a victim, an analyst who looked, an audit, the hold-out; silence beside it counts no more."""
    hidden = {BAD: [(0, 60 * DAY_MS)]}
    assert at([FRAUD], 15, hidden=hidden) == [FRAUD_ROW]
    for source in ("analyst", RANDOM_AUDIT, HOLD_OUT):
        looked = replace(FRAUD, fraud=False, type=None, source=source)
        assert at([looked], 9, 15, 25, 61, hidden=hidden) == [NEITHER, HONEST_ROW, NEITHER, HONEST_ROW]


def test_it_is_said_which_label_decides() -> None:
    """Of equals the one that was known first; nobody's where silence decides."""
    second = replace(FRAUD, known_at_ms=30 * DAY_MS, source="analyst")
    known = Known([second, FRAUD], BY, DELAY)
    by = known.of(np.array([BAD, BAD, GOOD], np.uint64), np.array([15, 25, 15]) * DAY_MS).by.tolist()
    assert known.labels[by[0]] == FRAUD
    assert by[1:] == [NOBODY, NOBODY]


def test_the_surest_label_counts_and_of_equally_sure_ones_the_last() -> None:
    """
    complaint        |FFFFFFFFFF|        confidence as given, known on day 22
    analyst, audit   |HHHHHHHHHH|
                    10         20
    An analyst who clears a number is heard, and so is an audit's honest number-day; at the same time fraud is.
    """
    unsure = replace(FRAUD, confidence=0.1)
    for source in ("analyst", RANDOM_AUDIT):
        later = replace(FRAUD, fraud=False, type=None, source=source, known_at_ms=25 * DAY_MS, probability=0.5)
        for labels, wanted in (
            ([unsure, later], HONEST_ROW),
            ([unsure, replace(later, known_at_ms=1)], HONEST_ROW),
            ([FRAUD, later], HONEST_ROW),
            ([FRAUD, replace(later, known_at_ms=FRAUD.known_at_ms)], FRAUD_ROW),
            ([FRAUD, replace(later, known_at_ms=1)], FRAUD_ROW),
            ([FRAUD, replace(later, confidence=0.9)], FRAUD_ROW),
        ):
            assert at(labels, 15) == [wanted]
            known = Known(labels, BY, DELAY)
            (by,) = known.of(np.array([BAD], np.uint64), np.array([15 * DAY_MS])).by.tolist()
            assert known.labels[by].fraud == (wanted == FRAUD_ROW)


def test_a_fraud_that_was_taken_back_leaves_nothing_behind() -> None:
    """
    complaint          |FFFFFFFFFFF|
    analyst, later         |HHHHHHHHHHHHHHHH|
    fraud              |FFF|-- 7 d --|HHHHHH|  neither: nobody knows whose it was
                      10  15        22     40
    Taken back as a whole it says nothing of other days either, and silence about them counts as ever.
    """
    cleared = replace(
        FRAUD,
        fraud=False,
        type=None,
        source="analyst",
        active_from_ms=15 * DAY_MS,
        active_until_ms=40 * DAY_MS,
        known_at_ms=41 * DAY_MS,
    )
    assert at([FRAUD, cleared], 9, 12, 15, 21.9, 22, 39, 41) == [
        NEITHER,
        FRAUD_ROW,
        NEITHER,
        NEITHER,
        HONEST_ROW,
        HONEST_ROW,
        NEITHER,
    ]
    whole = replace(cleared, active_from_ms=5 * DAY_MS)
    assert at([FRAUD, whole], 4, 12, 22, 39, 41, 90) == [*[HONEST_ROW] * 5, NEITHER]


def test_the_stretches_of_fraud_are_what_moments_say() -> None:
    """From the first moment at which it holds; what was taken back is none, and several that touch are one."""
    cleared = replace(FRAUD, fraud=False, type=None, source="analyst", known_at_ms=41 * DAY_MS)
    more = replace(FRAUD, active_from_ms=18 * DAY_MS, active_until_ms=None, known_at_ms=30 * DAY_MS)
    early = replace(cleared, active_until_ms=12 * DAY_MS)
    other = replace(FRAUD, number=GOOD)
    found = Known([FRAUD, more, early, other, replace(cleared, number=GOOD)], BY, 0).frauds()
    assert [(one.number, one.active_from_ms, one.active_until_ms, one.type) for one in found] == [
        (BAD, 12 * DAY_MS, None, "simbox")
    ]


def drawn(labels: list[NumberLabel], day: float = 15) -> NumberLabel | None:
    """The label by whose chance the number weighs."""
    known = Known(labels, BY, DELAY)
    (index,) = known.of(np.array([BAD], np.uint64), np.array([int(day * DAY_MS)])).drawn.tolist()
    return None if index == NOBODY else known.labels[index]


def test_a_row_weighs_by_the_chance_that_something_hangs_on() -> None:
    """The hold-out always: a victim of a spared number would not have told of a blocked one. Other draws only where
    nobody else said the same, before or after."""
    complaint = replace(FRAUD, known_at_ms=30 * DAY_MS)
    audit = replace(FRAUD, source=RANDOM_AUDIT, probability=0.01)
    last = replace(audit, known_at_ms=60 * DAY_MS)
    spared = replace(FRAUD, source=HOLD_OUT, probability=0.1, known_at_ms=40 * DAY_MS)
    fine = replace(spared, fraud=False, type=None, confidence=0.5)
    cleared = replace(complaint, fraud=False, type=None, source="analyst", known_at_ms=35 * DAY_MS)
    for labels, wanted in (
        ([complaint], None),
        ([audit], audit),
        ([audit, complaint], None),
        ([last, complaint], None),
        ([audit, complaint, spared], spared),
        ([complaint, fine], fine),  # fraud, for the victim is surer, and it stands for ten that were blocked
        ([audit, spared], spared),
        ([complaint, cleared, last], last),  # without the audit it would pass as honest
        ([last, replace(audit, probability=0.5)], replace(audit, probability=0.5)),
        ([replace(audit, drawn_ms=12 * DAY_MS)], None),
        ([replace(audit, drawn_ms=15 * DAY_MS)], replace(audit, drawn_ms=15 * DAY_MS)),
    ):
        assert drawn(labels) == wanted
    assert drawn([replace(complaint, fraud=False, type=None), replace(audit, fraud=False, type=None)]) is None


def test_who_else_speaks_does_not_move_what_a_draw_stands_for() -> None:
    """
    1,000 number-days of fraud: of 400 a victim tells, some before the audit and some after, some unsurely; of the rest
    only the audit, of one in four. Of 200 more that were blocked one in four is spared, and of half of those a victim
    tells. Over sixty draws the weights of the fraud are the 1,200 that there are.
    """
    rng = np.random.default_rng(5)
    day = NumberLabel(0, True, 15 * DAY_MS, 16 * DAY_MS, 30 * DAY_MS, "complaint")
    weights = []
    for _ in range(60):
        labels = []
        for number in range(1, 1_201):
            mine = replace(day, number=number)
            told = number <= 400 or (number > 1_000 and number % 2 == 1)
            at_ms = int(rng.integers(20, 60)) * DAY_MS
            complaint = replace(mine, known_at_ms=at_ms, confidence=float(rng.choice([0.3, 1.0])))
            if number <= 1_000:
                labels += [complaint] if told else []
                if rng.random() < 0.25:
                    labels.append(replace(mine, source=RANDOM_AUDIT, probability=0.25))
            elif rng.random() < 0.25:
                labels += [complaint] if told else []
                labels.append(replace(mine, source=HOLD_OUT, probability=0.25))
        known = Known(labels, BY, DELAY)
        numbers = np.arange(1, 1_201).astype(np.uint64)
        judged = known.of(numbers, np.full(1_200, 15 * DAY_MS))
        stands = np.array([1.0, *(1 / label.probability for label in known.labels)])
        weights.append(stands[judged.drawn + 1][judged.label == FRAUD_ROW].sum())
    assert abs(np.mean(weights) - 1_200) < 4 * np.std(weights) / 60**0.5 < 30


def test_the_moments_of_labels_are_those_that_somebody_can_be_judged_at() -> None:
    """Not after the day of knowing, and not of what only we decided."""
    coming = replace(FRAUD, number=GOOD, active_from_ms=BY, active_until_ms=None)
    own = replace(FRAUD, number=NUMBERS[2], source=DETECTOR)
    assert Known([FRAUD, FRAUD, coming, own], BY, DELAY).moments() == [(20 * DAY_MS - 1, BAD)]


DAYS = st.integers(0, 30)
LABELS = st.lists(
    st.builds(
        lambda number, fraud, begin, days, known, source, confidence: NumberLabel(
            number,
            fraud,
            begin * DAY_MS,
            None if days is None else (begin + days) * DAY_MS,
            known * DAY_MS,
            source,
            confidence=confidence,
        ),
        st.sampled_from(NUMBERS[:2]),
        st.booleans(),
        DAYS,
        st.none() | st.integers(1, 10),
        DAYS,
        st.sampled_from(["complaint", "audit", DETECTOR]),
        st.sampled_from([0.5, 1.0]),
    ),
    max_size=5,
)


HIDDEN = st.dictionaries(
    st.sampled_from(NUMBERS[:3]),
    st.lists(st.integers(0, 60), min_size=2, max_size=6, unique=True).map(
        lambda days: [(a * DAY_MS, b * DAY_MS) for a, b in zip(sorted(days)[::2], sorted(days)[1::2], strict=False)]
    ),
)


def _said(mine: list[NumberLabel], ms: int) -> int:
    """By the one of several that counts."""
    says = [label for label in mine if label.active_from_ms <= ms < (label.active_until_ms or 1 << 62)]
    says.sort(key=lambda label: (label.confidence, label.known_at_ms, label.fraud))
    return NEITHER if not says else FRAUD_ROW if says[-1].fraud else HONEST_ROW


def naive(labels: list[NumberLabel], number: int, ms: int, by_ms: int, delay_ms: int, hidden: Hidden) -> int:
    """The rules, one after the other, over all labels, by half days."""
    mine = [label for label in labels if label.known_at_ms <= by_ms and label.number == number]
    ours = any(label.source == DETECTOR for label in mine)
    mine = [label for label in mine if label.source != DETECTOR]
    if ms >= by_ms:
        return NEITHER
    frauds = [day for day in range(2 * 81) if _said(mine, day * DAY_MS // 2) == FRAUD_ROW]
    said = _said(mine, ms)
    if said == FRAUD_ROW:
        return FRAUD_ROW
    if any(ms - MEMORY_MS <= day * DAY_MS // 2 < ms for day in frauds):
        return NEITHER
    if said == HONEST_ROW:
        return HONEST_ROW
    if ours or frauds:
        return NEITHER
    if any(from_ms <= ms < until_ms for from_ms, until_ms in hidden.get(number, [])):
        return NEITHER
    return HONEST_ROW if ms + delay_ms <= by_ms else NEITHER


@given(
    LABELS,
    st.lists(st.tuples(st.sampled_from(NUMBERS[:3]), st.integers(0, 80)), min_size=1, max_size=20),
    DAYS,
    st.integers(0, 10),
    HIDDEN,
    st.data(),
)
def test_every_moment_is_what_the_rules_say_and_the_order_of_labels_does_not_matter(
    labels: list[NumberLabel], moments: list[tuple[int, int]], by: int, delay: int, hidden: Hidden, data: st.DataObject
) -> None:
    """All rows at once, by index, equal one row at a time over all labels."""
    numbers = np.array([number for number, _ in moments], np.uint64)
    event_ms = np.array([half_days * DAY_MS // 2 for _, half_days in moments], np.int64)
    judged = Known(labels, by * DAY_MS, delay * DAY_MS, hidden).of(numbers, event_ms)
    wanted = [
        naive(labels, *each, by * DAY_MS, delay * DAY_MS, hidden)
        for each in zip(numbers.tolist(), event_ms.tolist(), strict=True)
    ]
    assert judged.label.tolist() == wanted
    shuffled = data.draw(st.permutations(labels))
    again = Known(shuffled, by * DAY_MS, delay * DAY_MS, hidden)
    assert again.labels == Known(labels, by * DAY_MS, delay * DAY_MS).labels
    assert again.of(numbers, event_ms).by.tolist() == judged.by.tolist()
    assert again.frauds() == Known(labels, by * DAY_MS, delay * DAY_MS, hidden).frauds()
