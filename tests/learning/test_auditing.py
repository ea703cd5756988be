"""Auditing: the draw leaves out what was decided against, says its chances, and stands for all that is there."""

from dataclasses import replace as replace_label

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import binom

from detector.learning.auditing import NEAR_SHARE, Acted, acted, decided_against, draw, draw_named, estimate, held_out
from detector.learning.known import Known
from detector.learning.labelfile import NumberLabel
from detector.learning.labelling import label_columns_of
from detector.learning.numberdays import NumberDays
from detector.learning.vectors import LABEL
from detector.records import number_text
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from tests.strategies import NUMBERS
from tests.verdict.test_decisions import FULL

POPULATION = 600


def population(size: int = POPULATION) -> NumberDays:
    """Three days of each of many numbers, in the order in which they are gathered."""
    rng = np.random.default_rng(3)
    at = np.arange(size)
    return (NUMBERS[0] + at // 3).astype(np.uint64), (20_000 + at % 3).astype(np.int64), rng.normal(size=size)


@given(st.integers(0, 50), st.integers(1, 900), st.floats(0, 1))
def test_the_weights_of_a_draw_add_up_to_the_population(seed: int, count: int, near: float) -> None:
    """Each number-day once, none twice; never more than there are; a stratum that nothing is drawn from stands out."""
    drawn = draw(population(), {}, count, near, seed)
    places = [(one.number, one.day) for one in drawn]
    assert len(set(places)) == len(places) <= count
    strata = {one.probability for one in drawn}
    assert all(0 < one.probability <= 1 for one in drawn)
    high = round(NEAR_SHARE * POPULATION)
    of_high = min(round(near * count), high)
    of_rest = min(count - round(near * count), POPULATION - high)
    assert len(drawn) == of_high + of_rest
    wanted = (high if of_high else 0) + (POPULATION - high if of_rest else 0)
    np.testing.assert_allclose(sum(1 / one.probability for one in drawn), wanted)
    assert len(strata) <= 2


def test_same_seed_same_draw_and_the_order_of_the_population_does_not_matter() -> None:
    """Another seed draws others."""
    numbers, days, margins = population()
    mixed = np.random.default_rng(1).permutation(POPULATION)
    drawn = draw((numbers, days, margins), {}, 40, 0.5, 7)
    assert draw((numbers[mixed], days[mixed], margins[mixed]), {}, 40, 0.5, 7) == drawn
    fewer = draw((numbers, days, margins), {}, 20, 0.5, 7)
    assert {(one.number, one.day) for one in fewer} < {(one.number, one.day) for one in drawn}
    other = draw((numbers, days, margins), {}, 40, 0.5, 8)
    assert len({(one.number, one.day) for one in other} & {(one.number, one.day) for one in drawn}) < 20


def test_weighted_by_their_chances_draws_tell_how_much_fraud_there_is() -> None:
    """Of a hundred draws the mean is the truth, within what chance allows; most fraud lies at high margins."""
    numbers, days, margins = population(6_000)
    rng = np.random.default_rng(9)
    fraud = rng.random(6_000) < 0.3 / (1 + np.exp(-2 * margins))
    is_fraud = dict(zip(zip(numbers.tolist(), days.tolist(), strict=True), fraud.tolist(), strict=True))
    estimates = []
    for seed in range(100):
        drawn = draw((numbers, days, margins), {}, 300, 0.5, seed)
        estimates.append(sum(1 / one.probability for one in drawn if is_fraud[one.number, one.day]))
    error = np.std(estimates) / 10
    assert abs(np.mean(estimates) - fraud.sum()) < 4 * error
    assert error < 0.05 * fraud.sum()


def test_days_on_which_something_was_in_force_are_not_drawn() -> None:
    """From the day of its issue to that of its expiry, at the home's midnight; a release is nothing against anybody."""
    number = NUMBERS[0]
    minutes = 120
    midnight = 20_001 * DAY_MS - minutes * 60_000
    block = replace(against(number), issued_at=midnight, expires_at=midnight + 1)
    assert decided_against([block], minutes) == {number: [(20_001, 20_001)]}
    longer = replace(block, issued_at=midnight - 1, expires_at=midnight + DAY_MS)
    assert decided_against([longer], minutes) == {number: [(20_000, 20_001)]}
    assert decided_against([replace(block, action="release")], minutes) == {}
    days = [20_000, 20_001, 20_002]
    few: NumberDays = (np.array([number] * 3, np.uint64), np.array(days), np.zeros(3))
    drawn = draw(few, decided_against([block], minutes), 10, 0.5, 1)
    assert [one.day for one in drawn] == [20_000, 20_002]
    assert [one.day for one in draw(few, {number + 1: [(0, 30_000)]}, 10, 0.5, 1)] == days


def test_the_hold_out_is_whose_block_nothing_else_held_back() -> None:
    """Each number-day once, with the share as its chance."""
    first = replace(against(NUMBERS[0]), action="flag", held_back=("hold_out",), issued_at=20_000 * DAY_MS)
    later = replace(first, issued_at=20_000 * DAY_MS + 5)
    other = replace(first, held_back=("hold_out", "warm_up"), number=number_text(NUMBERS[1]))
    free = replace(first, held_back=(), number=number_text(NUMBERS[2]))
    next_day = replace(first, issued_at=20_001 * DAY_MS)
    found = held_out([first, later, other, free, next_day], 0.05, 0)
    assert [(one.number, one.day, one.probability, one.source) for one in found] == [
        (NUMBERS[0], 20_000, 0.05, "hold_out"),
        (NUMBERS[0], 20_001, 0.05, "hold_out"),
    ]


def against(number: int) -> Decision:
    """A block of the number."""
    return replace(FULL, number=number_text(number), action="block")


def label(number: int, day: int, fraud: bool, source: str = "random_audit", probability: float = 1.0) -> NumberLabel:
    """Of one day."""
    return NumberLabel(
        number, fraud, day * DAY_MS, (day + 1) * DAY_MS, 30_000 * DAY_MS, source, probability=probability
    )


def test_recall_is_what_was_caught_of_that_and_what_the_audit_stands_for() -> None:
    """
    stratum   drawn   fraud   stands for
    1 in 4        8       1     4 missed
    1 in 100      8       0     0 missed, at most 3.7 of 8 hundred
    """
    audits = [label(NUMBERS[0] + i, 20_000 + i % 3, fraud=i == 0, probability=0.25) for i in range(8)]
    audits += [label(NUMBERS[0] + 50 + i, 20_001, fraud=False, probability=0.01) for i in range(8)]
    day = label(NUMBERS[1], 20_000, fraud=True, source="complaint")
    two_days = NumberLabel(NUMBERS[2], True, 20_001 * DAY_MS, None, 20_003 * DAY_MS, "analyst")
    against = {NUMBERS[1]: [(20_000, 20_000)], NUMBERS[2]: [(20_002, 20_005)]}
    found = estimate([*audits, day, two_days], Acted(against), 0)
    assert (found.audited, found.found, found.caught.value) == (16, 1, 2)
    assert found.missed.value == 4
    assert found.missed.low is not None
    assert found.missed.high is not None
    assert found.missed.low < 4 < found.missed.high
    # Of eight with none the bound is 1 - 0.025^(1/8), of eight with one 0.5265 (Clopper and Pearson).
    np.testing.assert_allclose(found.missed.high, 32 * 0.5265 + 800 * (1 - 0.025 ** (1 / 8)), rtol=1e-3)
    assert found.recall.value == 2 / 6
    assert found.recall.low == 2 / (2 + found.missed.high)


def drawn_labels(
    population: NumberDays, seed: int, is_fraud: dict[tuple[int, int], bool], count: int = 300
) -> list[NumberLabel]:
    """What analysts say of a draw, who know the truth."""
    drawn = draw(population, {}, count, 0.5, seed)
    name = draw_named(population, drawn, 0)
    return [
        replace_label(
            label(one.number, one.day, is_fraud[one.number, one.day], probability=one.probability),
            drawn_ms=one.day * DAY_MS,
            draw=name,
        )
        for one in drawn
    ]


def of_days(whole: NumberDays, first: int, stop: int) -> NumberDays:
    """Those of some days."""
    mine = (whole[1] >= first) & (whole[1] < stop)
    return whole[0][mine], whole[1][mine], whole[2][mine]


def test_what_several_draws_find_of_one_day_is_not_added_up() -> None:
    """
    first draw    20_000  20_001
    second                20_001  20_002      the day of both counts once
    Twice the same population is as much as once, and two weeks are the sum of both.
    """
    whole = population(6_000)
    rng = np.random.default_rng(9)
    fraud = rng.random(6_000) < 0.3 / (1 + np.exp(-2 * whole[2]))
    truth = dict(zip(zip(whole[0].tolist(), whole[1].tolist(), strict=True), fraud.tolist(), strict=True))
    first, second = of_days(whole, 20_000, 20_002), of_days(whole, 20_001, 20_003)
    found: dict[str, list[float]] = {"one": [], "twice": [], "overlapping": [], "apart": [], "by week": []}
    within = dict.fromkeys(found, 0)
    for seed in range(0, 60, 2):
        draws = {
            "one": drawn_labels(whole, seed, truth),
            "twice": drawn_labels(whole, seed, truth) + drawn_labels(whole, seed + 1, truth),
            "overlapping": drawn_labels(first, seed, truth) + drawn_labels(second, seed + 1, truth),
            "apart": [
                each
                for day in range(20_000, 20_003)
                for each in drawn_labels(of_days(whole, day, day + 1), seed, truth, 100)
            ],
            "by week": drawn_labels(of_days(whole, 20_000, 20_001), seed, truth) + drawn_labels(whole, seed + 1, truth),
        }
        for name, labels in draws.items():
            said = estimate(labels, Acted({}), 0)
            assert said.missed.value is not None
            assert said.missed.low is not None
            assert said.missed.high is not None
            within[name] += said.missed.low < fraud.sum() < said.missed.high
            found[name].append(said.missed.value)
    for name, values in found.items():
        assert abs(np.mean(values) - fraud.sum()) < 4 * np.std(values) / 30**0.5 < 0.2 * fraud.sum(), name
        assert within[name] >= 28, name


def test_in_training_too_several_draws_stand_for_a_day_once() -> None:
    """The audited fraud of two draws weighs what there is of it, and not twice that."""
    whole = population(6_000)
    rng = np.random.default_rng(9)
    fraud = rng.random(6_000) < 0.1 / (1 + np.exp(-2 * whole[2]))
    truth = dict(zip(zip(whole[0].tolist(), whole[1].tolist(), strict=True), fraud.tolist(), strict=True))
    weights = []
    for seed in range(0, 60, 2):
        labels = drawn_labels(whole, seed, truth) + drawn_labels(whole, seed + 1, truth)
        known = Known([each for each in labels if each.fraud], 40_000 * DAY_MS, 0)
        judged = known.of(whole[0], whole[1] * DAY_MS)
        table = pa.Table.from_arrays(label_columns_of(known, judged), names=list(LABEL))
        weights.append(sum(row["weight"] for row in table.to_pylist() if row["label"] == 1))
    assert 0.85 < np.mean(weights) / fraud.sum() < 1.05  # a day that both drew weighs once only


def test_a_draw_is_called_by_its_days_and_what_it_drew() -> None:
    """The same again has the same name, another has another; an empty one has none."""
    whole = population()
    name = draw_named(whole, draw(whole, {}, 40, 0.5, 1), 120)
    midnight = 20_000 * DAY_MS - 120 * 60_000
    assert name.startswith(f"{midnight}-{midnight + 3 * DAY_MS}-")
    assert draw_named(whole, draw(whole, {}, 40, 0.5, 1), 120) == name
    assert draw_named(whole, draw(whole, {}, 40, 0.5, 2), 120) != name
    assert draw_named(of_days(whole, 0, 1), [], 120) == ""


def test_what_a_block_meets_nobody_on_is_not_caught() -> None:
    """
    fraud, as its label has it   |==========|
    tried                        |==|           what was missed counts such days only
    block, however long          |================|
    """
    audits = [label(NUMBERS[0] + 7, 20_000 + i, fraud=False) for i in range(5)]
    blocked = NumberLabel(NUMBERS[1], True, 20_000 * DAY_MS, 20_005 * DAY_MS, 20_009 * DAY_MS, "complaint")
    tried: NumberDays = (np.array([NUMBERS[1]], np.uint64), np.array([20_000]), np.zeros(1))
    for ttl_days, silent in ((1, 1), (3, 3), (30, 5)):
        against = {NUMBERS[1]: [(20_000, 19_999 + ttl_days)]}
        assert estimate([*audits, blocked], Acted(against), 0, tried).caught.value == 1
        assert estimate([*audits, blocked], Acted(against), 0).caught.value == silent


def test_what_our_own_decisions_say_is_no_fraud_that_was_caught() -> None:
    """Nor is what lies outside the audited days, or on a day on which nothing was in force."""
    audits = [label(NUMBERS[0], 20_000, fraud=False)]
    others = [
        label(NUMBERS[1], 20_000, fraud=True, source="detector"),
        label(NUMBERS[1], 20_001, fraud=True, source="complaint"),
        label(NUMBERS[2], 20_000, fraud=True, source="complaint"),
    ]
    against = {NUMBERS[1]: [(19_990, 20_010)], NUMBERS[2]: [(20_001, 20_001)]}
    found = estimate([*audits, *others], Acted(against), 0)
    assert (found.caught.value, found.missed.value, found.recall.value) == (0, 0.0, None)
    assert estimate(others, Acted({}), 0).recall.value is None


def test_audits_of_a_known_truth_give_its_recall() -> None:
    """Half of the fraud is decided against; the estimate of forty audits lies around that."""
    numbers, days, margins = population(6_000)
    rng = np.random.default_rng(9)
    fraud = rng.random(6_000) < 0.1 / (1 + np.exp(-2 * margins))
    taken = fraud & (rng.random(6_000) < 0.5)
    against: dict[int, list[tuple[int, int]]] = {}
    for number, day in zip(numbers[taken].tolist(), days[taken].tolist(), strict=True):
        against.setdefault(number, []).append((day, day))
    truth = {(n, d): f for n, d, f in zip(numbers.tolist(), days.tolist(), fraud.tolist(), strict=True)}
    complaints = [
        label(number, day, fraud=True, source="complaint")
        for number, day in zip(numbers[taken].tolist(), days[taken].tolist(), strict=True)
    ]
    found = []
    within = 0
    for seed in range(40):
        drawn = draw((numbers, days, margins), against, 300, 0.5, seed)
        audits = [label(one.number, one.day, truth[one.number, one.day], probability=one.probability) for one in drawn]
        said = estimate([*audits, *complaints], Acted(against), 0)
        assert said.recall.value is not None
        assert said.recall.low is not None
        assert said.recall.high is not None
        found.append(said.recall.value)
        within += said.recall.low <= taken.sum() / fraud.sum() <= said.recall.high
    assert abs(np.mean(found) - taken.sum() / fraud.sum()) < 0.05
    assert within >= 38


def test_what_was_done_by_the_day_and_of_what_the_hold_out_tells() -> None:
    """Blocks by rules that spare the hold-out; a list's and an operator's block spare nobody."""
    block = replace(against(NUMBERS[0]), issued_at=20_000 * DAY_MS, expires_at=20_001 * DAY_MS)
    spared = replace(block, number=number_text(NUMBERS[1]), action="flag", held_back=("hold_out",))
    others = [
        replace(block, number=number_text(NUMBERS[2]), basis="list"),
        replace(block, number=number_text(NUMBERS[2]), basis="operator"),
        replace(block, number=number_text(NUMBERS[2]), action="flag", held_back=("hold_out", "budget")),
        replace(block, number=number_text(NUMBERS[3]), mode="shadow"),
    ]
    done = acted([block, spared, *others], 0)
    day = [(20_000, 20_000)]
    assert done == Acted({NUMBERS[0]: day, NUMBERS[1]: day, NUMBERS[2]: day * 3}, {NUMBERS[0]: day}, {NUMBERS[1]: day})


def test_the_hold_out_tells_what_blocks_catch() -> None:
    """
    100 number-days of fraud that would be blocked   95 blocked, 5 spared by a hold-out of 1 in 20
    the audit                                        10 missed
    Of the blocked nobody tells, or somebody does: 100 are caught either way, and not 5.
    """
    first = NUMBERS[0] + 1_000
    day = [(20_000, 20_000)]
    blocked = {first + i: day for i in range(95)}
    spared = {first + 95 + i: day for i in range(5)}
    done = Acted(blocked | spared, blocked, spared)
    audits = [label(NUMBERS[0] + i, 20_000, fraud=i == 0, probability=0.1) for i in range(9)]
    held = [label(number, 20_000, fraud=True, source="hold_out", probability=0.05) for number in spared]
    told = [label(number, 20_000, fraud=True, source="complaint") for number in [*blocked][:3]]
    for labels in ([*audits, *held], [*audits, *held, *told]):
        found = estimate(labels, done, 0)
        assert (found.caught.value, found.missed.value, found.untold) == (100, 10, 0)
        np.testing.assert_allclose(found.recall.value or 0, 100 / 110)
        # The fewest of whom 5 or more, and the most of whom 5 or fewer, are spared with more than one in forty.
        low, high = found.caught.low or 0, found.caught.high or 0
        assert binom.sf(4, low, 0.05) > 0.025 >= binom.sf(4, low - 1, 0.05)
        assert binom.cdf(5, high, 0.05) > 0.025 >= binom.cdf(5, high + 1, 0.05)
    found = estimate([*audits, *told], done, 0)
    assert (found.caught.value, found.untold) == (3, 95)


def test_days_from_which_there_is_no_hold_out_count_as_labels_say() -> None:
    """
    draw            week 1        week 2
    hold-out        labels        none       flags count by their labels in both
    """
    spans = [f"{day * DAY_MS}-{(day + 7) * DAY_MS}-ab" for day in (20_000, 20_007)]
    audits = [
        replace_label(label(NUMBERS[0] + i, 20_000 + 7 * i, fraud=False), draw=span, drawn_ms=(20_000 + 7 * i) * DAY_MS)
        for i, span in enumerate(spans)
    ]
    first = NUMBERS[0] + 1_000
    blocked = {first: [(20_002, 20_002), (20_008, 20_009)]}
    spared, flagged = {first + 1: [(20_003, 20_004)]}, {first + 2: [(20_001, 20_010)]}
    held = NumberLabel(first + 1, True, 20_003 * DAY_MS, None, 20_030 * DAY_MS, "hold_out", probability=0.25)
    told = [NumberLabel(first + i, True, 20_000 * DAY_MS, None, 20_030 * DAY_MS, "complaint") for i in (0, 2)]
    found = estimate([*audits, held, *told], Acted(blocked | spared | flagged, blocked, spared), 0)
    # Two days of one spared number of four, ten flagged days, and of the blocked number those of the second week.
    assert (found.caught.value, found.untold) == (2 / 0.25 + 10 + 2, 2)


def test_with_a_hold_out_of_a_known_truth_recall_is_what_it_is() -> None:
    """600 numbers with one to three days each, 0.8 of them fraud, would be blocked; a fifth is spared. Victims tell of
    nine in ten of the spared and of one in ten of the blocked."""
    rng = np.random.default_rng(2)
    audits = [label(NUMBERS[0] + i, 20_000 + i % 3, fraud=i < 5, probability=0.1) for i in range(40)]
    first = NUMBERS[0] + 1_000
    days = rng.integers(1, 4, 600)
    fraud = rng.random(600) < 0.8
    truth = int(days[fraud].sum())
    found, within = [], 0
    for _ in range(60):
        held = rng.random(600) < 0.2
        intervals = [[(20_000, 20_000 + int(count) - 1)] for count in days]
        blocked = {first + i: intervals[i] for i in range(600) if not held[i]}
        spared = {first + i: intervals[i] for i in range(600) if held[i]}
        labels = [
            label(first + i, 20_000 + day, bool(fraud[i]), "hold_out", 0.2)
            for i in np.flatnonzero(held).tolist()
            for day in range(days[i])
        ]
        tells = fraud & (rng.random(600) < np.where(held, 0.9, 0.1))
        labels += [label(first + i, 20_000, True, "complaint") for i in np.flatnonzero(tells).tolist()]
        said = estimate([*audits, *labels], Acted(blocked | spared, blocked, spared), 0)
        assert said.caught.value is not None
        assert said.caught.low is not None
        assert said.caught.high is not None
        found.append(said.caught.value)
        within += said.caught.low <= truth <= said.caught.high
    assert abs(np.mean(found) - truth) < 4 * np.std(found) / 60**0.5 < 0.1 * truth
    assert within >= 54
